"""A step of the optimizer that is not finite is left out, in place."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from hybrid_latent.optim import adamw, finite_step
from hybrid_latent.trees import nonfinite

GROUPS = {'all': {'pattern': '', 'lr': 0.1, 'weight_decay': 0.1}}
PARAMS = {'a': jnp.array([0.5, -2.0]), 'b': {'c': jnp.ones((2, 3))}}
GOOD = jax.tree.map(lambda x: x + 1, PARAMS)
GAP = 'sampling/sampling_logp_difference/mean'


def stepped(gradient, figures, lr=0.1):
  groups = {'all': GROUPS['all'] | {'lr': lr}}
  tx = adamw(PARAMS, groups, steps=9, schedule='constant', warmup_ratio=0.0)
  state = tx.init(PARAMS)
  return tx, state, finite_step(tx, gradient, figures, state, PARAMS)


def same(ours, theirs):
  jax.tree.map(np.testing.assert_array_equal, ours, theirs)


def test_a_finite_step_is_that_of_the_optimizer():
  figures = {'loss': jnp.float32(2.0), 'other': jnp.float32(jnp.nan)}
  tx, state, (params, new_state, found) = stepped(GOOD, figures)
  changes, expected = tx.update(GOOD, state, PARAMS)
  same(params, optax.apply_updates(PARAMS, changes))
  same(new_state, expected)
  assert found['skipped_updates'] == found['nonfinite_arrays'] == 0
  assert found['grad_norm'] == optax.tree.norm(GOOD)


@pytest.mark.parametrize('wrong', [jnp.nan, jnp.inf, -jnp.inf])
@pytest.mark.parametrize('where', ['loss', GAP, 'gradient'])
def test_one_that_is_not_changes_nothing(where, wrong):
  gradient, figures = GOOD, {'loss': jnp.float32(2.0), GAP: jnp.float32(0)}
  if where == 'gradient':
    gradient = GOOD | {'a': jnp.array([wrong, 1.0])}
  else:
    figures[where] = jnp.float32(wrong)
  _, state, (params, new_state, found) = stepped(gradient, figures)
  same(params, PARAMS)
  same(new_state, state)
  assert found['skipped_updates'] == 1 and found['nonfinite_arrays'] == 0


def test_what_overflows_all_the_same_is_counted():
  figures = {'loss': jnp.float32(2.0)}
  _, _, (params, _, found) = stepped(GOOD, figures, lr=float('nan'))
  assert found['skipped_updates'] == 0 and found['nonfinite_arrays'] == 2
  assert nonfinite({'x': params, 'y': jnp.ones(2), 'n': jnp.arange(2)}) == [
    'x.a', 'x.b.c'
  ]  # fmt: skip


def test_no_second_copy_of_the_weights_lives():
  """What the compiled program needs beside its arguments, which are donated."""
  size = 1 << 16
  params = {str(i): jnp.ones(size) for i in range(16)}
  tx = adamw(params, GROUPS, steps=9, schedule='constant', warmup_ratio=0.0)
  state, x = tx.init(params), jnp.ones(size)

  def needed(step):
    @partial(jax.jit, donate_argnums=(0, 1))
    def update(params, state, x):
      loss = lambda p: sum(jnp.sum(jnp.tanh(w * x)) for w in p.values())
      value, gradient = jax.value_and_grad(loss)(params)
      return step(gradient, {'loss': value}, state, params)

    found = update.lower(params, state, x).compile().memory_analysis()
    return found.temp_size_in_bytes

  def plain(gradient, figures, state, params):
    changes, state = tx.update(gradient, state, params)
    norm = optax.tree.norm(gradient)
    return optax.apply_updates(params, changes), state, (figures, norm)

  # In any order of the arrays, single ones may live longer.
  assert needed(partial(finite_step, tx)) <= needed(plain) + 4 * size * 16 // 4
