"""A model that says what it is told, and whose states are known to the bit."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from hybrid_latent.ops.sampling import sampling
from hybrid_latent.policy import Policy
from hybrid_latent.rollout import rollout
from hybrid_latent.types import Prompt
from tests.tiny import QUICK

START = 64.0


class Script(NamedTuple):
  """Says one word after the other, whatever it reads. Its state at a position
  is (that position, half the second number of what it reads there)."""

  words: Int[Array, 'b t']
  table: Float[Array, 'v 2']

  def embed(self, tokens):
    return self.table[tokens]

  def forward(self, x, cache, positions, mask):
    return jnp.stack([positions.astype(x.dtype), x[..., 1] / 2], -1), cache

  def unembed(self, hidden):
    at = hidden[:, :1].astype(jnp.int32)
    word = jnp.take_along_axis(self.words, at, axis=1)[:, 0]
    return 9 * jax.nn.one_hot(word, len(self.table))

  def init_cache(self, batch, length):
    return ()


def recited(words, feedback, stop, *, vocab, parameters=None, mode=None):
  """A rollout of these rows of words, after the prompt [0]. Word i is embedded
  as (i, START + i)."""
  table = np.arange(vocab)[:, None] + np.array([[0.0, START]], np.float32)
  policy = Policy(Script(jnp.asarray(words, jnp.int32), table), parameters)
  out = program(policy, feedback, stop, mode)
  return jax.tree.map(np.asarray, out)


@partial(jax.jit, static_argnames='feedback', compiler_options=QUICK)
def program(policy, feedback, stop, mode):
  b, steps = policy.model.words.shape
  start = jnp.zeros((b, 1), jnp.int32)
  return rollout(
    policy,
    feedback,
    Prompt(start, start == 0, jnp.arange(b), mode),
    jax.random.key(0),
    sampling=sampling(greedy=True),
    stop=stop,
    max_steps=steps,
  )
