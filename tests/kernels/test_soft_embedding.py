"""Every implementation of the soft embedding is held against its definition."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from chex import assert_trees_all_close
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P
from jax.test_util import check_grads

from latent_kernels import soft_embedding
from latent_kernels.soft import tpu
from tests.kernels.gradients import number_and_gradient

# 'pallas' itself needs a TPU; its program is compiled in test_tpu_compile.py.
FAST = ('xla', 'pallas_interpret', None)
SHAPES = {  # batch, vocab, d
  'one token': ((), 1, 3),
  'scalar batch': ((), 7, 3),
  'odd': ((2, 3), 301, 40),
  'one row': ((1,), 256, 128),
  'many blocks': ((3,), 5001, 8),
  'many rows': ((261,), 129, 8),
}

# Compiled whole: op by op, the tests would be ten times slower.
embedding = jax.jit(soft_embedding, static_argnames='implementation')
_gradient = functools.partial(number_and_gradient, inputs=2)


def _inputs(key, batch, vocab, d, dtype=jnp.float32):
  for_logits, for_table, for_mask = jax.random.split(key, 3)
  logits = 4 * jax.random.normal(for_logits, (*batch, vocab), jnp.float32)
  # As after top-k: -inf, but never on the first token, so that one stays.
  dropped = jax.random.bernoulli(for_mask, 0.3, logits.shape)
  logits = jnp.where(dropped.at[..., 0].set(False), -jnp.inf, logits)
  return logits, jax.random.normal(for_table, (vocab, d), dtype)


def test_the_definition_in_numpy(key):
  logits, table = _inputs(key, (4,), 50, 6)
  out = embedding(logits, table, 0.7, implementation='reference')
  w = np.exp(np.asarray(logits, np.float64) / 0.7)
  p = w / w.sum(-1, keepdims=True)
  np.testing.assert_allclose(out.mixture, p @ np.asarray(table), rtol=1e-5)
  np.testing.assert_allclose(out.log_sum_exp, np.log(w.sum(-1)), rtol=1e-6)
  np.testing.assert_allclose(out.l2, np.sqrt((p**2).sum(-1)), rtol=1e-6)


@pytest.mark.parametrize('implementation', FAST)
@pytest.mark.parametrize('shape', SHAPES)
def test_values(key, implementation, shape):
  inputs = _inputs(key, *SHAPES[shape])
  actual = embedding(*inputs, 0.7, implementation=implementation)
  expected = embedding(*inputs, 0.7, implementation='reference')
  assert_trees_all_close(actual, expected, rtol=2e-5, atol=2e-5, strict=True)


@pytest.mark.parametrize('implementation', FAST)
def test_a_bfloat16_table_rounds_only_the_weights(key, implementation):
  logits, table = _inputs(key, (5,), 301, 40, jnp.bfloat16)
  out = embedding(logits, table, implementation=implementation)
  exact = embedding(logits, table, implementation='reference')
  rounding = 2**-8 * float(jnp.abs(table).max())
  assert_trees_all_close(out.mixture, exact.mixture, atol=rounding, strict=True)
  assert_trees_all_close(out[1:], exact[1:], rtol=1e-5, strict=True)


@pytest.mark.parametrize('implementation', ['reference', *FAST])
def test_extreme_rows(key, implementation):
  logits, table = _inputs(key, (3,), 301, 40)
  logits = logits.at[:2].set(-jnp.inf).at[0, 300].set(1e4)
  out = embedding(logits, table, implementation=implementation)
  mixture, log_sum_exp, l2 = jax.tree.map(np.asarray, out)
  np.testing.assert_array_equal(mixture[0], table[300])
  assert (log_sum_exp[0], l2[0]) == (1e4, 1), 'one token left is its row'
  assert np.isnan(mixture[1]).all(), 'no token left has no embedding'
  assert np.isfinite(mixture[2]).all(), 'which leaves other rows alone'


@pytest.mark.parametrize('blocks', [(8, 128), (16, 256), (None, 512)])
def test_the_kernel_does_not_depend_on_its_blocks(key, blocks):
  inputs = _inputs(key, (21,), 1000, 16)
  rows, vocab = blocks
  kernel = functools.partial(
    tpu.pallas, block_rows=rows, block_vocab=vocab, interpret=True
  )
  expected = embedding(*inputs, implementation='reference')
  actual = jax.jit(kernel)(*inputs)
  assert_trees_all_close(actual, expected, rtol=2e-5, atol=2e-5, strict=True)


@pytest.mark.parametrize('implementation', FAST)
def test_gradients_in_float64(key, implementation):
  with jax.enable_x64(True):
    inputs = _inputs(key, (2, 2), 37, 5)
    logits, table = (x.astype(jnp.float64) for x in inputs)
    call = functools.partial(soft_embedding, temperature=0.7)
    total, gradient = _gradient(
      functools.partial(call, implementation=implementation)
    )
    _, expected = _gradient(functools.partial(call, implementation='reference'))
    assert_trees_all_close(
      gradient(logits, table),
      expected(logits, table),
      rtol=1e-10,
      atol=1e-12,
      strict=True,
    )
    # Finite differences cannot step away from -inf.
    logits = jnp.where(jnp.isinf(logits), -3.0, logits)
    check_grads(
      jax.jit(total), (logits, table), 1, ['rev'], eps=1e-5, rtol=1e-7
    )


def test_temperature_is_traced_and_a_constant(key):
  logits, table = _inputs(key, (2,), 31, 5)
  program = jax.jit(lambda *x: soft_embedding(*x))
  for temperature in (0.5, 1.0):
    assert_trees_all_close(
      program(logits, table, temperature),
      embedding(logits / temperature, table),
      rtol=1e-5,
      atol=1e-6,
    )
  assert program._cache_size() == 1
  total, _ = _gradient(lambda t: soft_embedding(logits, table, t))
  assert jax.grad(total)(0.5) == 0


@pytest.mark.parametrize('check_vma', [True, False])
def test_gradients_under_shard_map(key, check_vma):
  inputs = _inputs(key, (16,), 301, 8)
  sharded = jax.shard_map(
    soft_embedding,
    mesh=jax.make_mesh((8,), ('data',), axis_types=(AxisType.Auto,)),
    in_specs=(P('data'), P()),
    out_specs=P('data'),
    check_vma=check_vma,
  )
  _, actual = _gradient(sharded)
  _, expected = _gradient(soft_embedding)
  assert_trees_all_close(
    actual(*inputs), expected(*inputs), rtol=1e-4, atol=1e-5, strict=True
  )


@pytest.mark.parametrize(
  ('logits', 'table', 'keywords', 'message'),
  [
    ((2, 5), (6, 3), {}, r'table \(6, 3\)'),
    ((2, 5), (5,), {}, r'expected logits \[\.\.\., v\]'),
    ((2, 5), (5, 3), {'temperature': np.ones(2)}, 'scalar temperature'),
    ((2, 5), (5, 3), {'implementation': 'cuda'}, "'cuda'.*choose.*pallas"),
  ],
)
def test_errors_say_what_to_write(unchecked, logits, table, keywords, message):
  with pytest.raises(ValueError, match=message):
    soft_embedding(jnp.zeros(logits), jnp.zeros(table), **keywords)
