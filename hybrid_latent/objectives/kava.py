"""KaVa: keys and values of latents towards a compressed cache of the teacher.

"KaVa: Latent Reasoning via Compressed KV-Cache Distillation", Kuzina et al.,
arXiv 2510.02312, without public code. To the loss of CODI, with the latents of
PCCoT, it adds the distance of the keys and values of the student's M latents to
those of M tokens of the teacher's chain of thought, in each layer and key head.
The tokens are chosen by R-KV (arXiv 2505.24133; section 3.2, listing 1): those
of the largest

  lambda I + (1 - lambda) R,
  I = softmax over the chain of thought of the attention of the answer's tokens,
      its mean over these,
  R = softmax over it of minus the mean cosine similarity of a key to all keys.

For texts of `curricula.codi`: the teacher is view 1; its chain of thought ends
where the cue, which both views have, begins; the answer follows the cue. Keys
are compared as the cache has them, after the rotation. The paper does not say
how the chosen tokens are paired with latents, what is compared where the chain
of thought has less than M tokens, and how query heads share a key head. Here
the tokens are in the order of the text, the first latents are compared, and I
is a mean over query heads. `inner` reads the texts once more, as does each loss
inside of another.
"""

import math
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from hybrid_latent.models.transformer import rms_norm
from hybrid_latent.objectives.accumulators import RunningMean
from hybrid_latent.objectives.base import Objective
from hybrid_latent.objectives.distances import layer_distances
from hybrid_latent.objectives.supervised import (
  SupervisedInputs,
  weighted_cross_entropy,
)
from hybrid_latent.ops.rope import rope_frequencies, rope_tables, rotate
from hybrid_latent.ranges import NonNegativeFloat, PositiveInt, UnitFloat
from hybrid_latent.types import TokenBatch

EXCLUDED = -1e30  # a logit


def kava(
  inputs: SupervisedInputs,
  *,
  num_latents: PositiveInt = 24,
  weight: NonNegativeFloat = 1.0,
  importance: UnitFloat = 0.1,
  loss_type: Literal['smooth_l1', 'l2'] = 'smooth_l1',
  div_std: bool = True,
  inner: Objective = weighted_cross_entropy,
) -> tuple[RunningMean, dict[str, Any]]:
  """The loss `inner` plus `weight` times the mean distance of keys and values
  over layers.

  Args:
    num_latents: M, that of the curriculum.
    importance: lambda.
    loss_type, div_std: as of CODI's distance, over all key heads of a layer.
  """
  loss, metrics = inner(inputs)
  texts, (positions, _) = inputs.texts, inputs.layout
  model = inputs.policy.model
  every = jnp.broadcast_to(jnp.arange(positions.shape[1]), positions.shape)
  _, states = model.layer_states(inputs.x, *inputs.layout, every)
  c = model.config
  frequencies = rope_frequencies(c.head_dim, c.rope_theta, c.rope_scaling)
  rope = rope_tables(positions, frequencies)
  cot, answer = _chain_of_thought(texts)
  slots = jnp.argsort(~texts.latent, axis=1, stable=True)[:, None, :num_latents]
  filled = jnp.take_along_axis(texts.latent[:, None], slots, axis=2)
  some = jnp.any(cot) & jnp.any(filled)

  @jax.checkpoint  # the attention of a layer is not kept
  def layer_distance(layer_and_input):
    layer, x = layer_and_input
    # As the layer has them.
    y = rms_norm(x, layer.input_norm[...], c.norm_eps)
    q = rotate(layer.split_heads(layer.q(y), layer.q_norm, 'b n t h'), *rope)
    k = rotate(layer.split_heads(layer.k(y), layer.k_norm, 'b k t h'), *rope)
    v = layer.split_heads(layer.v(y), None, 'b k t h')
    chosen, valid = choose_tokens(
      q, k, cot, answer, count=num_latents, importance=importance
    )
    flat = lambda x, at: jnp.take_along_axis(x, at[..., None], axis=2).reshape(
      1, -1, x.shape[-1]
    )
    at = jnp.broadcast_to(slots, chosen.shape)
    # No mean over nothing: its gradient would be NaN, whatever its weight.
    valid = (valid & filled | ~some).reshape(-1)
    k, v = (
      layer_distances(
        *(flat(x, at), flat(x, chosen), valid), kind=loss_type, scaled=div_std
      )
      for x in (k, v)
    )
    return (k[0] + v[0]) / 2

  gaps = jax.lax.map(layer_distance, (model.layers, states[:-1]))
  gap = jnp.where(some, gaps.mean(), 0) / inputs.slices
  metrics = {**metrics, 'kv_distance': inputs.mean(gap)}
  return RunningMean(loss.total + weight * gap, loss.count), metrics


def choose_tokens(
  q: Float[Array, 'b n t h'],
  k: Float[Array, 'b k t h'],
  cot: Bool[Array, 'b t'],
  answer: Bool[Array, 'b t'],
  *,
  count: int,
  importance: float,
) -> tuple[Int[Array, 'b k j'], Bool[Array, 'b k j']]:
  """The positions of `count` tokens of the chain of thought per key head, in
  the order of the text, and whether there are so many."""
  b, n, t, h = q.shape
  heads = k.shape[1]
  q, k = (x.astype(jnp.float32) for x in (q, k))

  def over_cot(logits):
    mask = jnp.expand_dims(cot, range(1, logits.ndim - 1))
    return jax.nn.softmax(jnp.where(mask, logits, EXCLUDED))

  grouped = q.reshape(b, heads, n // heads, t, h) / math.sqrt(h)
  attention = over_cot(jnp.einsum('bkgth,bksh->bkgts', grouped, k))
  attention = jnp.einsum('bkgts,bt->bks', attention, _shares(answer))
  unit = k / jnp.maximum(jnp.linalg.norm(k, axis=-1, keepdims=True), 1e-8)
  # The mean similarity to all keys is that to their mean.
  mean = jnp.einsum('bkth,bt->bkh', unit, _shares(cot))
  rare = over_cot(-jnp.einsum('bksh,bkh->bks', unit, mean))
  score = importance * attention / (n // heads) + (1 - importance) * rare
  score = jnp.where(cot[:, None], score, -1)
  score, chosen = jax.lax.top_k(score, min(count, t))
  chosen = jnp.sort(jnp.where(score >= 0, chosen, t), axis=-1)
  return jnp.minimum(chosen, t - 1), chosen < t


def _shares(mask):
  """The weights of a mean over the mask of each row."""
  return mask / jnp.maximum(mask.sum(1, keepdims=True), 1)


def _chain_of_thought(
  texts: TokenBatch,
) -> tuple[Bool[Array, 'b t'], Bool[Array, 'b t']]:
  """Where the teacher's chain of thought is, and its answer."""
  index = jnp.arange(texts.view.shape[1])[None]
  target = texts.weights > 0
  ends = [
    jnp.argmax(texts.align_position & (texts.view == view), axis=1)[:, None]
    for view in (0, 1)
  ]
  cue = (target & (texts.view == 0) & (index <= ends[0])).sum(1, keepdims=True)
  teacher = target & (texts.view == 1)
  return teacher & (index <= ends[1] - cue), teacher & (index > ends[1])
