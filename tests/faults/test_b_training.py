"""Training that goes wrong is seen, and stopped, skipped or rolled back."""

import logging

import jax
import numpy as np
import pytest

from experiments import grpo, lrt, sft
from experiments.configs import sft_arithmetic
from experiments.training.loop import NonFinite
from hybrid_latent import optim
from hybrid_latent.checkpoint import Checkpoints
from hybrid_latent.cluster import TrainingStopped
from tests.experiments import lrt_tiny, rl_tiny, toy_trainer
from tests.experiments.processes import started
from tests.experiments.runs import quick_compiler, saved, steps

KIND = 'a ruined update is a success'
NAN = float('nan')


def rl(folder):
  config = rl_tiny.get_config(f'{folder},grpo').unlock()
  config.mesh.update(fsdp=1, tensor=1)
  config.export = True
  return grpo, config


def tuned(folder):
  config = lrt_tiny.get_config(f'{folder},sft,{folder}').unlock()
  config.mesh.tensor = 1
  return lrt, config


def supervised(folder):
  config = sft_arithmetic.get_config(str(folder)).unlock()
  config.update(batch_size=4, gradient_accumulation_steps=1)
  config.data.kwargs.count = 16
  return sft, config


def wait_for(folder):
  """The steps that a run has saved."""
  checkpoints = Checkpoints(str(folder / 'checkpoints'), keep=99)
  found = checkpoints.steps
  checkpoints.close()
  return found


# ------------------------------------------------------------ the real trainers
@pytest.mark.parametrize(
  'trainer',
  [
    rl,
    pytest.param(tuned, marks=pytest.mark.slow),
    pytest.param(supervised, marks=pytest.mark.slow),
  ],
)
def test_a_rate_that_is_nan(trainer, model_folder, tmp_path, now, monkeypatch):
  """One step, after which nothing used to look at the parameters. A config
  with such a rate is refused; a schedule may still come to it."""
  module, config = trainer(model_folder)
  config.max_steps = 1
  monkeypatch.setattr(optim, '_schedule', lambda *given: lambda step: NAN)
  with quick_compiler(), pytest.raises(NonFinite) as error:
    module.train(config, str(tmp_path))
  assert str(error.value).startswith('step 0: loss ')
  assert ' are not finite; no checkpoint is from before' in str(error.value)
  assert wait_for(tmp_path) == []
  left = {path.name for path in tmp_path.iterdir()}
  assert not left & {'model', 'reasoner'}
  now(KIND, f'{module.__name__}, steps=1, a rate of nan', error.value)


@pytest.mark.slow
def test_the_command_fails_with_a_sentence(model_folder, tmp_path, now):
  config = f'experiments/configs/sft_arithmetic.py:{model_folder}'
  given = (
    'max_steps=1',
    'batch_size=4',
    'data.kwargs.count=16',
    'eval.num_prompts=0',
  )
  words = ['-m', 'experiments.sft', f'--config={config}',
           f'--workdir={tmp_path}/run',
           '--config.gradient_accumulation_steps=1',
           '--config.optimizer.groups.model.lr=nan',
           *[f'--config.{x}' for x in given]]  # fmt: skip
  with started(words, tmp_path, devices=1) as run:
    assert run.codes() == [2]
  told = run.logs[0].read_text()
  assert "error: config.optimizer.groups.model.lr is 'nan': write a" in told
  assert 'Traceback' not in told and not (tmp_path / 'run').exists()
  now(KIND, 'the command, lr=nan', told[told.index('error: ') :])


def test_groups_that_are_all_flat_and_what_a_run_says_at_its_end(
  model_folder, tmp_path, now, capsys
):
  """Every completion gets 0, for two steps; the same command then goes on."""
  module, config = rl(model_folder)
  config.max_steps, config.export = 3, False
  config.rewards.digits.function = 'tests.experiments.rewards:nothing'
  config.alarms.update(window=2, stop=('flat_groups',))
  with quick_compiler():
    with pytest.raises(TrainingStopped) as error:
      module.train(config, str(tmp_path))
    assert wait_for(tmp_path)[-1] == 2
    config.alarms.stop = ()
    module.train(config, str(tmp_path))
  rows = steps(tmp_path)
  assert [row['alarms/flat_groups'] for row in rows] == [0, 1, 1]
  assert [row['alarms/entropy_collapse'] for row in rows] == [0, 0, 0]
  assert 'step 1: alarm flat_groups: ' in str(error.value)
  assert f'step 2 is saved in {tmp_path}' in str(error.value)
  now('alarms', 'every completion of every group gets 0', error.value)
  told = capsys.readouterr().out
  assert f'{tmp_path}/checkpoints, steps [2, 3]\n' in told
  assert f'experiments.report --runs={tmp_path} ' in told
  assert 'the same command with --config.max_steps=6' in told
  assert ', reward 0, ' in told
  now('a run ends without a word', 'three steps of grpo', told)


