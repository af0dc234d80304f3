"""Spans of latents between words: the model decides where they begin.

HyRea ("Hybrid Reasoning", ICLR 2026): having drawn `<start-latent>`, the model
reads c latent inputs, its own last hidden states, then `<end-latent>`, and goes
on in words. The first latent is the state at `<start-latent>`. Each takes a
position, where the token `<latent>` is written.

Around any feedback, whose `thinking_continues` is then the span. By default
`<end-latent>` is forced after c slots; with `sampled` the model may also draw
it earlier, from the second slot on. Slots and forced tokens are not `free`: no
policy gradient scores them, as in the paper. That a span was *not* left is no
scored choice either, so `sampled` has a biased gradient.

With `opening` every completion begins with a span, which nobody draws: so
Coconut (arXiv 2412.06769) and CODI (arXiv 2502.21074) think before they speak.
"""

import functools
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int, Key

from hybrid_latent.feedback.base import parameters
from hybrid_latent.feedback.hidden import hidden
from hybrid_latent.policy import Policy
from hybrid_latent.ranges import PositiveInt
from hybrid_latent.types import Feedback


class Spans(NamedTuple):
  """The settings, as arrays: a change never recompiles."""

  start: Int[Array, '']  # token ids
  slot: Int[Array, '']
  end: Int[Array, '']
  slots: Int[Array, '']  # c, latents of a span
  sampled: Bool[Array, '']  # a drawn end token ends a span early
  inner: Any = None  # parameters of the feedback inside
  opening: Bool[Array, ''] | np.bool_ = np.False_  # one begins a completion


def spans(
  key: Key[Array, ''] | None,
  model: Any,
  tokenizer: Any,
  *,
  num_latents: PositiveInt = 1,
  sampled: bool = False,
  opening: bool = False,
  inner: Any = None,
  start: str = '<start-latent>',
  slot: str = '<latent>',
  end: str = '<end-latent>',
) -> Spans:
  """Settings for a tokenizer that has the three tokens."""
  if num_latents < 1:
    raise ValueError(f'spans: num_latents={num_latents}: write at least 1')
  vocabulary = tokenizer.get_vocab()
  missing = [token for token in (start, slot, end) if token not in vocabulary]
  if missing:
    raise ValueError(
      f'spans: the tokenizer has no token {missing}: name them in '
      'config.model.new_tokens, or train from a model that has them'
    )
  ids = (jnp.int32(vocabulary[token]) for token in (start, slot, end))
  return Spans(
    *ids,
    slots=jnp.int32(num_latents),
    sampled=jnp.bool_(sampled),
    opening=jnp.bool_(opening),
    inner=inner,
  )


@functools.cache  # one object, so that a jit that takes it compiles once
def switching(inside: Feedback | None = None) -> Feedback:
  """Words, and spans of the feedback `inside` (by default `hidden()`), for a
  `Policy(model, spans(...))`."""
  inside = inside or hidden()
  within = lambda model: Policy(model, _settings(model).inner)

  def init(batch):
    # Forced tokens to come: the slots and the end token; -1: nothing was said.
    return jnp.full(batch, -1), inside.init(batch)

  def select_token(model, state, out):
    left, _ = state
    spans = _settings(model)
    may_leave = spans.sampled & (left > 1) & (left <= spans.slots)
    leaves = may_leave & (out.token == spans.end)
    forced = jnp.where((left > 1) & ~leaves, spans.slot, spans.end)
    token = jnp.where(left > 0, forced, out.token)
    opens = spans.opening & (left < 0)
    token = jnp.where(opens, spans.start, token)
    return token.astype(out.token.dtype), (left <= 0) & ~opens | leaves

  def step(model, state, keys, out):
    left, inner = state
    spans = _settings(model)
    slot = (left > 1) & (out.token == spans.slot)
    out = out._replace(thinking_continues=slot, in_thinking=slot)
    fed = inside.step(within(model), inner, keys, out)
    begins = (left <= 0) & (out.token == spans.start)
    left = jnp.where(begins, spans.slots + 1, jnp.where(slot, left - 1, 0))
    return fed._replace(state=(left, fed.state))

  def recompute_inputs(model, record, tokens):
    return inside.recompute_inputs(within(model), record, tokens)

  def log_prob(model, logits, record, token_log_probs):
    return inside.log_prob(within(model), logits, record, token_log_probs)

  made: Any = inside.latent_from_hidden
  latent_from_hidden = made and (
    lambda model, hidden: made(within(model), hidden)
  )
  return Feedback(
    init, step, recompute_inputs, log_prob, select_token, latent_from_hidden
  )


def _settings(model) -> Spans:
  return parameters(model, 'spans')
