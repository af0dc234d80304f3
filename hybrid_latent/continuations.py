"""Log-probs of given continuations of prompts, which were not sampled."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from hybrid_latent.feedback.discrete import discrete
from hybrid_latent.latents import TargetScores
from hybrid_latent.ops.logprobs import over_chunks, token_scores
from hybrid_latent.rescoring import hidden_states
from hybrid_latent.types import Feedback, LanguageModel, Prompt, Trajectory


def score_continuations(
  model: LanguageModel,
  feedback: Feedback,
  prompt: Prompt,
  tokens: Int[Array, 'b t'],
  mask: Bool[Array, 'b t'],
  *,
  logits_chunk: int = 128,
) -> TargetScores:
  """Scores [b t] of the tokens of each continuation, from one forward pass; 0
  where `mask` is False, on the padding on its right.

  They are scored as tokens, of other latents only after those of a prefix, in
  prompts of Mode.LATENT. Row u * group + g is of prompt u. At most
  `logits_chunk` positions have logits at a time.
  """
  unset: Any = [None] * len(Trajectory._fields)
  given = Trajectory(*unset)._replace(tokens=tokens, mask=mask, record=())
  as_tokens = discrete()._replace(prefix=feedback.prefix)
  hidden = hidden_states(model, as_tokens, prompt, given)

  def scores(part):
    hidden, tokens = part
    logits = model.unembed(hidden)
    is_argmax = jnp.argmax(logits, axis=-1) == tokens
    return TargetScores(*token_scores(logits, tokens), is_argmax)

  found = over_chunks(scores, (hidden, tokens), logits_chunk)
  return jax.tree.map(lambda x: jnp.where(mask, x, jnp.zeros_like(x)), found)
