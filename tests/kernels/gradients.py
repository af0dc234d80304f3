"""One number of a soft embedding, and its gradient."""

import jax
import jax.numpy as jnp


def number_and_gradient(f, *, inputs):
  """Of a number that every result has a part in, each in its own way, and to
  the first `inputs` arguments."""

  def total(*arguments):
    out = f(*arguments)
    return (
      jnp.sum(jnp.sin(out.mixture))
      + jnp.sum(out.log_sum_exp**2)
      + jnp.sum(jnp.cos(3 * out.l2))
    )

  return total, jax.jit(jax.grad(total, argnums=tuple(range(inputs))))
