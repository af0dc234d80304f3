"""A tiny random policy and the programs that the tests of the core share."""

from functools import partial
from itertools import product

import jax
import jax.numpy as jnp
import numpy as np

from hybrid_latent.feedback.discrete import discrete
from hybrid_latent.feedback.gated import Gate, gated
from hybrid_latent.models.transformer import (
  Transformer,
  TransformerConfig,
  unstack,
)
from hybrid_latent.ops.automaton import delimiter_automaton
from hybrid_latent.ops.masking import causal_mask, positions
from hybrid_latent.policy import Policy
from hybrid_latent.replay import replay
from hybrid_latent.rollout import rollout
from hybrid_latent.types import Prompt, Stop

FEEDBACKS = {
  'discrete': discrete(),
  'gated': gated(),
  'gated-published': gated('published'),
  'gated-width-0': gated(width=0),
}
CONFIG = TransformerConfig(
  vocab=96,  # above the gated feedback's `width`: both of its paths are taken
  width=16,
  layers=2,
  heads=4,
  kv_heads=2,
  head_dim=8,
  mlp=24,
  rope_theta=1e4,
  qkv_bias=True,
  qk_norm=True,
)
STEPS, GROUP, PAD = 12, 2, 95
LENGTHS = 6, 3, 1
DELIMITER = b'ab'
# What each id spells: every text of up to three letters, then nothing. The
# delimiter lies inside some, across others.
TEXTS = [
  bytes(text) for n in range(4) for text in product(b'abcd', repeat=n)
]  # 85 of them
STOPS = [5, 17, 29, 41, 53, 65, 77, 90]


def policy(seed: int = 0) -> Policy:
  """Every parameter random, and a gate that lets much of the latents in."""
  model_key, gate_key, noise_key = jax.random.split(jax.random.key(seed), 3)
  gate = Gate(gate_key, CONFIG.width, r_min=0.3, r_max=0.8)
  tree = Policy(Transformer(CONFIG, model_key), gate)
  leaves, treedef = jax.tree.flatten(tree)
  keys = jax.random.split(noise_key, len(leaves))
  noisy = lambda x, key: x + 0.25 * jax.random.normal(key, x.shape)
  return jax.tree.unflatten(treedef, map(noisy, leaves, keys))


def prompts(lengths=LENGTHS, ids=None, width: int | None = None) -> Prompt:
  """Left-padded rows; the text of a row is that of its id."""
  ids = np.arange(len(lengths)) if ids is None else np.asarray(ids)
  width = max(lengths) if width is None else width
  rows = [np.random.default_rng(i).integers(0, 85, 16) for i in ids]
  mask = np.arange(width) >= width - np.array(lengths)[:, None]
  tokens = np.zeros(mask.shape, np.int32)
  for row, n, text in zip(tokens, lengths, rows, strict=True):
    row[width - n :] = text[:n]
  return Prompt(
    jnp.asarray(tokens), jnp.asarray(mask), jnp.asarray(ids, jnp.int32)
  )


def stop(
  tokens=(), limit: int = STEPS, delimiter: bytes = DELIMITER, pad: int = PAD
) -> Stop:
  """Stop ids in the room of eight, and the automaton in that of three states."""
  table = delimiter_automaton(delimiter, TEXTS, CONFIG.vocab)
  return Stop(
    jnp.array([*tokens, *[-1] * (8 - len(tokens))], jnp.int32),
    jnp.int32(limit),
    jnp.int32(pad),
    jnp.asarray(table),
  )


@partial(
  jax.jit,
  static_argnames=('feedback', 'max_steps', 'group', 'stages'),
)
def sample(
  policy, feedback, prompt, key, *, max_steps=STEPS, group=GROUP, **settings
):
  """The rollout as a trainer runs it."""
  policy = policy._replace(model=unstack(policy.model))
  return rollout(
    policy,
    feedback,
    prompt,
    key,
    max_steps=max_steps,
    group=group,
    **settings,
  )


@partial(jax.jit, static_argnames=('feedback', 'chunk'))
def scores(policy, feedback, prompt, trajectory, temperature=1.0, chunk=128):
  """Its replay."""
  return replay(
    policy,
    feedback,
    prompt,
    trajectory,
    score_temperature=temperature,
    chunk=chunk,
  )


@partial(jax.jit, static_argnames='feedback')
def logits(policy, feedback, prompt, trajectory):
  """What each token was drawn from, [b t v], by one plain forward pass."""
  rows = lambda x: jnp.repeat(x, len(trajectory.mask) // len(x), axis=0)
  fed = feedback.replay(policy, trajectory.record, trajectory.tokens)
  x = jnp.concatenate([rows(policy.embed(prompt.tokens)), fed], axis=1)
  mask = jnp.concatenate([rows(prompt.mask), trajectory.mask], axis=1)
  hidden, _ = policy.forward(x, None, positions(mask), causal_mask(mask))
  return policy.unembed(hidden)[:, prompt.tokens.shape[1] - 1 : -1]
