"""Shardings: one table from the letters of a shape to mesh axes.

The mesh has the axes `data` (replicas of the parameters), `fsdp` (parameters
and optimizer state sharded along the model width), `tensor` (heads, MLP width
and vocabulary) and `sequence` (positions). An array's letters are processed
from left to right; each takes the axes of the table that no letter before it
took: activations `b t d` are sharded along b and t, parameters `v d` along
both, a cache `b k s h` along its slots where it has too few heads for the
tensor axis. A dimension that the axes do not divide stays whole: any batch and
any number of heads work, with more memory.
"""

from collections.abc import Callable, Sequence

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import (
  AbstractMesh,
  AxisType,
  Mesh,
  NamedSharding,
  PartitionSpec,
)
from jaxtyping import Array, Shaped

from hybrid_latent.trees import map_named
from hybrid_latent.types import PyTree

MESH_AXES = ('data', 'fsdp', 'tensor', 'sequence')
AXES = {
  'b': ('data', 'fsdp'),
  'u': ('data', 'fsdp'),
  'd': ('fsdp',),
  'v': ('tensor',),
  'f': ('tensor',),
  'n': ('tensor',),
  'k': ('tensor',),
  'p': ('sequence',),
  't': ('sequence',),
  's': ('sequence', 'tensor'),
}


def mesh(
  data: int = -1,
  fsdp: int = 1,
  tensor: int = 1,
  sequence: int = 1,
  devices: Sequence | None = None,
) -> Mesh:
  """The devices (by default all) as (data, fsdp, tensor, sequence), arranged by
  jax for their network; -1, once, takes the remaining devices."""
  devices = [*(jax.devices() if devices is None else devices)]
  return jax.make_mesh(
    _sizes((data, fsdp, tensor, sequence), len(devices)),
    MESH_AXES,
    axis_types=(AxisType.Auto,) * len(MESH_AXES),
    devices=devices,
  )


def rearranged(
  mesh: Mesh,
  data: int = -1,
  fsdp: int = 1,
  tensor: int = 1,
  sequence: int = 1,
) -> Mesh:
  """Another mesh of the same devices in the same order, so that one program may
  reshard arrays between the two."""
  sizes = _sizes((data, fsdp, tensor, sequence), mesh.size)
  return Mesh(
    mesh.devices.reshape(sizes), MESH_AXES, axis_types=mesh.axis_types
  )


def _sizes(sizes, devices) -> tuple[int, ...]:
  """The sizes of the axes, with -1 replaced by the remaining devices."""
  axes = dict(zip(MESH_AXES, sizes, strict=True))
  known = int(np.prod([size for size in sizes if size != -1]))
  left = devices // known if known > 0 and sizes.count(-1) == 1 else -1
  sizes = tuple(left if size == -1 else size for size in sizes)
  if int(np.prod(sizes)) != devices or min(sizes) < 1:
    raise ValueError(
      f'mesh {axes} does not match the {devices} devices: write sizes whose '
      'product is their number, -1 for at most one axis that takes the rest'
    )
  return sizes


def spec(letters: str, shape: tuple[int, ...], mesh) -> PartitionSpec:
  """The partition of an array whose dimensions are `letters` ('b t d')."""
  names = letters.split()
  if len(names) != len(shape):
    raise ValueError(f'letters {letters!r} for an array of shape {shape}')
  taken, parts = set(), []
  for letter, size in zip(names, shape, strict=True):
    free = (a for a in AXES.get(letter, ()) if a not in taken)
    axes = tuple(a for a in free if mesh.shape[a] > 1)
    # From the last on: a batch that only `data` divides is sharded over that.
    while axes and size % int(np.prod([mesh.shape[a] for a in axes])):
      axes = axes[:-1]
    taken.update(axes)  # what is dropped stays free for a later letter
    parts.append(axes or None)
  return PartitionSpec(*parts)


def constrain(
  x: Shaped[Array, '*shape'], letters: str
) -> Shaped[Array, '*shape']:
  """`x` with the sharding of its letters on the ambient mesh (`jax.set_mesh`),
  if any."""
  mesh = ambient_mesh()
  if mesh is None:
    return x
  return jax.lax.with_sharding_constraint(x, spec(letters, x.shape, mesh))


