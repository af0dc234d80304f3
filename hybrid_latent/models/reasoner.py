"""A network that turns what a model made of a prompt into latents, in one pass.

LRT (ICLR 2026, "Latent Reasoning Tuning", equation 5) has
z = f_out(G(f_in(H) * [r_1 ... r_j])): G a decoder without its embedding
(Qwen3-Embedding-0.6B), f_in and f_out linear, r learnable vectors. A product
of shapes [p e] and [j e] exists for one state alone, and the paper's text says
"its final hidden state": H is the state at the last prompt position ('last').
'prompt' is our reading of Algorithm 1, which names all of them: G reads f_in(H)
of every position, then r, and its last j outputs become the latents.

The paper states neither biases nor an initialisation. We begin with r = 1 +
N(0, 0.02), so that the products begin near f_in(H), and with f_out such that
latents are as long as the model's token embeddings.
"""

from typing import Any, Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int, Key

from hybrid_latent.models.transformer import Linear, Transformer
from hybrid_latent.ops.attention import causal_mask, positions

Reads = Literal['last', 'prompt']
READS = get_args(Reads)
SPREAD = 0.02


class Reasoner(nnx.Module):
  """The network."""

  def __init__(
    self,
    key: Key[Array, ''],
    backbone: Transformer,
    *,
    width: int,
    latents: int,
    reads: str = 'last',
    length: Float[Array, ''] | float = 1.0,
  ):
    """A new one around a decoder, whose embedding and head are left out.

    Args:
      width: d, of the model that reads the latents.
      latents: j.
      reads: 'last' or 'prompt', see above.
      length: root mean square of a channel that the latents begin with, such
        as that of the model's embeddings.
    """
    if reads not in READS:
      raise ValueError(f'reads={reads!r}: write one of {READS}')
    e, keys = backbone.config.width, jax.random.split(key, 3)
    # What leaves the backbone's last norm is about as long as its scale.
    gain = jnp.sqrt(e * jnp.mean(backbone.norm[...].astype(jnp.float32) ** 2))
    self.reads = reads
    self.f_in = Linear(keys[0], (e, width), bias=True)
    self.r = nnx.Param(1 + SPREAD * jax.random.normal(keys[2], (latents, e)))
    self.backbone = without_vocabulary(backbone)
    self.f_out = Linear(keys[1], (width, e), bias=True)
    draw = jax.random.normal(keys[1], (width, e))
    self.f_out.weight[...] = draw * length / jnp.maximum(gain, 1e-6)

  def __call__(
    self, hidden: Float[Array, 'u s d'], mask: Bool[Array, 'u s']
  ) -> Float[Array, 'u j d']:
    """The latents of prompts that a model has read, left padded; in the dtype
    of the backbone's computation."""
    j, dtype = self.r.shape[0], self.backbone.config.dtype
    seen, r = hidden.astype(dtype), self.r[None].astype(dtype)
    if self.reads == 'last':
      x = self.f_in(seen[:, -1:]) * r
      mask = jnp.ones(x.shape[:2], bool)
    else:
      rows = jnp.broadcast_to(r, (hidden.shape[0], *self.r.shape))
      x = jnp.concatenate([self.f_in(seen), rows], axis=1)
      mask = jnp.pad(mask, ((0, 0), (0, j)), constant_values=True)
    y, _ = self.backbone.forward(x, None, positions(mask), causal_mask(mask))
    return self.f_out(y[:, -j:])


class Prefix(NamedTuple):
  """What a policy owns that reads latents before it answers."""

  reasoner: Reasoner
  closing: Int[Array, 'k']  # tokens after the latents, such as </think>


def without_vocabulary(model: Transformer) -> Transformer:
  """The layers and the last norm of a decoder: what reads no token."""
  copy: Any = jax.tree.map(lambda x: x, model)
  copy.embedding = copy.head = nnx.data(None)
  return copy
