"""Arrays inside `jax.shard_map`, whose types hold the axes they vary over."""

import jax
from jaxtyping import Array, Float


def alike(*arrays: Float[Array, '...']) -> list[Float[Array, '...']]:
  """The arrays, each varying over every mesh axis that any of them varies over.

  A custom gradient must return the types of its inputs, and the gradient of a
  replicated table varies with each device's rows. With the cast before it, the
  cast's transpose sums the table's gradient over the devices. Outside a
  `jax.shard_map` that checks such types, the arrays are returned unchanged.
  """
  varying = [jax.typeof(x).manual_axis_type.varying for x in arrays]
  union = frozenset().union(*varying)
  return [
    jax.lax.pcast(x, tuple(union - axes), to='varying')
    for x, axes in zip(arrays, varying, strict=True)
  ]
