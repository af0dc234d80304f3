"""Adapters beside, without and inside the weights."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hybrid_latent.models import lora
from hybrid_latent.models.transformer import unstack
from hybrid_latent.ops.sampling import sampling
from hybrid_latent.trees import named_leaves
from tests import tiny
from tests.tiny import FEEDBACKS, scores

RANK, ALPHA = 4, 6.0
PROMPT = tiny.prompts()


@pytest.fixture(scope='module')
def base():
  return tiny.policy().model


@pytest.fixture(scope='module')
def adapted(base):
  return lora.add(base, jax.random.key(0), rank=RANK, alpha=ALPHA)


@pytest.fixture(scope='module')
def trained(adapted):
  """As if the adapters had learned."""
  model = jax.tree.map(lambda x: x, adapted)
  for i, name in enumerate(lora.TARGETS):
    b = getattr(model.layers, name).lora.b
    b[...] = 0.1 * jax.random.normal(jax.random.key(i), b[...].shape)
  return model


@pytest.fixture(scope='module')
def trajectory():
  return tiny.sample(
    tiny.policy(),
    FEEDBACKS['discrete'],
    PROMPT,
    jax.random.key(3),
    sampling=sampling(),
    stop=tiny.stop(),
  )


def log_probs(model, trajectory):
  discrete = FEEDBACKS['discrete']
  policy = tiny.policy()._replace(model=model)
  return np.asarray(scores(policy, discrete, PROMPT, trajectory).log_probs)


def test_new_adapters_change_no_bit(base, adapted, trajectory):
  """So that the policy starts as its own KL reference."""
  expected = log_probs(base, trajectory)
  assert (log_probs(adapted, trajectory) == expected).all()
  assert expected.any()


def test_off_is_the_base(base, trained, trajectory):
  off = lora.off(trained)
  assert jax.tree.structure(off) == jax.tree.structure(base)
  for name, weight in named_leaves(off).items():
    assert weight is named_leaves(base)[name]  # shared, not copied
  expected = log_probs(base, trajectory)
  assert np.abs(log_probs(trained, trajectory) - expected).max() > 0.1


def test_merged_is_the_same_function(base, trained, trajectory):
  before = {n: np.array(x) for n, x in named_leaves(trained).items()}
  merged = lora.merge(trained)
  assert named_leaves(merged).keys() == named_leaves(base).keys()
  np.testing.assert_allclose(
    log_probs(merged, trajectory),
    log_probs(trained, trajectory),
    rtol=0,
    atol=1e-5,
  )
  for name, leaf in named_leaves(trained).items():
    np.testing.assert_array_equal(leaf, before[name])


def test_merged_is_the_formula(base, trained):
  q, expected = trained.layers.q, np.float64(base.layers.q.weight[...])
  a, b = np.float64(q.lora.a[...]), np.float64(q.lora.b[...])
  expected += ALPHA / RANK * b @ a
  merged = lora.merge(trained).layers.q.weight[...]
  np.testing.assert_allclose(merged, expected, rtol=0, atol=1e-6)


def test_an_adapted_model_decodes_unstacked(trained):
  """Layer by layer each has its own adapter."""
  x = trained.embed(PROMPT.tokens)
  at = jnp.broadcast_to(jnp.arange(6), x.shape[:2])
  mask = jnp.tril(jnp.ones((len(x), 6, 6), bool))
  forward = jax.jit(lambda model: model.forward(x, None, at, mask)[0])
  apart = jax.jit(lambda m: unstack(m).forward(x, None, at, mask)[0])
  np.testing.assert_allclose(
    apart(trained), forward(trained), rtol=0, atol=1e-5
  )


def test_sizes_and_start(base, adapted):
  new = named_leaves(adapted).keys() - named_leaves(base).keys()
  assert len(new) == 2 * len(lora.TARGETS)
  for name in lora.TARGETS:
    linear = getattr(adapted.layers, name)
    layers, out, width = linear.weight[...].shape
    a, b = linear.lora.a[...], linear.lora.b[...]
    assert a.shape == (layers, RANK, width) and a.dtype == jnp.float32
    assert b.shape == (layers, out, RANK) and not b.any()
    bound = width**-0.5
    assert 0.8 * bound < np.abs(a).max() <= bound
    assert (a[0] != a[1]).any()


def test_only_the_targets_are_adapted(base, key):
  adapted = lora.add(base, key, rank=1, alpha=1.0, targets=('o', 'v'))
  names = {n for n in named_leaves(adapted) if '.lora.' in n}
  assert names == {f'layers.{x}.lora.{y}' for x in 'ov' for y in 'ab'}


@pytest.mark.parametrize(
  'how',
  [{'rank': 0}, {'rank': 2, 'targets': ('q', 'dense')}],
)
def test_refused_settings(base, key, how):
  with pytest.raises(ValueError) as error:
    lora.add(base, key, alpha=1.0, **how)
  assert str(how['rank']) in str(error.value)
  assert str(lora.TARGETS) in str(error.value)
