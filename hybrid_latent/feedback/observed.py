"""Records what the latents of any feedback are near, and the entropy of each
step. It changes no token, log-prob or input.

A mixture of token embeddings is near its tokens of largest weight. Any other
latent is read with the output head, as logit lens: softmax(unembed(latent))
(nostalgebraist 2020, "interpreting GPT: the logit lens").
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from hybrid_latent.feedback.base import computed_prefix
from hybrid_latent.ops.logprobs import token_scores
from hybrid_latent.ops.prefix_latents import prefix_latents
from hybrid_latent.ops.sampling import top_k
from hybrid_latent.policy import Policy
from hybrid_latent.types import Feedback, LanguageModel, Prompt, PyTree


class Near(NamedTuple):
  """The likeliest tokens of a distribution, the first the likeliest."""

  ids: Int[Array, '*b top']
  shares: Float[Array, '*b top']  # their probabilities

  def listed(self, *at: int) -> list[tuple[int, float]]:
    """The (id, share) pairs at this index, of arrays on the host."""
    ids, shares = self.ids[at].tolist(), self.shares[at].tolist()
    return [*zip(ids, shares, strict=True)]


class Observed(NamedTuple):
  """The record of `observed`."""

  inner: PyTree  # that of the feedback
  entropy: Float[Array, '*b']  # nats, of the model's distribution, unfiltered
  near: Near  # of the latent; meaningless where `latent_share` is 0


@functools.cache  # one object, so that a jit that takes it compiles once
def observed(feedback: Feedback, top: int = 5) -> Feedback:
  """The feedback with the record `Observed`. Around a control, not inside."""

  def step(model, state, keys, out):
    output = feedback.step(model, state, keys, out)
    # Compiled apart: no rounding of the rollout depends on the record.
    out, output = jax.lax.optimization_barrier((out, output))
    if feedback.mixture_logits:
      logits = feedback.mixture_logits(model, output.state, out)
    else:
      logits = model.unembed(output.next_input)
    entropy = token_scores(out.logits, out.token).entropy
    record = Observed(output.record, entropy, _likeliest(logits, top))
    return output._replace(record=record)

  def recompute_inputs(model, record, tokens):
    return feedback.recompute_inputs(model, record.inner, tokens)

  def log_prob(model, inputs, record):
    return feedback.log_prob(model, inputs, record.inner)

  return feedback._replace(
    step=step, recompute_inputs=recompute_inputs, log_prob=log_prob
  )


def prefix_near(
  model: LanguageModel, feedback: Feedback, prompt: Prompt, top: int = 5
) -> Near:
  """The logit lens [u j top] of the feedback's prefix for each prompt, the
  embeddings of its closing tokens included. ValueError without a prefix."""
  if feedback.prefix is None:
    raise ValueError('prefix_near: this feedback has no prefix: write prefix()')
  latents = computed_prefix(model, feedback.prefix, prompt)
  # A latent at a time: its logits [u v] are all that exist.
  lens = lambda latent: _likeliest(model.unembed(latent), top)
  near = jax.lax.map(lens, jnp.moveaxis(latents, 1, 0))
  return jax.tree.map(lambda x: jnp.moveaxis(x, 0, 1), near)


def prefix_latents_near(
  policy: Policy, feedback: Feedback, prompt: Prompt, top: int = 5
) -> Near:
  """`prefix_near` of the latents alone, without the text around them."""
  near = prefix_near(policy, feedback, prompt, top)
  within = prefix_latents(policy.feedback, near.ids)
  return jax.tree.map(lambda x: x[within], near)


def _likeliest(logits, top):
  values, ids = top_k(logits, top)
  rest = jax.nn.logsumexp(logits, axis=-1, keepdims=True)
  return Near(ids, jnp.exp(values - rest))
