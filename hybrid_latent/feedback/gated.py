"""HRPO: a learned gate mixes the sampled token with the distribution it was
sampled from. "Hybrid Latent Reasoning via Reinforcement Learning", NeurIPS
2025, arXiv 2505.18454, equations 3-5.

The paper: while the answer delimiter has not appeared, the next input is
  x = a * e + sqrt(1 - a^2) * (i * h)
with e the token's embedding, r = sigmoid(W_r e + b_r) and
i = sigmoid(W_i e + b_i), a = exp(-c softplus(-Lambda) r), c = 8, and
h = p @ E / ||p||_2 the projected distribution (the one that was sampled from,
filters included). Once the delimiter is complete, every input is e alone.

We follow the released code where it differs from the text: softplus(-Lambda)
where the paper prints softplus(Lambda); W ~ N(0, 0.02^2) and zero biases where
the paper has a uniform (`initializer='uniform'`). h is recorded at sampling and
a constant in rescoring; the gates are recomputed, with gradient.

We differ from the release in three places: the gate is float32 throughout
(a bfloat16 `a` cannot express the hidden ratios training starts from); 1 - a^2
has a stable form beside the published 1 - a*a + 1e-8, which is off by up to
2e-4 near a = 1; padding is masked.
"""

import functools
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Key

from hybrid_latent.feedback.base import (
  drawn_token,
  latent_where,
  parameters,
  recorded_latents,
  stateless,
  token_log_prob,
)
from hybrid_latent.ops.soft import filtered_soft_embedding
from hybrid_latent.policy import embedding_table
from hybrid_latent.ranges import NonNegativeInt, OpenUnitFloat
from hybrid_latent.types import Feedback, FeedbackOutput

C = 8.0
Form = Literal['stable', 'published']
FORMS = get_args(Form)
Initializer = Literal['normal', 'uniform']


class Gate(nnx.Module):
  """HRPO's parameters, 2 (d^2 + d) + d floats."""

  def __init__(
    self,
    key: Key[Array, ''],
    width: int,
    *,
    r_min: float = 0.99,
    r_max: float = 0.999,
    initializer: str = 'normal',
  ):
    """`decay` (the paper's Lambda) is such that a = u^r with u drawn
    uniformly from [r_min, r_max] per channel."""
    if not 0 < r_min <= r_max < 1:
      raise ValueError(
        f'gate: r_min {r_min}, r_max {r_max}: need 0 < r_min <= r_max < 1'
      )
    if initializer not in ('normal', 'uniform'):
      raise ValueError(
        f"gate: initializer {initializer!r}: write 'normal' (the released "
        "code's N(0, 0.02^2)) or 'uniform' (the paper's +-1/sqrt(d))"
      )
    k_r, k_i, k_decay = jax.random.split(key, 3)
    shape, bound = (width, width), width**-0.5
    weight = lambda k: nnx.Param(
      0.02 * jax.random.normal(k, shape)
      if initializer == 'normal'
      else jax.random.uniform(k, shape, minval=-bound, maxval=bound)
    )
    bias = lambda: nnx.Param(jnp.zeros(width))
    self.w_r, self.w_i = weight(k_r), weight(k_i)
    self.b_r, self.b_i = bias(), bias()
    u = jax.random.uniform(k_decay, (width,), minval=r_min, maxval=r_max)
    # Solves exp(-C softplus(-decay)) = u.
    self.decay = nnx.Param(-jnp.log(jnp.expm1(-jnp.log(u) / C)))


def gate(
  key: Key[Array, ''],
  model: Any,
  tokenizer: Any = None,
  *,
  r_min: OpenUnitFloat = 0.99,
  r_max: OpenUnitFloat = 0.999,
  initializer: Initializer = 'normal',
) -> Gate:
  """The gate for a model, see `Gate`."""
  width = embedding_table(model).shape[-1]
  return Gate(key, width, r_min=r_min, r_max=r_max, initializer=initializer)


