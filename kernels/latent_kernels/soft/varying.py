"""Arrays inside `jax.shard_map`, whose types say over which axes they vary."""

import jax
from jaxtyping import Array, Float


def alike(*arrays: Float[Array, '...']) -> list[Float[Array, '...']]:
  """The arrays, each varying over every mesh axis that any of them varies over.

  A custom gradient must return the types it was given, and the gradient of a
  replicated table varies with the rows it met. Cast before, the table gets its
  gradient summed over the devices by the cast's transpose. Elsewhere than in
  a `jax.shard_map` that checks such types, these are the arrays as they are.
  """
  varying = [jax.typeof(x).manual_axis_type.varying for x in arrays]
  union = frozenset().union(*varying)
  return [
    jax.lax.pcast(x, tuple(union - own), to='varying')
    for x, own in zip(arrays, varying, strict=True)
  ]
