"""The mode of each prompt, and the mask of prompts with a prefix of latents."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from hybrid_latent.types import Feedback, Mode, Prompt


def prompt_mode(feedback: Feedback, prompt: Prompt) -> Int[Array, 'u']:
  """The types.Mode of each prompt. LATENT needs a feedback with a prefix;
  without one it is the same as NO_THINKING."""
  if prompt.mode is None:
    default = Mode.LATENT if feedback.prefix else Mode.CHAIN_OF_THOUGHT
    return jnp.full(prompt.ids.shape, default, jnp.int32)
  return prompt.mode


def with_prefix(
  mask: Bool[Array, 'u p'], latent: Bool[Array, 'u'], length: int
) -> Bool[Array, 'u p+{length}']:
  """The mask with that of a prefix: True in `latent` rows, else False. The
  completion of a row without prefix begins at the position after its prompt."""
  after = jnp.broadcast_to(latent[:, None], (mask.shape[0], length))
  return jnp.concatenate([mask, after], axis=1)