@functools.cache  # one object, so that a jit that takes it compiles once
def gated(form: Form = 'stable', width: NonNegativeInt = 64) -> Feedback:
  """HRPO's feedback for a `Policy(model, gate(...))`.

  `form` of sqrt(1 - a^2): 'stable', or 'published' for parity. `width`: see
  ops.soft.filtered_soft_embedding.
  """
  if form not in FORMS:
    raise ValueError(f'gated: form {form!r}: write one of {FORMS}')

  def step(model, state, keys, out):
    token = model.embed(out.token)
    h = _projected(model, out, width).astype(token.dtype)
    mixed, latent = mixture(parameters(model, 'gate', Gate), token, h, form)
    x = jnp.where(out.thinking_continues[:, None], mixed, token)
    latent = jnp.where(out.thinking_continues, latent, 0)
    return FeedbackOutput(
      x, {'h': h, 'mixed': out.thinking_continues}, latent, state
    )

  def recompute_inputs(model, record, tokens):
    token = model.embed(tokens)
    # Recorded, not recomputed: no pass over the vocabulary, and no gradient.
    h = jax.lax.stop_gradient(record['h'])
    mixed, _ = mixture(parameters(model, 'gate', Gate), token, h, form)
    return jnp.where(record['mixed'][..., None], mixed, token)

  return Feedback(
    stateless,
    step,
    recompute_inputs,
    token_log_prob,
    drawn_token,
    mixture_logits=_sampled_logits,
  )


@functools.cache
def interpolated(width: NonNegativeInt = 64) -> Feedback:
  """The paper's ablation without a gate: x = h, without the token, during the
  thinking. Its reward is normal for some hundred steps, then collapses."""

  def step(model, state, keys, out):
    h = _projected(model, out, width)
    return latent_where(out.thinking_continues, h, model, out, state)

  return Feedback(
    stateless,
    step,
    recorded_latents,
    token_log_prob,
    drawn_token,
    mixture_logits=_sampled_logits,
  )


def _sampled_logits(model, state, out):
  """`mixture_logits` of a mixture of the distribution that is sampled from."""
  return out.filtered


def _projected(model, out, width):
  """h of equation 3, float32."""
  soft = filtered_soft_embedding(
    out.filtered, embedding_table(model), out.likeliest, width=width
  )
  return soft.mixture / soft.l2[:, None]


def mixture(
  gate: Gate, e: Float[Array, '*b d'], h: Float[Array, '*b d'], form: str
) -> tuple[Float[Array, '*b d'], Float[Array, '*b']]:
  """x of equation 4 in e's dtype, and the hidden ratio sqrt(1 - mean(a)^2)."""
  x, h = e.astype(jnp.float32), h.astype(jnp.float32)
  decay = _wide(gate.decay, x)
  exponent = C * jax.nn.softplus(-decay) * _sigmoid(gate.w_r, gate.b_r, x)
  a = jnp.exp(-exponent)
  if form == 'stable':
    rest = -jnp.expm1(-2 * exponent)
  else:
    # Without the barrier XLA adds the constants, and in float32 1 + 1e-8 is 1.
    rest = jax.lax.optimization_barrier(1 - a * a) + 1e-8
  mixed = a * x + jnp.sqrt(rest) * _sigmoid(gate.w_i, gate.b_i, x) * h
  # 1 - mean(a)^2 = g (2 - g), exact where a is near 1.
  g = jnp.mean(-jnp.expm1(-exponent), axis=-1)  # 1 - mean(a)
  return mixed.astype(e.dtype), jnp.sqrt(g * (2 - g))


def _sigmoid(weight, bias, x):
  y = jnp.einsum('...d,ed->...e', x, weight[...].astype(jnp.float32))
  return jax.nn.sigmoid(y + _wide(bias, y))


def _wide(channel, x):
  """A [d] parameter broadcast against [*b d], in float32."""
  values = channel[...].astype(jnp.float32)
  return jnp.expand_dims(values, tuple(range(x.ndim - 1)))
