"""Where arrays live: one table from the letters of a shape to mesh axes.

The mesh has the axes `data` (replicas of the parameters), `fsdp` (parameters
and optimizer state cut along the model width) and `tensor` (heads, MLP width
and vocabulary). An array's letters are read from left to right and each takes
the axes of the table that no letter before it took: activations `b t d` are
cut along b, parameters `v d` along both. A dimension that the axes do not
divide stays whole.
"""

from collections.abc import Callable

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from hybrid_latent.trees import map_named
from hybrid_latent.types import PyTree

MESH_AXES = ('data', 'fsdp', 'tensor')
AXES = {
  'b': ('data', 'fsdp'),
  'u': ('data', 'fsdp'),
  'd': ('fsdp',),
  'v': ('tensor',),
  'f': ('tensor',),
  'n': ('tensor',),
  'k': ('tensor',),
}


def mesh(data: int = -1, fsdp: int = 1, tensor: int = 1) -> Mesh:
  """All devices as (data, fsdp, tensor); -1, once, takes what is left."""
  sizes = {'data': data, 'fsdp': fsdp, 'tensor': tensor}
  devices = jax.device_count()
  free = [name for name, size in sizes.items() if size == -1]
  known = int(np.prod([size for size in sizes.values() if size != -1]))
  if len(free) == 1 and known > 0 and devices % known == 0:
    sizes[free[0]] = devices // known
  if int(np.prod(list(sizes.values()))) != devices or min(sizes.values()) < 1:
    raise ValueError(
      f'mesh {sizes} does not match the {devices} devices at hand: the product '
      'must be their number; write -1 for one axis to let it take the rest'
    )
  return jax.make_mesh(
    tuple(sizes.values()), MESH_AXES, axis_types=(AxisType.Auto,) * 3
  )


def spec(letters: str, shape: tuple[int, ...], mesh) -> PartitionSpec:
  """The partition of an array whose dimensions are `letters` ('b t d')."""
  names = letters.split()
  if len(names) != len(shape):
    raise ValueError(f'letters {letters!r} for an array of shape {shape}')
  taken, parts = set(), []
  for letter, size in zip(names, shape, strict=True):
    axes = tuple(a for a in AXES.get(letter, ()) if a not in taken)
    while axes and size % int(np.prod([mesh.shape[a] for a in axes])):
      axes = axes[:-1]
    taken.update(axes)
    parts.append(axes or None)
  return PartitionSpec(*parts)


def constrain(x: jax.Array, letters: str) -> jax.Array:
  """`x` held to its place on the ambient mesh (`jax.set_mesh`), if any."""
  ambient = jax.sharding.get_abstract_mesh()
  if ambient.empty or not set(MESH_AXES) <= set(ambient.axis_names):
    return x
  return jax.lax.with_sharding_constraint(x, spec(letters, x.shape, ambient))


def shardings(
  tree: PyTree, letters: Callable[[str], str | None], mesh: Mesh
) -> PyTree:
  """The sharding of every leaf; `letters(name)` None means a copy each."""

  def place(name, leaf):
    known = letters(name) if leaf.ndim else None
    cut = PartitionSpec() if known is None else spec(known, leaf.shape, mesh)
    return NamedSharding(mesh, cut)

  return map_named(place, tree)


def rows(tree: PyTree, mesh: Mesh) -> PyTree:
  """Shardings of a batch: every leaf along its first dimension."""

  def place(leaf):
    letters = ' '.join(['b', *'?' * (leaf.ndim - 1)]) if leaf.ndim else ''
    return NamedSharding(mesh, spec(letters, leaf.shape, mesh))

  return jax.tree.map(place, tree)


def from_host(tree: PyTree, mesh: Mesh) -> PyTree:
  """This host's rows as its part of arrays over all hosts."""
  spread = jax.make_array_from_process_local_data
  return jax.tree.map(spread, rows(tree, mesh), tree)


def to_host(tree: PyTree) -> PyTree:
  """This host's rows of every array, as numpy; the inverse of `from_host`."""

  def local(x):
    if x.is_fully_addressable:
      return np.asarray(x)
    parts = {s.index[0].start or 0: s.data for s in x.addressable_shards}
    return np.concatenate([np.asarray(parts[at]) for at in sorted(parts)])

  return jax.tree.map(local, tree)


def over_hosts(reduce: Callable, value) -> int:
  """`reduce` of every host's value, the same on all of them."""
  gathered = multihost_utils.process_allgather(np.int32(value))
  return int(reduce(gathered))
