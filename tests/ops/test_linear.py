"""The product with a weight: its values, its gradients, and which programs
have the CPU's form of it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AbstractDevice, use_abstract_mesh

from hybrid_latent import sharding
from hybrid_latent.models import lora
from hybrid_latent.ops.linear import linear, lookup
from tests import tiny

I, O = 24, 40


def _arguments(*batch, dtype='float32'):
  rng = np.random.default_rng(0)
  x, weight = rng.normal(size=(*batch, I)), rng.normal(size=(O, I))
  return jnp.asarray(x, dtype), jnp.asarray(weight)


def _barriers(function, *arguments, platform):
  program = jax.jit(function).trace(*arguments)
  text = program.lower(lowering_platforms=(platform,)).as_text()
  return text.count('optimization_barrier')


@pytest.mark.parametrize('dtype', ['float32', 'bfloat16'])
@pytest.mark.parametrize('batch', [(), (1,), (8,), (8, 1), (40,), (3, 5)])
def test_values_are_the_definition(batch, dtype):
  x, weight = _arguments(*batch, dtype=dtype)
  y = jax.jit(linear, static_argnums=2)(x, weight, jnp.float32)
  rounded = np.float64(weight.astype(dtype))
  assert y.dtype == jnp.float32
  np.testing.assert_allclose(y, np.float64(x) @ rounded.T, rtol=1e-5, atol=1e-5)
  assert linear(x, weight).dtype == x.dtype


@pytest.mark.parametrize('batch', [(8,), (3, 5)])
def test_gradients_are_those_of_the_plain_product(batch):
  arguments = _arguments(*batch)

  def gradient(product):
    loss = lambda x, weight: jnp.sum(jnp.sin(product(x, weight)))
    return jax.jit(jax.grad(loss, (0, 1)))(*arguments)

  plain = gradient(lambda x, weight: x @ weight.T)
  close = lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-5)
  jax.tree.map(close, gradient(linear), plain)


def test_only_the_gradient_for_one_cpu_sums_over_rows_as_one_dimension():
  def sums_over_two():
    loss = lambda x, weight: jnp.sum(jnp.sin(linear(x, weight)))
    program = jax.jit(jax.grad(loss, 1)).trace(*_arguments(3, 5))
    return '(([0, 1], [0, 1])' in str(program.jaxpr)

  one = sharding.mesh(devices=jax.devices()[:1])
  with jax.set_mesh(one):
    assert not sums_over_two()
  with jax.set_mesh(sharding.mesh(2, 2, 2)):
    assert sums_over_two()
  chip = AbstractDevice('TPU v5 lite', 1, 'tpu')
  with use_abstract_mesh(one.abstract_mesh.update(abstract_device=chip)):
    assert sums_over_two()
  assert sums_over_two()


@pytest.mark.parametrize('platform', ['cpu', 'cuda', 'tpu'])
def test_only_a_cpu_has_the_form_of_few_rows(platform):
  on_cpu = int(platform == 'cpu')
  count = lambda *batch, **dtype: _barriers(
    linear, *_arguments(*batch, **dtype), platform=platform
  )
  assert count(8) == count(8, 1) == count(32) == on_cpu
  assert count(1, dtype='bfloat16') == on_cpu
  assert count(1) == count(33) == count(8, 2) == count(2, 8, 3) == 0
  with jax.set_mesh(sharding.mesh(devices=jax.devices()[:1])):
    assert count(8) == on_cpu
  with jax.set_mesh(sharding.mesh(2, 2, 2)):
    assert count(8) == 0


@pytest.mark.parametrize('platform', ['cpu', 'cuda', 'tpu'])
def test_every_product_of_a_decoding_step_is_this_one(platform, key):
  c = tiny.CONFIG
  model = lora.add(tiny.policy().model, key, rank=2, alpha=1.0)

  def step(model, x, cache, mask):
    hidden, cache = model.forward(x, cache, jnp.zeros((2, 1), int), mask)
    return model.unembed(hidden[:, 0]), cache

  x, mask = jnp.zeros((2, 1, c.width)), jnp.ones((2, 1, 4), bool)
  arguments = model, x, model.init_cache(2, 4), mask
  expected = (3 * len(lora.TARGETS) * c.layers + 1) * (platform == 'cpu')
  assert _barriers(step, *arguments, platform=platform) == expected


def test_a_batch_without_a_number_is_exported():
  (b,) = jax.export.symbolic_shape('b')
  _, weight = _arguments(1)
  x = jax.ShapeDtypeStruct((b, I), jnp.float32)
  program = jax.export.export(jax.jit(linear))(x, weight)
  x, _ = _arguments(5)
  np.testing.assert_allclose(program.call(x, weight), x @ weight.T, atol=1e-5)


@pytest.mark.parametrize('dtype', ['float32', 'bfloat16'])
def test_a_lookup_and_its_gradient_are_those_of_the_rows(dtype):
  _, table = _arguments(1)
  table = table.astype(dtype).at[3, 1].set(jnp.nan)
  tokens = jnp.array([[3, 0, 39], [7, 7, 1]])
  rows = jax.jit(lookup)(table, tokens)
  assert rows.dtype == table.dtype
  # NumPy compares NaN as equal in its own dtypes only.
  equal = lambda *x: np.testing.assert_array_equal(*map(np.float32, x))
  equal(rows, table[tokens])

  def gradient(rows_of):
    loss = lambda table: jnp.sum(jnp.sin(rows_of(table, tokens)))
    return jax.jit(jax.grad(loss))(table)

  plain = gradient(lambda table, tokens: table[tokens])
  equal(gradient(lookup), plain)
  assert jnp.abs(plain[7]).sum() > 0


@pytest.mark.parametrize('platform', ['cuda', 'tpu'])
def test_only_a_cpu_looks_bits_up(platform):
  _, table = _arguments(1)
  program = jax.jit(lookup).trace(table.astype('bfloat16'), jnp.arange(3))
  text = program.lower(lowering_platforms=(platform,)).as_text()
  assert 'bitcast' not in text
