"""Soft Thinking: concept tokens instead of words, without any training.

"Soft Thinking", Zhang et al., arXiv 2505.15778. During the thinking the next
input is the mean embedding of the `width` likeliest tokens of the filtered
distribution, weighted by their renormalised probabilities; the likeliest is the
text. *Cold stop*: when the entropy of the full distribution, at the sampling
temperature and before any filter, has been below `threshold` nats for
`patience` steps in a row, the end-of-thinking token is written. The answer is
sampled as plain tokens, with the same temperature and filters.

As released, without what the paper does not describe: in the release a low
entropy after the thinking aborts the request, Dirichlet or Gumbel noise can be
added, and weights are mixed in the embedding's dtype (here float32). The
delimiter of the run ends the thinking, so models without an end-of-thinking
token work as well.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.special import entr
from jaxtyping import Array, Float, Int, Key

from hybrid_latent.feedback.base import (
  latent_where,
  parameters,
  recorded_latents,
  token_log_prob,
)
from hybrid_latent.ops.sampling import top_k
from hybrid_latent.ops.soft import top_soft_embedding
from hybrid_latent.policy import embedding_table
from hybrid_latent.ranges import NonNegativeFloat, PositiveInt
from hybrid_latent.types import Feedback


class ColdStop(NamedTuple):
  """The settings, as arrays: a change never recompiles."""

  end: Int[Array, '']  # the id that ends the thinking
  threshold: Float[Array, '']  # nats; 0: never
  patience: Int[Array, '']  # steps in a row below it


def cold_stop(
  key: Key[Array, ''] | None,
  model: Any,
  tokenizer: Any,
  *,
  end: str = '</think>',
  threshold: NonNegativeFloat = 0.01,
  patience: PositiveInt = 256,
) -> ColdStop:
  """Settings for a tokenizer, in which `end` is one token."""
  ids = tokenizer(end, add_special_tokens=False)['input_ids']
  if threshold and len(ids) != 1:
    raise ValueError(
      f'cold_stop: end={end!r} is {len(ids)} tokens: write the delimiter as '
      'one token of this tokenizer, or threshold=0 for no cold stop'
    )
  if threshold < 0 or patience < 1:
    raise ValueError(
      f'cold_stop: threshold={threshold}, patience={patience}: write a '
      'threshold >= 0 in nats (0: no cold stop) and a patience >= 1'
    )
  return ColdStop(
    jnp.int32((ids or [-1])[-1]), jnp.float32(threshold), jnp.int32(patience)
  )


@functools.cache  # one object, so that a jit that takes it compiles once
def soft_thinking(width: PositiveInt = 10) -> Feedback:
  """The feedback for a `Policy(model, cold_stop(...))`; `width` is the number
  of tokens per concept."""

  def init(batch):
    return jnp.zeros(batch, jnp.int32)  # steps of low entropy in a row

  def select_token(model, count, out):
    likeliest = jnp.argmax(out.filtered, axis=-1)
    stops = _next_count(model, count, out) >= _settings(model).patience
    concept = jnp.where(stops, _settings(model).end, likeliest)
    token = jnp.where(out.in_thinking, concept, out.token)
    # Deterministic in the thinking: no policy gradient there.
    return token.astype(out.token.dtype), ~out.in_thinking

  def step(model, count, keys, out):
    concept = top_soft_embedding(
      out.filtered, embedding_table(model), width=width
    )
    count = _next_count(model, count, out)
    return latent_where(
      out.thinking_continues, concept.mixture, model, out, count
    )

  def mixture_logits(model, count, out):
    top, _ = top_k(out.filtered, min(width, out.filtered.shape[-1]))
    kept = out.filtered >= top[:, -1:]
    return jnp.where(kept, out.filtered, -jnp.inf)

  return Feedback(
    init,
    step,
    recorded_latents,
    token_log_prob,
    select_token,
    mixture_logits=mixture_logits,
  )


def _settings(model) -> ColdStop:
  return parameters(model, 'cold_stop', ColdStop)


def _next_count(model, count, out):
  """Steps of low entropy in a row, this one included."""
  p = jax.nn.softmax(out.logits / out.temperature, axis=-1)
  entropy = jnp.sum(entr(p), axis=-1)  # never below 0, not even by rounding
  return jnp.where(entropy < _settings(model).threshold, count + 1, 0)