def ambient_mesh() -> AbstractMesh | None:
  """The mesh of `jax.set_mesh`, if it has the axes of MESH_AXES."""
  mesh = jax.sharding.get_abstract_mesh()
  return mesh if set(MESH_AXES) <= set(mesh.axis_names) else None


def batch_devices(mesh: Mesh | AbstractMesh | None) -> int:
  """How many devices share the rows of a batch on a mesh, if any."""
  return 1 if mesh is None else mesh.shape['data'] * mesh.shape['fsdp']


def prompt_copies(prompts: int, group: int, multiple: int) -> int:
  """The smallest number of parts of equal size of each group with which all
  parts together are a multiple of `multiple`, else `group`. Each part is
  computed with a copy of the prompt."""
  sizes = (n for n in range(1, group) if group % n == 0)
  return next((n for n in sizes if prompts * n % multiple == 0), group)


def shardings(
  tree: PyTree, letters: Callable[[str], str | None], mesh: Mesh
) -> PyTree:
  """The sharding of every leaf, an array or a ShapeDtypeStruct.

  `letters(name)` are those of a leaf with stacked layers; one without has only
  the last of them. None means replicated.
  """

  def sharding(name, leaf):
    axes = (letters(name) or '').split()
    axes = axes[-leaf.ndim :] if leaf.ndim else []
    part = spec(' '.join(axes), leaf.shape, mesh) if axes else PartitionSpec()
    return NamedSharding(mesh, part)

  return map_named(sharding, tree)


def rows(tree: PyTree, mesh: Mesh) -> PyTree:
  """Shardings of a batch, whose leaves are [b], [b t] or [b t ...]."""

  def sharding(leaf):
    letters = ['b', 't', *'?' * leaf.ndim][: leaf.ndim]  # '?': not sharded
    return NamedSharding(mesh, spec(' '.join(letters), leaf.shape, mesh))

  return jax.tree.map(sharding, tree)


def from_host(tree: PyTree, mesh: Mesh) -> PyTree:
  """Global arrays of the rows of all hosts, from the rows of this one."""
  hosts = jax.process_count()

  def to_global(x):
    if not x.ndim or hosts == 1:
      return jax.device_put(x, rows(x, mesh))
    whole = jax.ShapeDtypeStruct((len(x) * hosts, *x.shape[1:]), x.dtype)
    sharding = rows(whole, mesh)
    if _rows_by_host(sharding, whole.shape):
      return jax.make_array_from_process_local_data(sharding, x, whole.shape)
    # Some device needs rows of another host: every host gathers all of them.
    x = multihost_utils.process_allgather(x, tiled=True)
    return jax.make_array_from_callback(x.shape, sharding, lambda at: x[at])

  return jax.tree.map(to_global, tree)


def to_host(tree: PyTree) -> PyTree:
  """This host's rows of every array, as numpy; the inverse of `from_host`."""

  def local(x):
    # A scalar is replicated, so every host has it.
    if x.is_fully_addressable or not x.ndim:
      return np.asarray(x)
    if not _rows_by_host(x.sharding, x.shape):
      whole = multihost_utils.process_allgather(x, tiled=True)
      return np.split(whole, jax.process_count())[jax.process_index()]
    # Without communication: all parts of this host's rows are on its devices.
    first_row = lambda shard: shard.index[0].start or 0
    starts = sorted({first_row(shard) for shard in x.addressable_shards})
    size = x.sharding.shard_shape(x.shape)[0]
    out = np.empty((len(starts), size, *x.shape[1:]), x.dtype)
    for shard in x.addressable_shards:
      block = starts.index(first_row(shard))
      out[(block, slice(None), *shard.index[1:])] = shard.data
    return out.reshape(-1, *x.shape[1:])

  return jax.tree.map(local, tree)


def _rows_by_host(sharding: NamedSharding, shape: tuple[int, ...]) -> bool:
  """Whether every row is on the devices of one host: not if a batch is too
  small to be sharded, or an axis other than of rows spans hosts."""
  blocks = {
    (device.process_index, index[0].start or 0)
    for device, index in sharding.devices_indices_map(shape).items()
  }
  # A block on two hosts is counted twice.
  return len(blocks) * sharding.shard_shape(shape)[0] == shape[0]


def over_hosts(reduce: Callable, value) -> int:
  """`reduce` over the values of all hosts, on each of them."""
  gathered = multihost_utils.process_allgather(np.int32(value))
  return int(reduce(gathered))
