"""Scores of the tokens of a prompt, which `echo` with `logprobs` returns."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from hybrid_latent.ops.logprobs import over_chunks, token_scores
from hybrid_latent.ops.sampling import top_k
from hybrid_latent.policy import checked_forward, positions_and_mask
from hybrid_latent.types import LanguageModel, Prompt

TOP = 5  # of OpenAI's API, the most that a request may ask for
_CHUNK = 32  # positions whose logits exist at a time


class PromptScores(NamedTuple):
  """Of each token given those before it; meaningless at the first."""

  log_probs: Float[Array, '*b p']  # nats
  top_ids: Int[Array, '*b p top']  # the likeliest tokens
  top_log_probs: Float[Array, '*b p top']


@jax.jit
def prompt_scores(model: LanguageModel, prompt: Prompt) -> PromptScores:
  """Scores of prompts in plain tokens, whatever their mode."""
  x = model.embed(prompt.tokens)
  layout = positions_and_mask(model, prompt.mask)
  hidden, _ = checked_forward(model, x, None, *layout)

  def score(chunk):
    hidden, tokens = chunk
    logits = model.unembed(hidden)
    b, t, v = logits.shape
    top, ids = top_k(logits.reshape(b * t, v), TOP)
    rest = jax.nn.logsumexp(logits, axis=-1, keepdims=True)
    return PromptScores(
      token_scores(logits, tokens).log_probs,
      ids.reshape(b, t, TOP),
      top.reshape(b, t, TOP) - rest,
    )

  # Rolled inputs, not shifted outputs: every chunk keeps the same shape.
  return over_chunks(
    score, (jnp.roll(hidden, 1, axis=1), prompt.tokens), _CHUNK
  )
