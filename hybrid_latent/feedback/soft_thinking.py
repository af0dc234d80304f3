"""Soft Thinking: concept tokens instead of words, without any training.

"Soft Thinking", Zhang et al., arXiv 2505.15778. During the thinking the next
input is the mean embedding of the `width` likeliest tokens of the filtered
distribution, weighted by their renormalised probabilities; the likeliest is the
text. *Cold stop*: when the entropy of the full distribution, at the sampling
temperature and before any filter, has been below `threshold` nats for
`patience` steps in a row, the end-of-thinking token is written. The answer is
sampled as plain tokens, with the same temperature and filters.

As released, without what the paper does not describe: in the release a low
entropy after the thinking aborts the request, and weights are mixed in the
embedding's dtype (here float32). The delimiter of the run ends the thinking, so
models without an end-of-thinking token work as well.

`noise`: "LLMs are Single-threaded Reasoners" (Wu et al., arXiv 2508.03440)
finds that plain concept tokens are decoded greedily, and draws their weights:
by Gumbel-Softmax, softmax((log p + Gumbel noise) / temperature), or from the
Dirichlet distribution of concentration * p. In the release of both (sampler.py
of eric-ai-lab/Soft-Thinking) the token of the largest weight is the text. Here
the text is drawn from p as ever, and the weights are drawn given it, which
leaves their distribution as it is: with Gumbel noise the token has the largest
perturbed log p of all that the filters keep, and of Dirichlet weights it is a
sample. The Dirichlet is over the `width` likeliest tokens; the release draws
the weights of all, then keeps the largest.
"""

import functools
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import entr
from jaxtyping import Array, Float, Int, Key

from hybrid_latent.feedback.base import (
  latent_where,
  parameters,
  recorded_latents,
  token_log_prob,
)
from hybrid_latent.feedback.mixtures import (
  Mixture,
  gumbel_noise_of_token,
  mixture_logits,
  no_mixture,
)
from hybrid_latent.ops.sampling import argmax, likeliest
from hybrid_latent.ranges import NonNegativeFloat, PositiveFloat, PositiveInt
from hybrid_latent.types import Feedback


class ColdStop(NamedTuple):
  """The settings, as arrays: a change never recompiles."""

  end: Int[Array, '']  # the id that ends the thinking
  threshold: Float[Array, '']  # nats; 0: never
  patience: Int[Array, '']  # steps in a row below it
  # Of the noise.
  temperature: Float[Array, ''] | np.float32 = np.float32(0.5)
  concentration: Float[Array, ''] | np.float32 = np.float32(1)


def cold_stop(
  key: Key[Array, ''] | None,
  model: Any,
  tokenizer: Any,
  *,
  end: str = '</think>',
  threshold: NonNegativeFloat = 0.01,
  patience: PositiveInt = 256,
  temperature: PositiveFloat = 0.5,
  concentration: PositiveFloat = 1.0,
) -> ColdStop:
  """Settings for a tokenizer, in which `end` is one token; `temperature` is of
  Gumbel noise, `concentration` of Dirichlet noise."""
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
    *(jnp.int32((ids or [-1])[-1]), jnp.float32(threshold)),
    *(jnp.int32(patience), jnp.float32(temperature)),
    jnp.float32(concentration),
  )


@functools.cache  # one object, so that a jit that takes it compiles once
def soft_thinking(
  width: PositiveInt = 10, noise: Literal['', 'gumbel', 'dirichlet'] = ''
) -> Feedback:
  """The feedback for a `Policy(model, cold_stop(...))`; `width` is the number
  of tokens per concept."""
  draw = NOISES[noise]

  def init(batch):
    # Steps of low entropy in a row, and the last concept.
    return jnp.zeros(batch, jnp.int32), no_mixture(batch, width)

  def select_token(model, state, out):
    settings = _settings(model)
    plain = out.token if noise else argmax(out.filtered)
    stops = _next_count(model, state[0], out) >= settings.patience
    concept = jnp.where(stops, settings.end, plain)
    token = jnp.where(out.in_thinking, concept, out.token)
    # Latents without a score: no policy gradient in the thinking.
    return token.astype(out.token.dtype), ~out.in_thinking

  def step(model, state, keys, out):
    k = min(width, out.filtered.shape[-1])
    top, ids = likeliest(out.filtered, out.likeliest, k)
    drawn = draw(_settings(model), keys, out, top, ids)
    weights = jnp.where(out.greedy[:, None], top, drawn)
    concept = Mixture(ids, jax.nn.softmax(weights))
    state = _next_count(model, state[0], out), concept
    latent = concept.embed(model)
    return latent_where(out.thinking_continues, latent, model, out, state)

  return Feedback(
    init,
    step,
    recorded_latents,
    token_log_prob,
    select_token,
    mixture_logits=lambda model, state, out: mixture_logits(
      model, state[1], out
    ),
  )


def _settings(model) -> ColdStop:
  return parameters(model, 'cold_stop', ColdStop)


def _next_count(model, count, out):
  """Steps of low entropy in a row, this one included."""
  p = jax.nn.softmax(out.logits / out.temperature, axis=-1)
  entropy = jnp.sum(entr(p), axis=-1)  # never below 0, not even by rounding
  return jnp.where(entropy < _settings(model).threshold, count + 1, 0)


def _gumbel(settings, keys, out, top, ids):
  """The logits of a concept's weights."""
  noise = jnp.take_along_axis(gumbel_noise_of_token(keys, out), ids, axis=-1)
  return (top + noise) / settings.temperature


def _dirichlet(settings, keys, out, top, ids):
  """The logits of a concept's weights: given a sample of them, its token counts
  once more."""
  total = jax.nn.logsumexp(out.filtered, axis=-1, keepdims=True)
  count = settings.concentration * jnp.exp(top - total)
  kept, count = top > -jnp.inf, count + (ids == out.token[:, None])
  gamma = jax.vmap(jax.random.loggamma)(keys, jnp.where(kept, count, 1))
  return jnp.where(kept, gamma, -jnp.inf)


NOISES = {
  '': lambda settings, keys, out, top, ids: top,
  'gumbel': _gumbel,
  'dirichlet': _dirichlet,
}
