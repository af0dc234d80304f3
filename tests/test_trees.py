"""Names of leaves, and trees in two halves."""

import jax
import numpy as np

from hybrid_latent.trees import combine, map_named, named_leaves, partition
from tests import tiny


def test_names_are_the_paths_of_the_module():
  names = named_leaves(tiny.policy())
  assert {'model.embedding', 'model.layers.q.weight', 'model.norm'} <= set(
    names
  )
  assert {'feedback.w_r', 'feedback.decay'} <= set(names)
  assert named_leaves({'a': [1, {'b': 2}]}) == {'a.0': 1, 'a.1.b': 2}


def test_map_named_sees_the_leaves_of_every_tree():
  a, b = {'x': 1, 'y': (2, 3)}, {'x': 10, 'y': (20, 30)}
  joined = map_named(lambda name, p, q: f'{name}:{p + q}', a, b)
  assert joined == {'x': 'x:11', 'y': ('y.0:22', 'y.1:33')}


def test_two_halves_make_the_whole():
  policy = tiny.policy()
  kept, rest = partition(policy, lambda name: name.startswith('feedback.'))
  assert len(jax.tree.leaves(kept)) == 5
  assert set(named_leaves(kept)).isdisjoint(named_leaves(rest))
  again = combine(kept, rest)
  assert jax.tree.structure(again) == jax.tree.structure(policy)
  jax.tree.map(np.testing.assert_array_equal, again, policy)
  jax.jit(lambda kept, rest: combine(kept, rest).table)(kept, rest)
