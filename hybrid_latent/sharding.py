"""Where arrays live: one table from the letters of a shape to mesh axes.

The mesh has the axes `data` (replicas of the parameters), `fsdp` (parameters
and optimizer state cut along the model width), `tensor` (heads, MLP width and
vocabulary) and `sequence` (positions). An array's letters are read from left to
right and each takes the axes of the table that no letter before it took:
activations `b t d` are cut along b and t, parameters `v d` along both, a cache
`b k s h` along its slots where it has too few heads for the tensor axis. A
dimension that the axes do not divide stays whole: any batch and any number of
heads work, on more memory.
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
  """The devices (by default all there are) as (data, fsdp, tensor, sequence),
  arranged as their network wants it; -1, once, takes what is left."""
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
  """Another mesh of the same devices in the same order, so that one program
  may move arrays from one to the other."""
  sizes = _sizes((data, fsdp, tensor, sequence), mesh.size)
  return Mesh(
    mesh.devices.reshape(sizes), MESH_AXES, axis_types=mesh.axis_types
  )


def _sizes(wanted, devices) -> tuple[int, ...]:
  known = int(np.prod([size for size in wanted if size != -1]))
  left = devices // known if known > 0 and wanted.count(-1) == 1 else -1
  sizes = tuple(left if size == -1 else size for size in wanted)
  if int(np.prod(sizes)) != devices or min(sizes) < 1:
    raise ValueError(
      f'mesh {dict(zip(MESH_AXES, wanted, strict=True))} does not match the '
      f'{devices} devices at hand: the product must be their number; write -1 '
      'for one axis to let it take the rest'
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
    while axes and size % int(np.prod([mesh.shape[a] for a in axes])):
      axes = axes[:-1]
    taken.update(axes)
    parts.append(axes or None)
  return PartitionSpec(*parts)


def constrain(
  x: Shaped[Array, '*shape'], letters: str
) -> Shaped[Array, '*shape']:
  """`x` held to its place on the ambient mesh (`jax.set_mesh`), if any."""
  mesh = ambient_mesh()
  if mesh is None:
    return x
  return jax.lax.with_sharding_constraint(x, spec(letters, x.shape, mesh))


def ambient_mesh() -> AbstractMesh | None:
  """The mesh of `jax.set_mesh`, if it is one of ours."""
  mesh = jax.sharding.get_abstract_mesh()
  return mesh if set(MESH_AXES) <= set(mesh.axis_names) else None


def shardings(
  tree: PyTree, letters: Callable[[str], str | None], mesh: Mesh
) -> PyTree:
  """The sharding of every leaf, an array or the shape of one.

  `letters(name)` are those of a leaf that is stacked; one that is not has only
  the last of them. None means a copy each.
  """

  def place(name, leaf):
    known = letters(name) or ''
    names = known.split()[-leaf.ndim :] if leaf.ndim else []
    cut = spec(' '.join(names), leaf.shape, mesh) if names else PartitionSpec()
    return NamedSharding(mesh, cut)

  return map_named(place, tree)


def rows(tree: PyTree, mesh: Mesh) -> PyTree:
  """Shardings of a batch, whose leaves are [b], [b t] or [b t ...]."""

  def place(leaf):
    letters = ['b', 't', *'?' * leaf.ndim][: leaf.ndim]
    return NamedSharding(mesh, spec(' '.join(letters), leaf.shape, mesh))

  return jax.tree.map(place, tree)


def from_host(tree: PyTree, mesh: Mesh) -> PyTree:
  """This host's rows as its part of arrays over all hosts."""
  hosts = jax.process_count()

  def spread(x):
    if not x.ndim or hosts == 1:
      return jax.device_put(x, rows(x, mesh))
    whole = jax.ShapeDtypeStruct((len(x) * hosts, *x.shape[1:]), x.dtype)
    place = rows(whole, mesh)
    if _by_host(place, whole.shape):
      return jax.make_array_from_process_local_data(place, x, whole.shape)
    x = multihost_utils.process_allgather(x, tiled=True)
    return jax.make_array_from_callback(x.shape, place, lambda at: x[at])

  return jax.tree.map(spread, tree)


def to_host(tree: PyTree) -> PyTree:
  """This host's rows of every array, as numpy; the inverse of `from_host`."""

  def local(x):
    if x.is_fully_addressable or not x.ndim:
      return np.asarray(x)
    if not _by_host(x.sharding, x.shape):
      whole = multihost_utils.process_allgather(x, tiled=True)
      return np.split(whole, jax.process_count())[jax.process_index()]
    begin = lambda shard: shard.index[0].start or 0
    ours = sorted({begin(shard) for shard in x.addressable_shards})
    size = x.sharding.shard_shape(x.shape)[0]
    out = np.empty((len(ours), size, *x.shape[1:]), x.dtype)
    for shard in x.addressable_shards:
      out[(ours.index(begin(shard)), slice(None), *shard.index[1:])] = (
        shard.data
      )
    return out.reshape(-1, *x.shape[1:])

  return jax.tree.map(local, tree)


def _by_host(place: NamedSharding, shape: tuple[int, ...]) -> bool:
  """Whether no two hosts hold a part of the same row: not so where a batch is
  too small to be cut, or an axis other than of rows reaches over hosts."""
  held = {
    (device.process_index, at[0].start or 0)
    for device, at in place.devices_indices_map(shape).items()
  }
  return len(held) * place.shard_shape(shape)[0] == shape[0]


def over_hosts(reduce: Callable, value) -> int:
  """`reduce` of every host's value, the same on all of them."""
  gathered = multihost_utils.process_allgather(np.int32(value))
  return int(reduce(gathered))
