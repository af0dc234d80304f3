"""Meshes, and one update with every part that can lie on them."""

from functools import partial

import jax
import jax.numpy as jnp

from hybrid_latent import optim, sharding
from hybrid_latent.models import lora
from hybrid_latent.models.param_axes import param_axes
from hybrid_latent.models.transformer import Transformer
from hybrid_latent.objectives.base import AdvantageInputs, LossInputs
from hybrid_latent.objectives.gae import gae
from hybrid_latent.objectives.policy_gradient import policy_gradient
from hybrid_latent.policy import Critic, Policy
from hybrid_latent.rescoring import rescore, state_values
from tests import tiny

SIZES = {
  'data 2, fsdp 2, tensor 2': (2, 2, 2, 1),
  'fsdp 8': (1, 8, 1, 1),
  'tensor 4, sequence 2': (1, 1, 4, 2),  # and two key heads
}
FEEDBACK = tiny.FEEDBACKS['gated']


def mesh(name):
  return sharding.mesh(*SIZES[name])


def placed(tree, mesh):
  """Parameters and what is shaped like them, at their place."""
  return jax.device_put(tree, sharding.shardings(tree, param_axes, mesh))


def everything(config=tiny.CONFIG) -> Policy:
  """A policy with adapters, a gate and a critic, all of them random."""
  keys = iter(jax.random.split(jax.random.key(1), 9))

  def adapted():
    model = Transformer(config, next(keys))
    model = lora.add(model, next(keys), rank=4, alpha=8)
    return jax.tree.map(lambda x: x + 0.02, model)

  gate = tiny.Gate(next(keys), config.width, r_min=0.5)
  critic = Critic(adapted(), 0.1 * jnp.ones(config.width))
  return Policy(adapted(), gate, critic)


def optimizer(policy):
  """AdamW as the trainers build it."""
  groups = {'all': {'pattern': '', 'lr': 1e-3, 'weight_decay': 0.1}}
  return optim.adamw(
    policy, groups, steps=10, schedule='constant', warmup_ratio=0
  )


def update(policy, opt_state, prompt, trajectory, rewards):
  """A step of PPO with a divergence from the sampler, and its gradient."""
  group = len(rewards) // len(prompt.ids)
  values = state_values(policy, FEEDBACK, prompt, trajectory)
  found = gae(AdvantageInputs(rewards, trajectory.mask, None, values), group)
  rows = jax.tree.map(partial(jnp.repeat, repeats=group, axis=0), prompt)
  batch = rows, trajectory._replace(steps=None), found, values

  def loss(policy, batch):
    prompt, trajectory, found, values = batch
    scores = rescore(policy, FEEDBACK, prompt, trajectory, logits_chunk=4)
    return policy_gradient(
      LossInputs(
        log_probs=scores.log_probs,
        entropy=scores.entropy,
        values=state_values(policy, FEEDBACK, prompt, trajectory),
        loss_mask=trajectory.mask,
        advantages=found.values,
        old_log_probs=trajectory.log_probs,
        rollout_log_probs=trajectory.log_probs,
        behavior_log_probs=trajectory.behavior_log_probs,
        ref_log_probs=trajectory.log_probs,
        returns=found.returns,
        old_values=values,
      ),
      beta=0.1,
      entropy_coef=0.01,
    )

  gradient, figures = optim.mean_gradient(
    loss, policy, batch, gradient_accumulation_steps=1
  )
  changes, opt_state = optimizer(policy).update(gradient, opt_state, policy)
  policy = jax.tree.map(jnp.add, policy, changes)
  return policy, opt_state, gradient, figures
