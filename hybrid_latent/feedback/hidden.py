"""The last hidden state is the next input during the thinking.

The state is the one after the final norm, the input of the output head, as in
Coconut (arXiv 2412.06769) and HyRea (ICLR 2026), and as in HRPO's "direct"
ablation (arXiv 2505.18454, section 4.3), which reports that it gives nonsense
without supervised training: norm and direction of such a state are unlike those
of any token's embedding.

A token is sampled at every position nevertheless; it is the text, and the
policy gradient scores it. The states are recorded, and constants in rescoring:
gradients reach the model through its computation on them. Supervised training
differentiates *through* them (`hybrid_latent/latents.py`).
"""

import functools

from hybrid_latent.feedback.base import (
  drawn_token,
  latent_where,
  recorded_latents,
  stateless,
  token_log_prob,
)
from hybrid_latent.types import Feedback


@functools.cache  # one object, so that a jit that takes it compiles once
def hidden() -> Feedback:
  """Feeds the post-norm hidden state until the thinking ends."""

  def step(model, state, keys, out):
    return latent_where(out.thinking_continues, out.hidden, model, out, state)

  return Feedback(
    stateless,
    step,
    recorded_latents,
    token_log_prob,
    drawn_token,
    latent_from_hidden=lambda model, hidden: hidden,
  )
