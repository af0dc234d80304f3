"""Spans of latents between words: the model samples where they begin.

HyRea ("Hybrid Reasoning", ICLR 2026): after a sampled `<start-latent>` come c
latent inputs, the model's last hidden states, then `<end-latent>`, then words.
The first latent is the state at `<start-latent>`. Each takes a position, where
the token `<latent>` is written.

Wraps any feedback, whose `thinking_continues` is then the span. By default
`<end-latent>` is forced after c slots; with `sampled` the model may also sample
it earlier, from the second slot on. Slots and forced tokens are not in
`policy_mask`: no policy gradient scores them, as in the paper. That a span was
*not* ended early is not scored either, so `sampled` has a biased gradient.

With `opening` every completion begins with a forced span: the thinking before
the answer of Coconut (arXiv 2412.06769) and CODI (arXiv 2502.21074). Without
`delimiters` that span is its slots alone: the first latent is the state at the
end of the prompt.

Around `discrete` the slots are pause tokens (Goyal et al., arXiv 2310.02226).
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
  slots: Int[Array, '']  # c, latents per span
  sampled: Bool[Array, '']  # a sampled end token ends a span early
  inner: Any = None  # parameters of the wrapped feedback
  opening: Bool[Array, ''] | np.bool_ = np.False_  # completions begin with one
  # Start and end tokens enclose that one.
  delimiters: Bool[Array, ''] | np.bool_ = np.True_


def spans(
  key: Key[Array, ''] | None,
  model: Any,
  tokenizer: Any,
  *,
  num_latents: PositiveInt = 1,
  sampled: bool = False,
  opening: bool = False,
  delimiters: bool = True,
  inner: Any = None,
  start: str = '<start-latent>',
  slot: str = '<latent>',
  end: str = '<end-latent>',
) -> Spans:
  """Settings for a tokenizer that has the three tokens."""
  if num_latents < 1:
    raise ValueError(f'spans: num_latents={num_latents}: write at least 1')
  if not (opening or delimiters):
    raise ValueError(
      'spans: delimiters=False with opening=False: write opening=True, as only '
      'the start token begins a span elsewhere'
    )
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
    delimiters=jnp.bool_(delimiters),
    inner=inner,
  )


@functools.cache  # one object, so that a jit that takes it compiles once
def switching(inside: Feedback | None = None) -> Feedback:
  """Words, and spans of the feedback `inside` (by default `hidden()`), for a
  `Policy(model, spans(...))`."""
  inside = inside or hidden()
  # The wrapped feedback gets the model with its parameters, not with `Spans`.
  inner_policy = lambda model: Policy(model, _settings(model).inner)

  def init(batch):
    # Forced tokens left: the slots and an end token; -1: no token yet.
    return jnp.full(batch, -1), inside.init(batch)

  def forced_tokens_left(state, spans):
    left, _ = state
    at_once = spans.opening & ~spans.delimiters & (left < 0)
    return jnp.where(at_once, spans.slots, left)

  def select_token(model, state, out):
    spans = _settings(model)
    left = forced_tokens_left(state, spans)
    in_slots, span = left > spans.delimiters, spans.slots + spans.delimiters
    # From the second slot on.
    may_end = spans.sampled & in_slots & (left < span)
    ends = may_end & (out.token == spans.end)
    forced = jnp.where(in_slots & ~ends, spans.slot, spans.end)
    token = jnp.where(left > 0, forced, out.token)
    opens = spans.opening & (left < 0)
    token = jnp.where(opens, spans.start, token)
    # The policy chose what was sampled: words, and an early end of a span.
    return token.astype(out.token.dtype), (left <= 0) & ~opens | ends

  def step(model, state, keys, out):
    spans = _settings(model)
    left = forced_tokens_left(state, spans)
    # Not the number alone: the stopping rule may have forced another token.
    slot = (left > spans.delimiters) & (out.token == spans.slot)
    out = out._replace(thinking_continues=slot, in_thinking=slot)
    output = inside.step(inner_policy(model), state[1], keys, out)
    begins = (left <= 0) & (out.token == spans.start)
    span = spans.slots + spans.delimiters
    left = jnp.where(begins, span, jnp.where(slot, left - 1, 0))
    return output._replace(state=(left, output.state))

  def recompute_inputs(model, record, tokens):
    return inside.recompute_inputs(inner_policy(model), record, tokens)

  def log_prob(model, inputs, record):
    return inside.log_prob(inner_policy(model), inputs, record)

  inner_latent: Any = inside.latent_from_hidden
  latent_from_hidden = inner_latent and (
    lambda model, hidden: inner_latent(inner_policy(model), hidden)
  )
  inner_mixture: Any = inside.mixture_logits
  mixture_logits = inner_mixture and (
    lambda model, state, out: inner_mixture(inner_policy(model), state[1], out)
  )
  inner_unembed: Any = inside.unembed
  unembed = inner_unembed and (
    lambda model, hidden: inner_unembed(inner_policy(model), hidden)
  )
  return Feedback(
    init,
    step,
    recompute_inputs,
    log_prob,
    select_token,
    latent_from_hidden,
    mixture_logits=mixture_logits,
    latents_are_actions=inside.latents_are_actions,
    unembed=unembed,
  )


def _settings(model) -> Spans:
  return parameters(model, 'spans', Spans)
