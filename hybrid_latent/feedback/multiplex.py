"""Multiplex Thinking: several tokens drawn per step, and their mean read.

"Multiplex Thinking", Tang et al., arXiv 2601.08808. While the thinking
continues, `width` tokens are drawn independently from the distribution that is
sampled from; the next input is their mean embedding, and its score the sum of
their log-probs. The first of them is the text, and ends the thinking.

As released (GMLR-Penn/Multiplex-Thinking: sglang's sampler.py, verl's
core_algos.py), with both weightings: uniform (`enable_unweighting`, as in the
README's command), or by the tokens' probabilities. The release clips the ratio
of each token, we that of their product: the same gradient in its runs, which
update once per rollout. `width=1` is discrete decoding.
"""

import functools

import jax
import jax.numpy as jnp

from hybrid_latent.feedback.base import drawn_token
from hybrid_latent.feedback.mixtures import (
  Mixture,
  mixture_inputs,
  mixture_logits,
  mixture_output,
  no_mixture,
)
from hybrid_latent.ops.sampling import draw
from hybrid_latent.ranges import PositiveInt
from hybrid_latent.types import Feedback


@functools.cache  # one object, so that a jit that takes it compiles once
def multiplex(width: PositiveInt = 3, weighted: bool = False) -> Feedback:
  """The feedback of `width` tokens per step, `weighted` by their
  probabilities or uniformly."""

  def init(batch):
    return no_mixture(batch, width)

  def step(model, state, keys, out):
    split = jax.vmap(lambda key: jax.random.split(key, width - 1))(keys)
    more = [
      draw(split[:, i], out.filtered, out.greedy) for i in range(width - 1)
    ]
    ids = jnp.stack([out.token, *more], axis=1)
    logits = jnp.take_along_axis(out.filtered, ids, axis=-1)
    weights = jax.nn.softmax(logits if weighted else jnp.zeros_like(logits))
    mixture = Mixture(ids, weights)
    return mixture_output(model, mixture, out, mixture._asdict())

  def recompute_inputs(model, record, tokens):
    # Recorded weights: constants, and those of the rollout.
    weights = jax.lax.stop_gradient(record['weights'])
    mixture = Mixture(record['ids'], weights)
    return mixture_inputs(model, mixture, record['fed'], tokens)

  def log_prob(model, inputs, record):
    ids = record['ids']
    chosen = jnp.take_along_axis(inputs.token_logits, ids[..., 1:], axis=-1)
    total = jax.nn.logsumexp(inputs.token_logits, axis=-1, keepdims=True)
    # The first is the token itself.
    further = jnp.sum(chosen - total, axis=-1)
    return inputs.token_log_probs + jnp.where(record['fed'], further, 0)

  return Feedback(
    init,
    step,
    recompute_inputs,
    log_prob,
    drawn_token,
    mixture_logits=mixture_logits,
    latents_are_actions=True,
  )
