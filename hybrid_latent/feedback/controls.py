"""Controls of an evaluation of latents: each shows what an accuracy owes to
them. Each makes a feedback from one, for the same parameters; around it goes
`observed`.

  other_problem  positions and number of the latents stay, their content is that
                 of another problem
  pause          positions and number stay, without content: pause tokens
                 (Goyal et al., arXiv 2310.02226)
  dropped        there are no latents

Of a feedback that mixes into sampled tokens, as HRPO's, `pause` and `dropped`
are both discrete decoding. Where latents are the whole thinking (`hidden`,
`projected`, `soft`, `soft_thinking`, `prefix`), dropping them means an answer
without thinking: `dropped` with Mode.NO_THINKING prompts.
"""

import functools
from typing import Any

import jax.numpy as jnp

from hybrid_latent.feedback.base import token_log_prob
from hybrid_latent.feedback.discrete import discrete
from hybrid_latent.ops.prefix_latents import prefix_latents
from hybrid_latent.ops.sampling import argmax
from hybrid_latent.policy import embedding_table
from hybrid_latent.types import Feedback

_SOURCES = 'hidden', 'logits', 'filtered'  # what a latent is made of


@functools.cache  # one object, so that a jit that takes it compiles once
def other_problem(
  feedback: Feedback, group: int, table_shape: tuple[int, int]
) -> Feedback:
  """Latents made from the states of the problem before in the batch; tokens,
  spans, noise and the gate's input are the row's own.

  Rows have spans at different times, and thinkings end at different times: the
  latent is that of the donor's last latent step, this one included; before its
  first, that of its present step. A donor whose completion has ended is still
  decoded, unseen, and has spans. ValueError, while JAX traces, for a batch of
  one problem.

  Args:
    group: completions per prompt; the donor is the same completion of the
      prompt before.
    table_shape: [v d] of the model's embedding, `policy.table.shape`.
  """
  vocab, width = table_shape

  def init(batch):
    if batch <= group:
      raise ValueError(
        f'other_problem: {batch} rows in groups of {group} are one problem: '
        'write a batch of at least two'
      )
    widths = zip(_SOURCES, (width, vocab, vocab), strict=True)
    last = {name: jnp.zeros((batch, size)) for name, size in widths}
    return feedback.init(batch), jnp.zeros(batch, bool), last

  def select_token(model, state, out):
    return feedback.select_token(model, state[0], out)

  def step(model, state, keys, out):
    inner, had_latent, last = state
    own = feedback.step(model, inner, keys, out)
    is_latent = own.latent_share > 0
    present = is_latent | ~had_latent
    last = {
      name: jnp.where(present[:, None], getattr(out, name), values)
      for name, values in last.items()
    }
    output = feedback.step(model, inner, keys, from_donor(last, out))
    state = own.state, had_latent | is_latent, last
    return output._replace(latent_share=own.latent_share, state=state)

  def from_donor(last, out):
    rolled = {
      name: jnp.roll(values, group, axis=0).astype(getattr(out, name).dtype)
      for name, values in last.items()
    }
    # What was sorted and mixed is of the row's own distribution.
    return out._replace(**rolled, likeliest=None, mixture=None)

  mixture: Any = feedback.mixture_logits
  mixture_logits = mixture and (
    lambda model, state, out: mixture(
      model, state[0], from_donor(state[-1], out)
    )
  )
  own: Any = feedback.prefix
  prefix = own and (
    lambda model, prompt: jnp.roll(own(model, prompt), 1, axis=0)
  )
  return feedback._replace(
    init=init,
    step=step,
    select_token=select_token,
    prefix=prefix,
    mixture_logits=mixture_logits,
  )


@functools.cache
def pause(feedback: Feedback) -> Feedback:
  """The token's embedding in place of each latent: in spans, that of their
  `<latent>` token; in a prefix, the mean embedding of the vocabulary."""

  def step(model, state, keys, out):
    inner = feedback.step(model, state, keys, out)
    return discrete().step(model, inner.state, keys, out)

  own: Any = feedback.prefix

  def prefix(model, prompt):
    latents = own(model, prompt)
    mean = embedding_table(model).mean(0, dtype=jnp.float32)
    # The text around the latents stays.
    within = prefix_latents(model.feedback, latents)
    return latents.at[within].set(mean.astype(latents.dtype))

  return feedback._replace(
    step=step,
    recompute_inputs=discrete().recompute_inputs,
    log_prob=token_log_prob,
    latent_from_hidden=None,
    prefix=own and prefix,
    mixture_logits=None,
    unembed=None,
  )


@functools.cache
def dropped(feedback: Feedback) -> Feedback:
  """Discrete decoding without spans: where their start token is drawn, the
  likeliest other one is written. A span at the opening is not written
  either."""

  def select_token(model, state, out):
    spans = getattr(model, 'feedback', None)
    start = getattr(spans, 'start', -1)
    others = jnp.arange(out.logits.shape[-1]) != start
    likeliest = argmax(jnp.where(others, out.logits, -jnp.inf))
    starts = out.token == start
    token = jnp.where(starts, likeliest, out.token)
    return token.astype(out.token.dtype), ~starts

  return discrete()._replace(select_token=select_token)
