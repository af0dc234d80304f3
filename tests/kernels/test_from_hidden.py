"""The soft embedding of hidden states: the same, without the logits."""

import functools
import math

import jax
import jax.numpy as jnp
import pytest
from chex import assert_trees_all_close
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P
from jax.test_util import check_grads

from latent_kernels import soft_embedding, soft_embedding_from_hidden
from tests.kernels.gradients import number_and_gradient

VOCAB = 37
_gradient = functools.partial(number_and_gradient, inputs=3)


def _inputs(key, batch=(2, 3), vocab=VOCAB, d=5, e=4, dtype=jnp.float32):
  keys = jax.random.split(key, 3)
  shapes = (*batch, d), (vocab, d), (vocab, e)
  return tuple(
    jax.random.normal(k, shape, dtype)
    for k, shape in zip(keys, shapes, strict=True)
  )


def _in_chunks(chunk):
  return functools.partial(soft_embedding_from_hidden, chunk=chunk)


def _reference(hidden, head, table, temperature=1.0):
  return soft_embedding(
    hidden @ head.T, table, temperature, implementation='reference'
  )


@pytest.mark.parametrize('chunk', [1, 8, 36, VOCAB, 4096])
def test_values_for_any_chunk(key, chunk):
  inputs = *_inputs(key), 0.7
  actual = jax.jit(_in_chunks(chunk))(*inputs)
  expected = jax.jit(_reference)(*inputs)
  assert_trees_all_close(actual, expected, rtol=2e-5, atol=2e-6, strict=True)


@pytest.mark.parametrize('chunk', [8, 36, VOCAB])
def test_gradients_in_float64(key, chunk):
  with jax.enable_x64(True):
    inputs = jax.tree.map(lambda x: x.astype(jnp.float64), _inputs(key))
    total, gradient = _gradient(
      functools.partial(_in_chunks(chunk), temperature=0.7)
    )
    _, expected = _gradient(functools.partial(_reference, temperature=0.7))
    assert_trees_all_close(
      gradient(*inputs), expected(*inputs), rtol=1e-10, atol=1e-12, strict=True
    )
    check_grads(jax.jit(total), inputs, 1, ['rev'], eps=1e-5, rtol=1e-7)


def test_a_tied_table_gets_both_gradients(key):
  hidden, head, _ = _inputs(key)
  _, actual = _gradient(lambda h, w, _: _in_chunks(8)(h, w, w))
  _, expected = _gradient(lambda h, w, _: _reference(h, w, w))
  assert_trees_all_close(
    actual(hidden, head, 0.0), expected(hidden, head, 0.0), rtol=1e-4, atol=1e-5
  )


def test_temperature_is_a_constant(key):
  total, _ = _gradient(functools.partial(_in_chunks(8), *_inputs(key)))
  assert jax.jit(jax.grad(total))(0.5) == 0


def test_bfloat16_weights_keep_their_dtype_in_the_gradient(key):
  inputs = _inputs(key, d=32, dtype=jnp.bfloat16)
  _, gradient = _gradient(_in_chunks(8))
  _, expected = _gradient(_reference)
  exact = expected(*jax.tree.map(lambda x: x.astype(jnp.float32), inputs))
  for x, y in zip(gradient(*inputs), exact, strict=True):
    assert x.dtype == jnp.bfloat16
    error = jnp.linalg.norm(x.astype(jnp.float32) - y) / jnp.linalg.norm(y)
    assert error < 0.01


@pytest.mark.parametrize('check_vma', [True, False])
def test_gradients_under_shard_map(key, check_vma):
  inputs = _inputs(key, batch=(16,))
  sharded = jax.shard_map(
    _in_chunks(8),
    mesh=jax.make_mesh((8,), ('data',), axis_types=(AxisType.Auto,)),
    in_specs=(P('data'), P(), P()),
    out_specs=P('data'),
    check_vma=check_vma,
  )
  _, actual = _gradient(sharded)
  _, expected = _gradient(_reference)
  assert_trees_all_close(
    actual(*inputs), expected(*inputs), rtol=1e-4, atol=1e-5, strict=True
  )


def test_logits_are_never_whole(key):
  tokens, vocab, chunk, d = 512, 1000, 50, 4
  inputs = _inputs(key, (tokens,), vocab, d, d)

  def temporaries(f):
    _, gradient = _gradient(f)
    program = gradient.lower(*inputs).compile()
    return program.memory_analysis().temp_size_in_bytes

  logits = 4 * tokens * vocab
  weights = 4 * sum(math.prod(x.shape) for x in inputs)
  assert temporaries(_reference) > logits
  assert temporaries(_in_chunks(chunk)) < 3 * 4 * tokens * chunk + weights


@pytest.mark.parametrize(
  ('shapes', 'keywords', 'message'),
  [
    (((2, 5), (7, 4), (7, 4)), {}, r'hidden \(2, 5\), head \(7, 4\)'),
    (((2, 4), (7, 4), (8, 4)), {}, r'table \(8, 4\)'),
    (
      ((2, 4), (7, 4), (7, 4)),
      {'chunk': 0},
      'chunk=0; expected 1 or more',
    ),
  ],
)
def test_errors_say_what_to_write(unchecked, shapes, keywords, message):
  with pytest.raises(ValueError, match=message):
    soft_embedding_from_hidden(*map(jnp.zeros, shapes), **keywords)
