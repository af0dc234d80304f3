"""KaVa's choice of tokens by the formula in float64, and the distance to them
from the cache that decoding has."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hybrid_latent import latents
from hybrid_latent.curricula.base import Piece, document
from hybrid_latent.feedback.hidden import hidden
from hybrid_latent.models.transformer import rms_norm
from hybrid_latent.objectives.kava import choose_tokens, kava
from hybrid_latent.objectives.supervised import (
  SupervisedInputs,
  loss_weights,
  weighted_cross_entropy,
)
from hybrid_latent.ops.rope import rotate
from hybrid_latent.policy import positions_and_mask
from hybrid_latent.types import TokenBatch
from tests import tiny
from tests.tiny import SLOT, quick

POLICY, COUNT = tiny.policy(), 3
LATENTS, CHAIN, ANSWER = slice(3, 6), slice(13, 19), slice(21, 23)


def texts() -> TokenBatch:
  """A row as of `curricula.codi`: a cue of two tokens, six of thought."""
  tail = [Piece([20, 21], 1.0, align_position=True), Piece([30, 31], 1.0)]
  prompt = Piece([7, 8])
  slots = Piece([SLOT] * COUNT, latent=True)
  made = document(
    [prompt, Piece([9]), slots, Piece([10]), *tail],
    [prompt, Piece([40, 41, 42, 43, 41, 44], 1.0), *tail],
  )
  one = lambda x: jnp.pad(jnp.asarray(x)[None], ((0, 0), (0, 2)))
  return TokenBatch(
    tokens=one(made.tokens),
    segments=one(made.view + 1),
    view=one(made.view),
    weights=one(made.weights),
    latent=one(made.latent),
    align_position=one(made.align_position),
  )


TEXTS = texts()


def values(policy, texts=TEXTS, count=COUNT):
  """The cross-entropy, the whole, and the distance, of one of two slices."""
  x = latents.inputs_with_latents(
    policy, texts, hidden().latent_from_hidden, passes=COUNT
  )
  inputs = SupervisedInputs(
    policy,
    texts,
    x,
    positions_and_mask(policy, texts.segments),
    loss_weights(texts),
    2,
    lambda model, states: latents.score_tokens(model, texts, states),
  )
  whole, metrics = kava(inputs, num_latents=count, weight=0.5)
  base, _ = weighted_cross_entropy(inputs)
  return base.value, whole.value, metrics['kv_distance'].value, x


loss = quick(values, static_argnames='count')


@quick
def of_layers(policy, x):
  """Of each layer the keys, values and queries [h t d] of the one row."""
  model, length = policy.model, x.shape[1]
  positions, mask = positions_and_mask(policy, TEXTS.segments)
  cache = model.init_cache(1, length)
  _, cache = model.forward(x, cache, positions, mask)
  every = jnp.arange(length)[None]
  _, states = model.layer_states(x, positions, mask, every)
  queries = []
  for i in range(model.config.layers):
    layer = model._layer(i)
    y = rms_norm(states[i], layer.input_norm[...], model.config.norm_eps)
    heads = (1, length, model.config.heads, model.config.head_dim)
    q = jnp.swapaxes(layer.q(y).reshape(heads), 1, 2)
    queries.append(rotate(q, *model._rope(positions))[0])
  first = lambda rows: [row[0] for row in rows]
  return first(cache.k), first(cache.v), queries


def softmax(x):
  return np.exp(x - x.max()) / np.exp(x - x.max()).sum()


def by_formula(q, k, cot, answer, count, importance):
  """Of one row: listing 1 of the paper, head by head and token by token."""
  heads, group = len(k), len(q) // len(k)
  at = np.flatnonzero(cot)
  rows = []
  for head in range(heads):
    keys = k[head][at]
    attention = [
      softmax(keys @ q[head * group + g][j] / np.sqrt(k.shape[-1]))
      for g in range(group)
      for j in np.flatnonzero(answer)
    ]
    unit = keys / np.linalg.norm(keys, axis=1, keepdims=True)
    rare = softmax(-(unit @ unit.T).mean(0))
    score = importance * np.mean(attention, 0) + (1 - importance) * rare
    rows.append(np.sort(at[np.argsort(-score)[:count]]))
  return np.array(rows)


@pytest.mark.parametrize('importance', [0.0, 0.1, 1.0])
def test_tokens_are_chosen_by_attention_and_rarity(importance):
  rng = np.random.default_rng(0)
  q, k = rng.normal(size=(4, 4, 12, 8)), rng.normal(size=(4, 2, 12, 8))
  starts, ends = np.array([[1], [0], [3], [2]]), np.array([[9], [8], [10], [4]])
  index = np.arange(12)[None]
  cot, answer = (index >= starts) & (index < ends), index >= ends
  ids, valid = quick(choose_tokens, static_argnames=('count', 'importance'))(
    *map(jnp.float32, (q, k)),
    *map(jnp.asarray, (cot, answer)),
    count=4,
    importance=importance,
  )
  for row in range(4):
    expected = by_formula(q[row], k[row], cot[row], answer[row], 4, importance)
    n = expected.shape[1]
    np.testing.assert_array_equal(ids[row, :, :n], expected)
    assert valid[row, :, :n].all() and not valid[row, :, n:].any()


@pytest.mark.parametrize('count', [2, COUNT])
def test_latents_are_compared_with_the_cache_of_the_chain_of_thought(count):
  """Keys and values of decoding; queries by the weights of the layer."""
  *parts, x = loss(POLICY, count=count)
  base, whole, distance = map(float, parts)
  assert whole == pytest.approx(base + 0.5 * distance, rel=1e-5)
  cot, answer = (np.zeros(x.shape[1], bool) for _ in range(2))
  cot[CHAIN] = answer[ANSWER] = True
  distances = []
  for layer in zip(*of_layers(POLICY, x), strict=True):
    k, v, q = (np.asarray(x, np.float64) for x in layer)
    ids = by_formula(q, k, cot, answer, count, 0.1)
    for x in k, v:
      teacher = np.stack([x[head, at] for head, at in enumerate(ids)])
      gap = np.abs(x[:, LATENTS][:, :count] - teacher)
      smooth = np.where(gap < 1, gap**2 / 2, gap - 0.5)
      distances.append(smooth.mean() / teacher.std(ddof=1))
  # Of one slice of two.
  assert 2 * distance == pytest.approx(np.mean(distances), rel=1e-4)


def test_without_a_chain_of_thought_nothing_is_added():
  short = np.asarray(TEXTS.weights).copy()
  short[0, CHAIN] = 0
  texts = TEXTS._replace(weights=jnp.asarray(short))
  of_whole = lambda policy: values(policy, texts)[1]
  whole, slope = quick(jax.value_and_grad(of_whole))(POLICY)
  base, _, distance, _ = map(np.asarray, loss(POLICY, texts))
  assert distance == 0
  np.testing.assert_allclose(whole, base, rtol=1e-6)
  assert all(np.isfinite(x).all() for x in jax.tree.leaves(slope))


def test_the_gradient_is_that_of_finite_differences_through_the_latents():
  """Along the embedding of the token before them, which no teacher reads."""
  table = POLICY.model.embedding[...]

  @quick
  @jax.value_and_grad
  def distance(start):
    moved = table.at[9].set(start)
    place = lambda x: moved if x.shape == table.shape else x
    return values(jax.tree.map(place, POLICY))[2]

  slope = distance(table[9])[1]
  along = slope / jnp.linalg.norm(slope)
  up, down = (float(distance(table[9] + by * along)[0]) for by in (1e-2, -1e-2))
  assert (up - down) / 2e-2 == pytest.approx(
    float(jnp.linalg.norm(slope)), rel=0.02
  )
