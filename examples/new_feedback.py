r"""A custom feedback with trained parameters.

A trainer imports it from the folder in which it is started, or from any
installed package:

    python -m experiments.grpo --workdir=runs/mine --config=grpo_gsm8k:MODEL \
        --config.feedback.function=new_feedback:residual \
        --config.feedback.init=new_feedback:scale \
        --config.optimizer.groups.mine.pattern='^feedback\.' \
        --config.optimizer.groups.mine.lr=1e-3
"""

# --- docs: begin
import functools

import jax
import jax.numpy as jnp

import hybrid_latent as hl
from hybrid_latent.feedback.base import drawn_token, stateless, token_log_prob


def scale(key, model, tokenizer=None):
  """The feedback's parameters: one factor per channel, initially 0."""
  width = model.embed(jnp.zeros(1, jnp.int32)).shape[-1]
  return {'scale': jnp.zeros(width)}


@functools.cache  # one object, so that a jit that takes it compiles once
def residual() -> hl.Feedback:
  """During the thinking the next input is e + scale * h: the embedding of the
  sampled token and the hidden state that it was sampled from."""

  def mixed(model, tokens, hidden, thinking):
    embedded = model.embed(tokens)
    latent = model.feedback['scale'] * hidden
    x = embedded + jnp.where(thinking[..., None], latent, 0)
    return x.astype(embedded.dtype)

  def step(model, state, keys, out):
    record = {'hidden': out.hidden, 'thinking': out.thinking_continues}
    x = mixed(model, out.token, out.hidden, out.thinking_continues)
    return hl.FeedbackOutput(
      x, record, out.thinking_continues.astype(jnp.float32), state
    )

  def recompute_inputs(model, record, tokens):
    # A constant: the gradient of each position stays within it.
    hidden = jax.lax.stop_gradient(record['hidden'])
    return mixed(model, tokens, hidden, record['thinking'])

  return hl.Feedback(
    stateless, step, recompute_inputs, token_log_prob, drawn_token
  )


# --- docs: end
