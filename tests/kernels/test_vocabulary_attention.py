"""Logits and their soft embedding from one pass, held against two products."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from chex import assert_trees_all_close
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P

from latent_kernels import soft_embedding, vocabulary_attention
from latent_kernels.soft import tpu

FORMS = ('reference', 'xla', 'pallas_interpret', None)
SHAPES = {  # batch, vocab, d
  'one token': ((), 1, 3),
  'scalar batch': ((), 7, 3),
  'one row': ((1,), 256, 128),
  'chunks that overlap': ((2, 3), 5001, 8),
  'many rows': ((261,), 129, 8),
}
attention = jax.jit(vocabulary_attention, static_argnames='implementation')


def _inputs(key, batch, vocab, d, dtype=jnp.float32):
  for_hidden, for_table = jax.random.split(key)
  hidden = 3 * jax.random.normal(for_hidden, (*batch, d), dtype)
  return hidden, jax.random.normal(for_table, (vocab, d), dtype)


@pytest.mark.parametrize('implementation', FORMS)
@pytest.mark.parametrize('shape', SHAPES)
def test_values_in_numpy(key, implementation, shape):
  inputs = _inputs(key, *SHAPES[shape])
  logits, soft = attention(*inputs, 0.7, implementation=implementation)
  hidden, table = (np.asarray(x, np.float64) for x in inputs)
  expected = hidden @ table.T
  w = np.exp((expected - expected.max(-1, keepdims=True)) / 0.7)
  p = w / w.sum(-1, keepdims=True)
  close = functools.partial(np.testing.assert_allclose, rtol=5e-5, atol=5e-5)
  close(logits, expected)
  close(soft.mixture, p @ table)
  close(soft.log_sum_exp, expected.max(-1) / 0.7 + np.log(w.sum(-1)))
  close(soft.l2, np.sqrt((p**2).sum(-1)))
  assert logits.dtype == soft.mixture.dtype == jnp.float32


@pytest.mark.parametrize('implementation', FORMS)
def test_bfloat16_rounds_only_the_weights(key, implementation):
  hidden, table = _inputs(key, (5,), 3001, 40, jnp.bfloat16)
  logits, soft = attention(hidden, table, implementation=implementation)
  wide = (x.astype(jnp.float32) for x in (hidden, table))
  exact, mixed = attention(*wide, implementation='reference')
  np.testing.assert_allclose(logits, exact, atol=1e-4)
  rounding = 2**-8 * float(jnp.abs(table).max())
  np.testing.assert_allclose(soft.mixture, mixed.mixture, atol=rounding)


@pytest.mark.parametrize('implementation', FORMS)
def test_a_temperature_near_zero_takes_the_likeliest(key, implementation):
  """Soft Tokens' 'fuzzy' has 1e-4."""
  hidden, table = _inputs(key, (3,), 5001, 8)
  logits, soft = attention(hidden, table, 1e-4, implementation=implementation)
  likeliest = table[logits.argmax(-1)]
  np.testing.assert_allclose(soft.mixture, likeliest, rtol=1e-6)
  np.testing.assert_allclose(soft.l2, 1, rtol=0.02)  # z has 24 bits


@pytest.mark.parametrize('blocks', [(8, 128), (16, 256), (None, 512)])
def test_the_kernel_does_not_depend_on_its_blocks(key, blocks):
  inputs = *_inputs(key, (21,), 1000, 16), jnp.float32(0.7)
  kernel = functools.partial(
    tpu.pallas_from_hidden,
    block_rows=blocks[0],
    block_vocab=blocks[1],
    interpret=True,
  )
  expected = attention(*inputs, implementation='reference')
  actual = jax.jit(kernel)(*inputs)
  assert_trees_all_close(actual, expected, rtol=5e-5, atol=5e-5, strict=True)


def test_the_default_on_a_cpu_reads_the_table_once(key):
  """The only products are those of a chunk of it."""
  inputs = _inputs(key, (4,), 8192, 16)
  assert _products_with_the_table(attention, inputs) == [False, False]
  both = lambda hidden, table: soft_embedding(hidden @ table.T, table)
  assert _products_with_the_table(jax.jit(both), inputs) == [True, True]


def _products_with_the_table(f, inputs):
  """Of each product of the compiled program, whether it has the whole table."""
  text = f.lower(*inputs).compile().as_text()
  shapes = dict(re.findall(r'(%[\w.-]+)(?: =|:) f32\[([\d,]*)\]', text))
  products = re.findall(r' dot\((%[\w.-]+), (%[\w.-]+)\)', text)
  return ['8192,16' in {shapes[x] for x in operands} for operands in products]


@pytest.mark.parametrize('check_vma', [True, False])
def test_rows_may_be_sharded(key, check_vma):
  inputs = _inputs(key, (16,), 5001, 8)
  mesh = jax.make_mesh((8,), ('data',), axis_types=(AxisType.Auto,))
  sharded = jax.shard_map(
    vocabulary_attention,
    mesh=mesh,
    in_specs=(P('data'), P()),
    out_specs=P('data'),
    check_vma=check_vma,
  )
  expected = attention(*inputs, implementation='reference')
  actual = jax.jit(sharded)(*inputs)
  assert_trees_all_close(actual, expected, rtol=5e-5, atol=5e-5)


def test_gradients_of_the_definition_are_those_of_the_parts(key):
  hidden, table = _inputs(key, (3,), 37, 5)

  def parts(hidden, table):
    logits = hidden @ table.T
    soft = soft_embedding(logits, table, 0.7, implementation='reference')
    return jnp.sin(logits).sum() + jnp.sin(soft.mixture).sum() + soft.l2.sum()

  def whole(hidden, table):
    logits, soft = attention(hidden, table, 0.7, implementation='reference')
    return jnp.sin(logits).sum() + jnp.sin(soft.mixture).sum() + soft.l2.sum()

  actual, expected = (
    jax.jit(jax.grad(f, (0, 1)))(hidden, table) for f in (whole, parts)
  )
  assert_trees_all_close(actual, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
  ('hidden', 'table', 'keywords', 'message'),
  [
    ((2, 5), (6, 3), {}, r'table \(6, 3\)'),
    ((2, 5), (5,), {}, r'expected hidden \[\.\.\., d\]'),
    ((2, 3), (5, 3), {'temperature': np.ones(2)}, 'scalar temperature'),
    ((2, 3), (5, 3), {'implementation': 'cuda'}, "'cuda'.*choose.*pallas"),
  ],
)
def test_errors_say_what_to_write(unchecked, hidden, table, keywords, message):
  with pytest.raises(ValueError, match=message):
    vocabulary_attention(jnp.zeros(hidden), jnp.zeros(table), **keywords)
