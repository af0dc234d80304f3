"""Shares of a loss by hand, and distances between states against torch."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from hybrid_latent.objectives.distances import layer_distances
from hybrid_latent.objectives.supervised import loss_weights
from hybrid_latent.types import TokenBatch

SHAPE = LAYERS, ROWS, WIDTH = 3, 4, 8
VALID = jnp.array([True, True, False, True])


def test_a_token_is_so_much_of_the_loss():
  """Of four targets of first texts and two of second ones; a weight counts in
  the sum alone, as HyRea has it."""
  texts = TokenBatch(
    tokens=jnp.zeros((2, 5), jnp.int32),
    segments=jnp.array([[1, 1, 1, 2, 2], [1, 1, 1, 0, 0]]),
    view=jnp.array([[0, 0, 0, 1, 1], [0, 0, 0, 0, 0]]),
    weights=jnp.array([[0.0, 4, 1, 2, 0.5], [1, 0, 1, 0, 0]]),
    latent=jnp.zeros((2, 5), bool),
    align_position=jnp.zeros((2, 5), bool),
  )
  assert loss_weights(texts).tolist() == [
    [0, 1, 0.25, 1, 0.25],
    [0.25, 0, 0.25, 0, 0],
  ]
  nothing = texts._replace(weights=jnp.zeros((2, 5)))
  assert not loss_weights(nothing).any()


@pytest.fixture(scope='module')
def states():
  """Of student and teacher, some gaps below and some above 1."""
  rng = np.random.default_rng(0)
  scale = np.array([0.3, 1.0, 5.0])[:, None, None]
  return [jnp.float32(scale * rng.normal(size=SHAPE)) for _ in range(2)]


@pytest.mark.parametrize('scaled', [True, False])
@pytest.mark.parametrize('kind', ['smooth_l1', 'l2'])
@pytest.mark.parametrize('valid', [VALID, jnp.ones(ROWS, bool)])
def test_distances_are_those_of_torch(states, kind, scaled, valid):
  """As in zhenyi4/codi: each depth over its own, unbiased, deviation."""
  found = layer_distances(*states, valid, kind=kind, scaled=scaled)
  student, teacher = (torch.tensor(np.asarray(x[:, valid])) for x in states)
  functional = torch.nn.functional
  loss = (
    functional.smooth_l1_loss if kind == 'smooth_l1' else functional.mse_loss
  )
  for layer in range(LAYERS):
    expected = loss(student[layer], teacher[layer])
    if scaled:
      deviation = teacher[layer].std()
      expected /= deviation if kind == 'smooth_l1' else deviation**2
    np.testing.assert_allclose(found[layer], expected, rtol=1e-5)


def test_of_the_same_states_it_is_nothing(states):
  _, teacher = states
  assert layer_distances(teacher, teacher, VALID).tolist() == [0] * LAYERS


def test_rows_that_do_not_count_may_hold_anything(states):
  student, teacher = states
  dirty = lambda x: jnp.where(VALID[:, None], x, np.nan)
  expected = layer_distances(student, teacher, VALID)
  assert expected.all()
  found = layer_distances(dirty(student), dirty(teacher), VALID)
  assert found.tolist() == expected.tolist()


def test_the_student_alone_learns(states):
  distance = lambda *both: layer_distances(*both, VALID).sum()
  student, teacher = jax.grad(distance, (0, 1))(*states)
  assert not teacher.any()
  assert np.isfinite(student).all()
  reached = np.any(student, axis=(0, 2))
  assert reached.tolist() == VALID.tolist()


@pytest.mark.parametrize('kind', ['smooth_l1', 'l2'])
def test_a_depth_at_which_all_teachers_agree_stays_finite(kind):
  teacher = jnp.ones(SHAPE)
  distance = lambda x: layer_distances(x, teacher, VALID, kind=kind).sum()
  value, slope = jax.value_and_grad(distance)(teacher)
  assert value == 0
  assert np.isfinite(slope).all()


def test_an_unknown_kind_is_refused(states):
  with pytest.raises(ValueError, match=r"kind 'l1': write .*'smooth_l1', 'l2'"):
    layer_distances(*states, VALID, kind='l1')
