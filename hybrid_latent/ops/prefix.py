"""Which prompts are followed by latents that are read at once, and the mask of
both."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from hybrid_latent.types import Feedback, Mode, Prompt


def prompt_mode(feedback: Feedback, prompt: Prompt) -> Int[Array, 'u']:
  """How each prompt is answered, a types.Mode. LATENT needs a feedback that
  has a prefix; without one it is NEITHER."""
  if prompt.mode is None:
    own = Mode.LATENT if feedback.prefix else Mode.CHAIN_OF_THOUGHT
    return jnp.full(prompt.ids.shape, own, jnp.int32)
  return prompt.mode


def with_prefix(
  mask: Bool[Array, 'u p'], latent: Bool[Array, 'u'], length: int
) -> Bool[Array, 'u p+{length}']:
  """The positions that count: of a prefix all where it is `latent`, else none.
  A row without one goes on right after its prompt, at the next position."""
  after = jnp.broadcast_to(latent[:, None], (mask.shape[0], length))
  return jnp.concatenate([mask, after], axis=1)
