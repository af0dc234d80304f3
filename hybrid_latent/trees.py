"""Names and partitions of parameter trees."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from hybrid_latent.types import PyTree


def _name(path: tuple) -> str:
  """'layers.q.weight' for a key path; NNX's trailing `.value` is dropped."""
  parts = [
    str(getattr(k, 'name', getattr(k, 'key', getattr(k, 'idx', k))))
    for k in path
  ]
  return '.'.join(parts[:-1] if parts[-1:] == ['value'] else parts)


def named_leaves(tree: PyTree) -> dict[str, jax.Array]:
  """Every leaf under its dotted name, in tree order."""
  flat, _ = jax.tree_util.tree_flatten_with_path(tree)
  return {_name(path): leaf for path, leaf in flat}


def map_named(f: Callable, tree: PyTree, *rest: PyTree) -> PyTree:
  """`f(name, leaf, *others)` over the leaves of `tree`."""
  return jax.tree_util.tree_map_with_path(
    lambda path, *leaves: f(_name(path), *leaves), tree, *rest
  )


def partition(tree: PyTree, keep: Callable[[str], bool]) -> tuple:
  """Two trees of the same structure: the leaves whose name `keep` accepts, and
  the others; each has None where the other has the leaf."""
  kept = map_named(lambda name, x: x if keep(name) else None, tree)
  rest = map_named(lambda name, x: None if keep(name) else x, tree)
  return kept, rest


def combine(kept: PyTree, rest: PyTree) -> PyTree:
  """The inverse of `partition`."""
  return jax.tree.map(
    lambda a, b: b if a is None else a, kept, rest, is_leaf=lambda x: x is None
  )


def nonfinite(tree: PyTree) -> list[str]:
  """The names of the leaves that hold a NaN or an infinity."""
  finite = jax.device_get(_finite(named_leaves(tree)))
  return [name for name, is_finite in finite.items() if not is_finite]


@jax.jit
def _finite(leaves):
  is_float = lambda x: jnp.issubdtype(x.dtype, jnp.inexact)
  return {
    name: jnp.isfinite(x).all() for name, x in leaves.items() if is_float(x)
  }
