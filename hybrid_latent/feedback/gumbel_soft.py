"""SofT-GRPO and Latent-GRPO: soft thinking drawn with Gumbel noise.

"SofT-GRPO", Zheng and Lee, arXiv 2511.06411; "Latent-GRPO", Deng et al., arXiv
2604.27998. While the thinking continues the next input is
  x = softmax(g / tau) @ E,   g = log p + noise,   noise ~ Gumbel(0, 1)
over the `width` tokens of largest g, clipped noise as in both releases. Its
score is the density of the noise, d = g - log p with log p recomputed,
  log pi(x) = mean over the tokens of (-d - exp(-d)),
a mean in both releases (the joint density is the sum): the ratio of two
policies is the geometric mean of those of the tokens.

SofT-GRPO (zz1358m/SofT-GRPO-master: sglang's sampler.py, verl's
torch_functional.py): p is renormalised over the tokens, which are those that
top-k and top-p keep; those with log p <= -3 are not scored. Latent-GRPO
(fengjixing-stupid/Latent-GRPO, the same files): p is of the whole vocabulary,
noise is one-sided (clipped, then shifted to be >= 0), so that a step scores the
tokens of a mixture up together; every token is scored.

The written token is drawn from p as ever, and the noise is drawn given that
this token has the largest g: the joint distribution is that of the papers,
where it is the largest g, but for the clipping, which we apply afterwards. So
the text, and the end of the thinking, is that of discrete decoding with these
keys, and with tau near 0 and no clipping every input is as well.

We differ from the releases: log p is at the score temperature, as for words
(Latent-GRPO has 1 for latents, 0.6 for words); which tokens are scored is
decided at sampling, not by the trained weights; d is not clipped again when it
is scored; gradients reach E through the mixture. Not here is Latent-GRPO's
reversed gradient for d < 0 at negative advantages: with one-sided noise d is
negative only where an update has raised log p past g. Not for spans
(`switching`): their token is forced, not drawn.
"""

import functools
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key

from hybrid_latent.feedback.base import drawn_token, parameters
from hybrid_latent.feedback.mixtures import (
  Mixture,
  gumbel_noise_of_token,
  mixture_inputs,
  mixture_logits,
  mixture_output,
  no_mixture,
)
from hybrid_latent.ops.sampling import top_k
from hybrid_latent.ranges import (
  NonNegativeFloat,
  PositiveFloat,
  PositiveInt,
  Range,
)
from hybrid_latent.types import Feedback

_EXCLUDED = -1e9  # g of a token that the filters exclude


class GumbelNoise(NamedTuple):
  """The settings, as arrays: a change never recompiles."""

  temperature: Float[Array, '']  # tau
  scale: Float[Array, '']  # of the noise; 0: none
  low: Float[Array, '']  # the noise is clipped to [low, high] before the scale
  high: Float[Array, '']
  shift: Float[Array, '']  # added to the clipped noise; -low: one-sided
  renormalized: Bool[Array, '']  # p over the tokens of the mixture, or over all
  min_log_prob: Float[Array, '']  # at most this likely: not scored


def gumbel_noise(
  key: Key[Array, ''] | None,
  model: Any = None,
  tokenizer: Any = None,
  *,
  temperature: PositiveFloat = 0.1,
  scale: NonNegativeFloat = 1.0,
  low: float = -1.5,
  high: float = 3.0,
  one_sided: bool = False,
  renormalized: bool = True,
  min_log_prob: Annotated[float, Range(infinite=True)] = -3.0,
) -> GumbelNoise:
  """Settings, by default those of SofT-GRPO."""
  if temperature <= 0 or scale < 0 or low >= high:
    raise ValueError(
      f'gumbel_noise: temperature={temperature}, scale={scale}, low={low}, '
      f'high={high}: write a temperature > 0, a scale >= 0 and low < high'
    )
  shift = -low if one_sided else 0.0
  return GumbelNoise(
    temperature=jnp.float32(temperature),
    scale=jnp.float32(scale),
    low=jnp.float32(low),
    high=jnp.float32(high),
    shift=jnp.float32(shift),
    renormalized=jnp.bool_(renormalized),
    min_log_prob=jnp.float32(min_log_prob),
  )


@functools.cache  # one object, so that a jit that takes it compiles once
def gumbel_soft(width: PositiveInt = 5) -> Feedback:
  """The feedback for a `Policy(model, gumbel_noise(...))`; `width` is the
  number of tokens per latent."""

  def init(batch):
    return no_mixture(batch, width)

  def step(model, state, keys, out):
    settings, kept = _settings(model), out.filtered > -jnp.inf
    clipped = jnp.clip(
      gumbel_noise_of_token(keys, out), settings.low, settings.high
    )
    noise = settings.scale * (clipped + settings.shift)
    noise = jnp.where(out.greedy[:, None], 0, noise)
    scaled = out.logits / out.temperature
    g, ids = top_k(jnp.where(kept, scaled + noise, _EXCLUDED), width)
    log_p = _log_probs(settings, scaled, ids, g)
    # Relative to log p: what is added to it is all that a score depends on.
    g = log_p + jnp.take_along_axis(noise, ids, axis=-1)
    g = jnp.where(jnp.take_along_axis(kept, ids, axis=-1), g, _EXCLUDED)
    scored = (g > _EXCLUDED) & (log_p > settings.min_log_prob)
    record = {'ids': ids, 'g': g, 'scored': scored}
    return mixture_output(model, _mixture(settings, record), out, record)

  def recompute_inputs(model, record, tokens):
    mixture = _mixture(_settings(model), record)
    return mixture_inputs(model, mixture, record['fed'], tokens)

  def log_prob(model, inputs, record):
    settings, ids = _settings(model), record['ids']
    g = jax.lax.stop_gradient(record['g'])
    log_p = _log_probs(settings, inputs.token_logits, ids, g)
    random = settings.scale > 0
    d = (g - log_p) / jnp.where(random, settings.scale, 1)
    # Without noise the input is not random: no gradient.
    d = jnp.where(record['scored'] & random, d, 0)
    density = jnp.where(record['scored'] & random, -d - jnp.exp(-d), 0)
    count = jnp.maximum(jnp.sum(record['scored'], axis=-1), 1)
    score = jnp.sum(density, axis=-1) / count
    return jnp.where(record['fed'], score, inputs.token_log_probs)

  return Feedback(
    init,
    step,
    recompute_inputs,
    log_prob,
    drawn_token,
    mixture_logits=mixture_logits,
    latents_are_actions=True,
  )


def _settings(model) -> GumbelNoise:
  return parameters(model, 'gumbel_noise', GumbelNoise)


def _log_probs(settings, logits, ids, g):
  """log p of the tokens of a mixture."""
  chosen = jnp.take_along_axis(logits, ids, axis=-1)
  own = jax.nn.logsumexp(
    jnp.where(g > _EXCLUDED, chosen, -jnp.inf), axis=-1, keepdims=True
  )
  total = jax.nn.logsumexp(logits, axis=-1, keepdims=True)
  return chosen - jnp.where(settings.renormalized, own, total)


def _mixture(settings, record):
  g = jax.lax.stop_gradient(record['g'])
  return Mixture(record['ids'], jax.nn.softmax(g / settings.temperature))
