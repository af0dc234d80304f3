"""Reading texts in which some inputs are latents: functions of the parameters
and of all that stands before them, through which the gradient flows.

A latent at position t is made of the hidden state at t - 1, which has read the
latents before it: a recurrence. Instead of step by step, all positions are read
at once, several times: pass k fills every latent from the states of pass
k - 1. The first latent of each text is right after one pass, the second after
two; after as many passes as a text has latents all are, and so are their
gradients, since no right latent depends on a wrong one. Texts of one row, and
spans that lie at different places, are refined side by side. A pass costs a
forward pass, and its activations are made again on the way back: memory grows
by the inputs [b t d] of each.

Coconut (arXiv 2412.06769) computes the same with one forward pass for each
latent over a key-value cache, for which all rows must have their latents in
the same columns.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from hybrid_latent.ops.attention import segment_mask, segment_positions
from hybrid_latent.ops.logprobs import over_chunks, token_scores
from hybrid_latent.types import LanguageModel, TokenBatch


class TargetScores(NamedTuple):
  """What a model makes of each token of a text, given those before it."""

  log_probs: Float[Array, 'b t']  # nats
  entropy: Float[Array, 'b t']  # nats, of what was expected in its place
  is_argmax: Bool[Array, 'b t']  # it is the likeliest token


def inputs_with_latents(
  model: LanguageModel,
  texts: TokenBatch,
  latent_from_hidden: Callable | None,
  *,
  passes: int,
  bptt_steps: int = 0,
) -> Float[Array, 'b t d']:
  """What the model reads: embeddings, and latents where `texts.latent`.

  Args:
    latent_from_hidden: (model, hidden states after the final norm) to inputs
      [b t d]; see types.Feedback.
    passes: at least the most latents of a text (static); more change nothing.
    bptt_steps: a gradient goes back through this many latents at most; 0: all.
  """
  embedded = model.embed(texts.tokens)
  if not passes:
    return embedded
  if latent_from_hidden is None:
    raise ValueError(
      'these texts have latents, and the feedback makes none of a state alone: '
      "write one that does, such as config.feedback.function='hidden:hidden'"
    )
  layout = positions_and_mask(texts)

  def refined(x, _):
    hidden, _ = model.forward(x, None, *layout)
    made = latent_from_hidden(model, jnp.roll(hidden, 1, axis=1)).astype(
      x.dtype
    )
    return jnp.where(texts.latent[..., None], made, embedded), None

  refined = jax.checkpoint(refined)
  free = min(bptt_steps or passes, passes)
  x, _ = jax.lax.scan(refined, embedded, length=passes - free)
  if free < passes:
    x = jnp.where(texts.latent[..., None], jax.lax.stop_gradient(x), embedded)
  return jax.lax.scan(refined, x, length=free)[0]


def positions_and_mask(
  texts: TokenBatch,
) -> tuple[Int[Array, 'b t'], Bool[Array, 'b t t']]:
  """The positions and the mask of a forward pass: each text by itself."""
  return segment_positions(texts.segments), segment_mask(texts.segments)


def score_tokens(
  model: LanguageModel,
  texts: TokenBatch,
  hidden: Float[Array, 'b t d'],
  *,
  logits_chunk: int = 128,
) -> TargetScores:
  """What `hidden`, the states at each position, say of the next one; where a
  text begins this means nothing. At most `logits_chunk` positions have
  logits."""

  def of(part):
    hidden, tokens = part
    logits = model.unembed(hidden)
    scores = token_scores(logits, tokens)
    best = jnp.argmax(logits, axis=-1) == tokens
    return TargetScores(scores.log_probs, scores.entropy, best)

  return over_chunks(
    of, (jnp.roll(hidden, 1, axis=1), texts.tokens), logits_chunk
  )
