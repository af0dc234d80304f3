"""The real trainers in their frame: one spike, and the run goes on."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import grpo, lrt, sft
from experiments.configs import sft_arithmetic
from tests.experiments import lrt_tiny, rl_tiny, toy_trainer
from tests.experiments.runs import quick_compiler, saved, steps

SPIKE = 2  # the update whose batch is NaN


def reinforced(folder):
  """Whatever a rollback has to bring back: a gate, a reference that follows."""
  config = rl_tiny.get_config(f'{folder},hrpo').unlock()
  config.reference.sync_steps = 1
  return grpo, config


def supervised(folder):
  """A second stage begins with the step that fails."""
  config = sft_arithmetic.get_config(f'{folder},random').unlock()
  config.update(
    batch_size=8, gradient_accumulation_steps=1, max_steps=4, packing=False
  )
  config.data.kwargs.count = 16
  config.stages.update(
    starts=(0, 2), data_fraction=(0.5, 1.0), reset_optimizer=True
  )
  config.eval.num_prompts = 0
  config.checkpoint.every = 9
  return sft, config


def tuned(folder):
  config = lrt_tiny.get_config(f'{folder},rl,{folder}').unlock()
  return lrt, config


@pytest.mark.slow
@pytest.mark.parametrize('action', ['skip', 'rollback'])
@pytest.mark.parametrize('trainer', [reinforced, supervised, tuned])
def test_a_spike_does_not_end_a_run(
  trainer, action, model_folder, tmp_path, monkeypatch
):
  module, config = trainer(model_folder)
  config.nonfinite.action = action
  step_functions, calls = module.step_functions, []

  def spoiled(x):
    return x * jnp.nan if jnp.issubdtype(x.dtype, jnp.floating) else x

  def watched(*args):
    trained, frozen, run = step_functions(*args)

    def update(trained, frozen, opt_state, batch, *rest, **kwargs):
      calls.append(len(calls))
      if calls[-1] == SPIKE:
        batch = jax.tree.map(spoiled, batch)
      return run.update(trained, frozen, opt_state, batch, *rest, **kwargs)

    return trained, frozen, run._replace(update=update)

  monkeypatch.setattr(module, 'step_functions', watched)
  with quick_compiler():
    module.train(config, str(tmp_path))
  rows = steps(tmp_path)
  assert [row['step'] for row in rows] == [0, 1, 2, 3]
  skipped = [row['skipped_updates'] for row in rows]
  rollbacks = [row['rollbacks'] for row in rows]
  if action == 'skip':
    assert (skipped, rollbacks) == ([0, 0, 1, 0], [0, 0, 0, 0])
    assert len(calls) == 4
  else:
    assert (skipped, rollbacks) == ([0, 0, 0, 0], [0, 0, 1, 1])
    assert len(calls) == 5
  for name, x in saved(tmp_path, 4).items():
    assert np.isfinite(x).all(), name


def test_it_says_from_which_step_it_goes_on(tmp_path, capsys):
  """Fewer steps than there are change nothing, config.json neither."""
  said = []
  for count in (4, 8, 8, 3, 0):
    toy_trainer.train(toy_trainer.config(max_steps=count), tmp_path)
    written = json.loads((tmp_path / 'config.json').read_text())
    said.append((capsys.readouterr().out, written['config']['max_steps']))
  far = 'already at step 8, config.max_steps={}: nothing is trained\n'
  assert said == [
    ('', 4),
    ('resumed from step 4\n', 8),
    *[(far.format(count), 8) for count in (8, 3, 0)],
  ]


def test_a_checkpoint_of_step_0_is_of_its_run(tmp_path):
  """A run that may roll back saves it; killed, it goes on with its config."""
  config = toy_trainer.config(nonfinite__action='rollback')
  with pytest.raises(KeyboardInterrupt):
    toy_trainer.train(config, tmp_path, killed_at=1)
  config.data.kwargs.count = 5
  with pytest.raises(ValueError, match='count'):
    toy_trainer.train(config, tmp_path)
