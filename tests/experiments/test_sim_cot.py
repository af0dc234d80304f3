"""SIM-CoT's decoder in a run: trained, saved in checkpoints, not exported."""

import jax
import numpy as np

from experiments import sft
from experiments.configs import sft_arithmetic
from experiments.training.actor import load_actor
from hybrid_latent import sharding
from hybrid_latent.formats.pretrained import pretrained
from hybrid_latent.trees import named_leaves
from tests.experiments.runs import saved, steps, taught


def test_the_decoder_is_trained_and_stays_behind(model_folder, tmp_path):
  config = sft_arithmetic.get_config(f'{model_folder},sim_cot').unlock()
  config.update(max_steps=1, batch_size=8, max_length=128, packing=False)
  # One stage, of examples of all numbers of latents.
  config.curriculum.kwargs.update(uniform_prob=1.0, max_latent_stage=1)
  config.stages.update(starts=(0,), data_fraction=(1.0,))
  config.data.kwargs.count = 16
  config.eval.num_prompts = 0
  config.objective.init_kwargs.layers = 1
  config.lock()
  run = taught(config, tmp_path)
  (row,), (batch,) = steps(tmp_path), run.batches
  assert batch['latent'].any()
  assert row['decoder_loss'] > 0 and np.isfinite(row['grad_norm'])
  actor = load_actor(config, sharding.mesh(data=1, fsdp=-1), jax.random.key(0))
  began = sft.with_objective(
    config.objective, actor.policy, jax.random.key(0)
  ).objective
  after = saved(tmp_path, 1)
  for name, x in named_leaves(began).items():
    assert not np.array_equal(after[f'0.objective.{name}'], x), name
  exported = pretrained(tmp_path / 'model')
  assert exported.model.config.layers == 2
  assert not exported.feedback_params
