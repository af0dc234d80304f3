"""What a run leaves behind, and what it does to the policy."""

import math
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import (
  EventAccumulator,
)

from hybrid_latent.data import arithmetic
from hybrid_latent.formats.pretrained import pretrained
from hybrid_latent.trees import named_leaves
from tests.experiments import rl_tiny
from tests.experiments.rewards import digits
from tests.experiments.runs import (
  arrays,
  column,
  lines,
  saved,
  steps,
  trained,
)

TRL_NAMES = {
  *('loss', 'grad_norm', 'entropy', 'kl', 'num_tokens', 'tokens_per_second'),
  *('reward', 'reward_std', 'frac_reward_zero_std'),
  *('rewards/digits/mean', 'rewards/digits/std'),
  *(f'completions/{what}_length' for what in ('mean', 'min', 'max')),
  *(f'completions/{what}_terminated_length' for what in ('mean', 'min', 'max')),
  'completions/clipped_ratio',
  *(f'sampling/sampling_logp_difference/{what}' for what in ('mean', 'max')),
}
PARTS = ('prefill', 'decode', 'reward', 'log_probs', 'update', 'idle')
ROWS = 8  # completions of a step


@pytest.fixture(scope='module')
def plain(model_folder, tmp_path_factory):
  """The same run with plain tokens."""
  config = rl_tiny.get_config(f'{model_folder},grpo')
  config.max_steps = 3
  return trained(config, tmp_path_factory.mktemp('grpo'))


def test_every_step_has_trls_metrics(hrpo):
  rows = steps(hrpo.folder)
  assert [row['step'] for row in rows] == [0, 1, 2, 3]
  for row in rows:
    assert not (TRL_NAMES | {'hidden_ratio'}) - row.keys()
    assert all(isinstance(x, int | float) for x in row.values())  # no null


def test_the_metrics_agree_with_each_other(hrpo):
  tokens = column(hrpo, 'completions/mean_length') * ROWS
  np.testing.assert_array_equal(column(hrpo, 'num_tokens'), np.cumsum(tokens))
  np.testing.assert_allclose(
    column(hrpo, 'reward'), 2 * column(hrpo, 'rewards/digits/mean'), rtol=1e-6
  )
  assert (column(hrpo, 'reward_std')[:2] > 0).all()
  assert (column(hrpo, 'grad_norm') > 0).all()
  assert (column(hrpo, 'kl') > 0).all()
  assert (column(hrpo, 'entropy') > 1).all()
  assert (column(hrpo, 'entropy') < math.log(384)).all()
  hidden = column(hrpo, 'hidden_ratio')
  assert ((hidden > 0.1) & (hidden < 0.3)).all()


def test_the_learner_scores_what_was_sampled(hrpo, plain):
  for run in (hrpo, plain):
    gap = column(run, 'sampling/sampling_logp_difference/max')
    assert (gap < 3e-4).all()  # of unlikely tokens
    mean = column(run, 'sampling/sampling_logp_difference/mean')
    assert ((mean > 0) & (mean <= gap)).all()


def test_the_parts_of_a_step_sum_up_to_it(hrpo):
  for row in steps(hrpo.folder):
    timed = {name for name in row if name.startswith('time/')}
    assert timed == {f'time/{part}' for part in (*PARTS, 'step')}
    total = sum(row[f'time/{part}'] for part in PARTS)
    assert total == pytest.approx(row['time/step'], abs=1e-6)
    speed = row['completions/mean_length'] * ROWS / row['time/step']
    assert row['tokens_per_second'] == pytest.approx(speed)


def test_a_completion_of_every_prompt_is_written_down(hrpo):
  rows = lines(hrpo.folder / 'completions.jsonl')
  assert [row['step'] for row in rows] == [0, 0, 1, 1, 2, 2, 3, 3]
  assert len({row['prompt'] for row in rows}) == len(rows)  # one epoch
  for row in rows:
    assert row['prompt'].startswith(tuple('TBSMAEZ'))
    assert row['answer'].isdigit()
    assert 1 <= len(row['tokens']) == len(row['latent']) <= 8
    assert row['reward'] == pytest.approx(2 * digits([row['completion']])[0])
    assert all(0 <= x < 1 for x in row['latent'])
  assert any(row['latent'][0] > 0 for row in rows)


def test_tensorboard_shows_the_same_numbers(hrpo):
  events = EventAccumulator(str(hrpo.folder)).Reload()
  for name in ('reward', 'loss', 'hidden_ratio'):
    shown = [(event.step, event.value) for event in events.Scalars(name)]
    np.testing.assert_allclose(
      shown, list(enumerate(column(hrpo, name))), rtol=1e-6
    )


