"""The last hidden state is the next input, while the model thinks.

The state is the one after the final norm: what the output head reads, as in
Coconut (arXiv 2412.06769) and HyRea (ICLR 2026), and as HRPO's "direct"
ablation (arXiv 2505.18454, section 4.3), which reports that it gives nonsense
without supervised training: such a state has another norm and lies elsewhere
than any token's embedding.

A token is drawn at every position all the same; it is the text, and what a
policy gradient scores. The states are recorded and replayed as constants:
gradients reach the model through what it makes of them. Supervised training
goes *through* them (`hybrid_latent/latents.py`).
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
