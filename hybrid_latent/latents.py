"""Supervised training on texts in which some inputs are latents: functions of
the parameters and of the positions before them, with gradient
(ops/latent_passes.py).

Coconut (arXiv 2412.06769) computes the same with one forward pass per latent
over a key-value cache, for which all rows must have their latents in the same
columns.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from hybrid_latent.ops.latent_passes import recomputed_latents
from hybrid_latent.ops.logprobs import over_chunks, token_scores
from hybrid_latent.policy import positions_and_mask
from hybrid_latent.types import LanguageModel, TokenBatch


class TargetScores(NamedTuple):
  """Scores of each token of a text, given those before it."""

  log_probs: Float[Array, 'b t']  # nats
  entropy: Float[Array, 'b t']  # nats, of the distribution at its position
  is_argmax: Bool[Array, 'b t']  # it is the likeliest token


def inputs_with_latents(
  model: LanguageModel,
  texts: TokenBatch,
  latent_from_hidden: Callable | None,
  *,
  passes: int,
  bptt_steps: int = 0,
) -> Float[Array, 'b t d']:
  """The model's inputs: embeddings, and latents where `texts.latent`.

  Args:
    latent_from_hidden: (model, hidden states after the final norm) to inputs
      [b t d]; see types.Feedback.
    passes: at least the largest number of latents of a text (static); more
      change nothing.
    bptt_steps: the gradient flows through at most this many latents; 0: all.
  """
  embedded = _embedded(model, texts)
  layout = positions_and_mask(model, texts.segments)
  # A text's first position is no latent: the roll's state is of another text.
  before = lambda x: jnp.roll(model.forward(x, None, *layout)[0], 1, axis=1)
  of_texts = texts.latent, latent_from_hidden, before
  with_gradient = min(bptt_steps or passes, passes)
  x = recomputed_latents(
    model, embedded, *of_texts, passes=passes - with_gradient
  )
  if with_gradient < passes:
    # Cut at the latents only: embeddings keep their gradient.
    x = jnp.where(texts.latent[..., None], jax.lax.stop_gradient(x), embedded)
  return recomputed_latents(model, x, *of_texts, passes=with_gradient)


def score_tokens(
  model: LanguageModel,
  texts: TokenBatch,
  hidden: Float[Array, 'b t d'],
  *,
  logits_chunk: int = 128,
) -> TargetScores:
  """Scores of each token from `hidden` at the position before it; meaningless
  at the first position of a text. At most `logits_chunk` positions have logits
  at a time. The log-prob of a mixture is the mean over its tokens by their
  shares, so that its negative is the cross-entropy towards it."""

  def score(chunk):
    hidden, tokens, targets, shares = chunk
    logits = model.unembed(hidden)
    scores = token_scores(logits, tokens)
    is_argmax = jnp.argmax(logits, axis=-1) == tokens
    log_probs = scores.log_probs
    if targets is not None:
      each = jnp.take_along_axis(jax.nn.log_softmax(logits), targets, axis=-1)
      whole = jnp.maximum(shares.sum(-1), jnp.finfo(shares.dtype).tiny)
      log_probs = jnp.einsum('btm,btm->bt', shares, each) / whole
    return TargetScores(log_probs, scores.entropy, is_argmax)

  # Rolled inputs, not shifted outputs: every chunk keeps the same shape.
  previous = jnp.roll(hidden, 1, axis=1)
  chunks = previous, texts.tokens, texts.targets, texts.shares
  return over_chunks(score, chunks, logits_chunk)


def _embedded(model: LanguageModel, texts: TokenBatch) -> Float[Array, 'b t d']:
  """The embedding of each token; of a mixture, the sum of its tokens' times
  their shares."""
  if texts.targets is None:
    return model.embed(texts.tokens)
  each, shares = model.embed(texts.targets), jnp.asarray(texts.shares)
  return jnp.einsum('btm,btmd->btd', shares.astype(each.dtype), each)