def test_evaluations_are_returned_and_written_down(hrpo):
  rows = [
    row for row in lines(hrpo.folder / 'metrics.jsonl') if 'loss' not in row
  ]
  assert [row.pop('step') for row in rows] == [0, 2, 4]
  assert rows == hrpo.evaluations
  assert set(rows[0]) == {
    *('eval/digits', 'eval/completions/mean_length'),
    *('eval/completions/clipped_ratio', 'eval/hidden_ratio'),
    *('eval/switches', 'eval/latent_tokens'),
    *(f'eval/{n}' for n in ('prompts', 'too_long', 'judged', 'ungraded')),
    *(f'eval/digits/{n}' for n in ('judged', 'ungraded', 'of_all')),
  }


def test_only_adapters_and_gate_are_trained_and_all_of_them(hrpo):
  state = saved(hrpo.folder, 4)
  after = {n[2:]: x for n, x in state.items() if n.startswith('0.')}
  gate = {f'feedback.{n}' for n in ('w_r', 'w_i', 'b_r', 'b_i', 'decay')}
  adapters = {
    f'model.layers.{linear}.lora.{side}'
    for linear in ('q', 'k', 'v', 'o', 'gate', 'up', 'down')
    for side in 'ab'
  }
  assert set(after) == gate | adapters
  same = [n for n in after if np.array_equal(after[n], hrpo.before[n])]
  assert not same


def test_the_base_is_shared_and_stays_what_was_loaded(hrpo, model_folder):
  base = named_leaves(hrpo.actor.base)
  policy = named_leaves(hrpo.actor.policy.model)
  buffers = lambda x: [
    shard.data.unsafe_buffer_pointer() for shard in x.addressable_shards
  ]
  assert base.keys() == {n for n in policy if '.lora.' not in n}
  assert all(buffers(x) == buffers(policy[n]) for n, x in base.items())
  loaded = arrays(pretrained(model_folder).model)
  assert loaded.keys() == base.keys()
  for name, x in base.items():
    np.testing.assert_array_equal(x, loaded[name])


def test_the_base_is_the_reference_of_the_kl_term(hrpo, plain):
  """A new adapter changes nothing, so plain tokens begin at zero. The gate's
  latents are unknown to the base, which reads tokens."""
  assert column(plain, 'kl')[0] < 1e-9
  assert (column(plain, 'kl')[1:] > 1e-6).all()
  assert column(hrpo, 'kl')[0] > 1e-3


def test_nothing_compiles_after_the_first_step(hrpo):
  """Evaluations are greedy, and happen before, within and after."""
  first = [name for rows, name in hrpo.compiled if rows == 0]
  # Twice: prompts and completions of a step, and of an evaluation.
  for name in ('prefill', 'decode'):
    assert first.count(f'jit({name})') == 2
  for name in ('rollout_weights', 'ref_log_probs', 'update'):
    assert first.count(f'jit({name})') == 1
  # Orbax cuts replicated arrays, so that every device writes a part.
  late = {name for rows, name in hrpo.compiled if rows > 0}
  assert late <= {'jit(slice)'}


def test_a_run_leaves_no_mesh_behind(hrpo):
  assert len(hrpo.actor.base.table.sharding.device_set) == 8
  assert jax.sharding.get_abstract_mesh().empty


def test_grpo_is_the_same_trainer_without_latents(plain):
  assert (column(plain, 'hidden_ratio') == 0).all()
  assert not [name for name in plain.before if name.startswith('feedback')]
  assert not [name for name in saved(plain.folder, 3) if 'feedback' in name]
  for row in lines(plain.folder / 'completions.jsonl'):
    assert not any(row['latent'])


def test_hrpo_that_never_thinks_is_grpo(plain, model_folder, tmp_path):
  """Every token completes the delimiter."""

  def thoughtless(actor):
    table = jnp.full_like(actor.stop.delimiter, len(actor.stop.delimiter) - 1)
    return actor._replace(stop=actor.stop._replace(delimiter=table))

  config = rl_tiny.get_config(f'{model_folder},hrpo')
  config.max_steps = 3
  run = trained(config, tmp_path, thoughtless)
  for name in ('loss', 'kl', 'grad_norm', 'reward', 'entropy', 'num_tokens'):
    # Two steps at this rate make much of a rounding in the third.
    ours, theirs = column(run, name)[:2], column(plain, name)[:2]
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-7)
  assert lines(run.folder / 'completions.jsonl') == lines(
    plain.folder / 'completions.jsonl'
  )


def test_a_loss_that_is_not_finite_stops_the_run(model_folder, tmp_path):
  config = rl_tiny.get_config(f'{model_folder},hrpo')
  config.advantage.function = 'tests.experiments.rl_tiny:mistaken'
  with pytest.raises(FloatingPointError) as error:
    trained(config, tmp_path)
  named = (
    r'step 0: loss nan, grad_norm nan on prompts \[(\d+), (\d+)\] of .train'
  )
  ids = re.match(named, str(error.value)).groups()
  source = arithmetic.problems('train', **config.data.kwargs)
  assert [source[int(i)]['question'] for i in ids] == [
    row['prompt'] for row in lines(tmp_path / 'completions.jsonl')
  ]
  assert steps(tmp_path) == []
  assert not [*(tmp_path / 'checkpoints').glob('*')]