def test_an_evaluation_needs_no_data_to_train_on(
  model_folder, tmp_path, now, capsys
):
  module, config = rl(model_folder)
  config.max_steps, config.eval.num_prompts, config.export = 0, 2, False
  config.data.train_split = 'nowhere'
  with quick_compiler():
    (figures,) = module.train(config, str(tmp_path))
  assert 0 <= figures['eval/digits'] <= 1
  told = capsys.readouterr().out
  assert f'eval/digits {figures["eval/digits"]:.4g}' in told
  now('test-only sets', 'max_steps=0 and a train split that is not there', told)


# ------------------------------------------------------- their frame, by itself
def test_stop_keeps_what_is_from_before_it(tmp_path, now):
  config = toy_trainer.config()
  with pytest.raises(NonFinite) as error:
    toy_trainer.train(config, tmp_path, bad=[4])
  told = str(error.value)
  assert told.startswith('step 4: loss nan, grad_norm nan on prompts [4] of ')
  assert f'; checkpoint 4 in {tmp_path} is from before it: lower' in told
  assert wait_for(tmp_path) == [3, 4]
  now(KIND, 'a spike at step 4, nonfinite.action=stop', told)
  fine = tmp_path / 'fine'
  toy_trainer.train(toy_trainer.config(max_steps=4), fine)
  same(saved(tmp_path, 4), saved(fine, 4))
  # Not for ever at the same step: the same command may leave it out.
  config.nonfinite.action = 'skip'
  assert toy_trainer.train(config, tmp_path, bad=[4]) == [4, 5, 6, 7]


def test_a_state_that_is_ruined_is_not_saved(tmp_path, now):
  """Even where updates are skipped: this one was made."""
  config = toy_trainer.config(nonfinite__action='skip')
  with pytest.raises(NonFinite) as error:
    toy_trainer.train(config, tmp_path, ruinous=[4])
  assert ', after which 0.w are not finite; ' in str(error.value)
  assert f'checkpoint 3 in {tmp_path} is from' in str(error.value)
  assert wait_for(tmp_path) == [3]
  now(KIND, 'parameters overflow at step 4', error.value)


def test_skip_leaves_an_update_out(tmp_path, now):
  config = toy_trainer.config(nonfinite__action='skip', nonfinite__limit=2)
  seen = toy_trainer.train(config, tmp_path, bad=[2, 3, 5])
  assert seen == [0, 1, 2, 3, 4, 5, 6, 7]
  rows = toy_trainer.metrics(tmp_path)
  skipped = [row['skipped_updates'] for row in rows]
  assert skipped == [0, 0, 1, 1, 0, 1, 0, 0]
  assert rows[2]['loss'] is None
  now(KIND, 'spikes at 2, 3 and 5, action=skip', f'skipped_updates {skipped}')


def test_skip_has_a_limit_in_a_row(tmp_path, now):
  config = toy_trainer.config(nonfinite__action='skip', nonfinite__limit=2)
  with pytest.raises(NonFinite, match=r'step 4: .*checkpoint 4 in ') as error:
    toy_trainer.train(config, tmp_path, bad=[2, 3, 4])
  now(KIND, 'spikes at 2, 3 and 4, limit=2', error.value)


def test_updates_of_one_step_count_one_by_one(tmp_path):
  config = toy_trainer.config(
    nonfinite__action='skip', nonfinite__limit=2, updates=2
  )
  toy_trainer.train(config, tmp_path, bad=[2])
  assert toy_trainer.metrics(tmp_path)[2]['skipped_updates'] == 2
  config.nonfinite.limit = 1
  with pytest.raises(NonFinite):
    toy_trainer.train(config, tmp_path / 'other', bad=[2])


@pytest.mark.parametrize('wrong', ['bad', 'ruinous'])
def test_rollback_goes_on_with_the_next_data(wrong, tmp_path, now, caplog):
  config = toy_trainer.config(nonfinite__action='rollback')
  seen = toy_trainer.train(config, tmp_path, **{wrong: [4]})
  assert seen == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
  rows = toy_trainer.metrics(tmp_path)
  assert [row['step'] for row in rows] == [0, 1, 2, 3, 4, 5, 6, 7]
  assert [row['rollbacks'] for row in rows] == [0, 0, 0, 1, 1, 1, 1, 1]
  assert all(np.isfinite([*row.values()]).all() for row in rows)
  told = caplog.messages[-1]
  assert 'back to step 3 with the next data (1 of 3)' in told
  assert wait_for(tmp_path) == [0, 3, 6, 8]
  now(KIND, f'step 4 is {wrong}, action=rollback', told)


