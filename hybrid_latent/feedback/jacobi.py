"""K latents between prompt and answer, computed by T parallel passes.

PCCoT, "Parallel Continuous Chain-of-Thought with Jacobi Iteration" (arXiv
2506.18582). Coconut and CODI decode K latents one after the other: latent i is
the hidden state before it. PCCoT begins with the embedding of `<latent>` at all
K positions and computes all latents T times at once, each from the states of
the iteration before. With T = K the latents are those of decoding in sequence
(ops/latent_passes.py), with fewer the last ones are approximate, in training as
in decoding; the time is that of T passes.

The prefix is `<start-latent>`, the latents and `<end-latent>`; then the model
answers with plain tokens. Rescoring recomputes it under its own weights, with
gradient, so that the ratio to the policy that sampled is exact, and several
updates per rollout are allowed. Around `projected` the latents are projected
states, as in the paper, which trains with CODI's self-distillation.
"""

import functools
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, Key

from hybrid_latent.curricula.base import token_ids
from hybrid_latent.feedback.base import parameters
from hybrid_latent.feedback.discrete import discrete
from hybrid_latent.feedback.hidden import hidden
from hybrid_latent.ops.latent_passes import recomputed_latents
from hybrid_latent.policy import Policy
from hybrid_latent.ranges import PositiveInt
from hybrid_latent.types import Feedback


class ParallelLatents(NamedTuple):
  """The settings, as arrays."""

  begin: Int[Array, 's']  # token ids
  slots: Int[Array, 'k']  # one per latent
  closing: Int[Array, 'e']
  inner: Any = None  # parameters of the wrapped feedback


def parallel_latents(
  key: Key[Array, ''] | None,
  model: Any,
  tokenizer: Any,
  *,
  num_latents: PositiveInt = 24,
  inner: Any = None,
  start: str = '<start-latent>',
  slot: str = '<latent>',
  end: str = '<end-latent>',
) -> ParallelLatents:
  """Settings for a tokenizer that has the three tokens."""
  first, within, last = token_ids(tokenizer, start, slot, end)
  ids = lambda *tokens: jnp.array(tokens, jnp.int32)
  slots = ids(*[within] * num_latents)
  return ParallelLatents(ids(first), slots, ids(last), inner)


@functools.cache  # one object, so that a jit that takes it compiles once
def jacobi(
  inside: Feedback | None = None, *, passes: PositiveInt = 3
) -> Feedback:
  """T `passes` with the latents of the feedback `inside` (by default
  `hidden()`), for a `Policy(model, parallel_latents(...))`."""
  latent_from_hidden: Any = (inside or hidden()).latent_from_hidden
  of_hidden = lambda model, states: latent_from_hidden(
    Policy(model, _settings(model).inner), states
  )

  def prefix(model, prompt):
    settings = _settings(model)
    parts = settings.begin, settings.slots, settings.closing
    x = model.embed(jnp.concatenate(parts))
    is_latent = np.repeat([False, True, False], [len(part) for part in parts])
    rows = lambda array: jnp.broadcast_to(
      array, (prompt.tokens.shape[0], *array.shape)
    )
    before = lambda x: jnp.roll(prompt.forward(x), 1, axis=1)
    return recomputed_latents(
      *(model, rows(x), rows(is_latent), of_hidden, before), passes=passes
    )

  return discrete()._replace(prefix=prefix, latent_from_hidden=of_hidden)


def _settings(model) -> ParallelLatents:
  return parameters(model, 'parallel_latents', ParallelLatents)
