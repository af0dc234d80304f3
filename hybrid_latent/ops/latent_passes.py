"""Latents as functions of the parameters and of the positions before them, with
gradient, at all positions in parallel.

The latent at position t is computed from the hidden state at t - 1, which
depends on the latents before it: a recurrence. Instead of position by position
it is solved by fixed-point passes over all positions: pass k computes every
latent from the states of pass k - 1. The first latent of each text is exact
after one pass, the second after two; after as many passes as a text has latents
all are, and so are their gradients, since no exact latent depends on an inexact
one. Texts of one row, and spans at different positions, are solved in
parallel. A pass costs a forward pass, and its activations are recomputed in the
backward pass: memory grows by the inputs [b t d] of each.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from hybrid_latent.types import LanguageModel


def recomputed_latents(
  model: LanguageModel,
  x: Float[Array, 'b t d'],
  is_latent: Bool[Array, 'b t'],
  latent_from_hidden: Callable | None,
  states_before: Callable[[Float[Array, 'b t d']], Float[Array, 'b t d']],
  *,
  passes: int,
) -> Float[Array, 'b t d']:
  """The inputs `x` after `passes` (static), which replace its latents.

  Args:
    is_latent: only where `states_before` has a state of the same text.
    latent_from_hidden: (model, hidden states after the final norm) to inputs
      [b t d]; see types.Feedback.
    states_before: inputs [b t d] to the hidden states [b t d] at the position
      before each, by the model.
  """
  if not passes:
    return x
  if latent_from_hidden is None:
    raise ValueError(
      'latent_from_hidden is None, but latents are to be computed: write a '
      "feedback that has it, such as config.feedback.function='hidden:hidden'"
    )

  @jax.checkpoint  # else the scan would save the activations of every pass
  def one_pass(inputs, _):
    states = states_before(inputs)
    latent = latent_from_hidden(model, states).astype(x.dtype)
    return jnp.where(is_latent[..., None], latent, x), None

  return jax.lax.scan(one_pass, x, length=passes)[0]