def test_rollback_has_a_limit(tmp_path, now):
  config = toy_trainer.config(nonfinite__action='rollback', nonfinite__limit=2)
  with pytest.raises(NonFinite, match='step 3: ') as error:
    toy_trainer.train(config, tmp_path, bad=[4, 5, 6])
  now(KIND, 'spikes at 4, 5 and 6, rollback, limit=2', error.value)


@pytest.mark.parametrize('action', ['skip', 'rollback'])
@pytest.mark.parametrize('killed_at', [5, 7])
def test_a_resumed_run_does_the_same(action, killed_at, tmp_path):
  config = toy_trainer.config(nonfinite__action=action)
  toy_trainer.train(config, tmp_path / 'whole', bad=[2, 4])
  with pytest.raises(KeyboardInterrupt):
    toy_trainer.train(config, tmp_path / 'cut', [2, 4], killed_at=killed_at)
  toy_trainer.train(config, tmp_path / 'cut', bad=[2, 4])
  ours, theirs = map(
    toy_trainer.metrics, (tmp_path / 'cut', tmp_path / 'whole')
  )
  assert ours == theirs
  same(saved(tmp_path / 'cut', 8), saved(tmp_path / 'whole', 8))


def test_a_first_state_that_is_not_finite_is_refused(tmp_path, now):
  toy_trainer.train(toy_trainer.config(max_steps=3), tmp_path)
  path = str(tmp_path / 'checkpoints')
  checkpoints = Checkpoints(path, keep=9)
  notes = checkpoints.notes(3)
  like = jax.tree.map(jax.numpy.asarray, saved(tmp_path, 3))
  broken = {name: jax.numpy.full_like(x, NAN) if name == '0.w' else x
            for name, x in like.items()}  # fmt: skip
  checkpoints.save(4, broken, notes)
  checkpoints.close()
  with pytest.raises(
    ValueError, match=r'0\.w are not finite at step 4'
  ) as error:
    toy_trainer.train(toy_trainer.config(), tmp_path)
  now(KIND, 'a checkpoint with NaN of an older version', error.value)


# ---------------------------------------------------------------------- alarms
GOOD = {'frac_reward_zero_std': 0.5, 'entropy': 0.3, 'kl': 0.1,
        'completions/clipped_ratio': 0.1, 'completions/mean_length': 9.0,
        'hidden_ratio': 0.2, 'hidden_ratio_margin': 0.2,
        'latent_norm': 1.0, 'embedding_norm': 1.0}  # fmt: skip
BAD = [
  ('flat_groups', {'frac_reward_zero_std': 1.0}),
  ('entropy_collapse', {'entropy': 0.001}),
  ('length_explosion', {'completions/clipped_ratio': 1.0}),
  ('length_explosion', {'completions/mean_length': 31.0}),
  ('kl_blowup', {'kl': 7.0}),
  ('latent_collapse', {'hidden_ratio': 0.001}),
  ('latent_collapse', {'latent_norm': 0.001}),
  ('gate_saturation', {'hidden_ratio': 0.5, 'hidden_ratio_margin': 0.0}),
]


@pytest.mark.parametrize(('name', 'figures'), BAD)
def test_each_alarm_warns_once_and_may_stop(
  name, figures, tmp_path, now, caplog
):
  """It begins at step 2 and has to last for three steps."""
  caplog.set_level(logging.WARNING)
  config = toy_trainer.config(
    alarms__window=3, alarms__gate_saturation=0.01, max_steps=7
  )
  stream = lambda step: GOOD | (figures if step >= 2 else {})
  toy_trainer.train(config, tmp_path / 'on', more=stream, latents=True)
  rows = toy_trainer.metrics(tmp_path / 'on')
  on = {key: [row[key] for row in rows] for key in rows[0] if 'alarms/' in key}
  expected = [0, 0, 0, 0, 1, 1, 1]
  assert on.pop(f'alarms/{name}') == expected
  assert not np.any([*on.values()])
  assert len([x for x in caplog.messages if f'alarm {name}: ' in x]) == 1
  config.alarms.stop = (name,)
  with pytest.raises(TrainingStopped) as error:
    toy_trainer.train(config, tmp_path / 'off', more=stream, latents=True)
  told = str(error.value)
  assert told.startswith(f'step 4: alarm {name}: ')
  assert f'step 5 is saved in {tmp_path}/off' in told
  assert wait_for(tmp_path / 'off')[-1] == 5
  now('alarms', figures, told)


def same(ours, theirs):
  assert ours.keys() == theirs.keys()
  for name, x in theirs.items():
    np.testing.assert_array_equal(ours[name], x, name)
