"""A network from a prompt's hidden states to latents, in one forward pass.

LRT (ICLR 2026, "Latent Reasoning Tuning", equation 5) has
z = f_out(G(f_in(H) * [r_1 ... r_j])): G a decoder without its embedding
(Qwen3-Embedding-0.6B), f_in and f_out linear, r learnable vectors. A product
of shapes [p e] and [j e] is defined for a single state only, and the paper's
text has "its final hidden state": H is the state at the last prompt position
('last'). 'prompt' is our interpretation of Algorithm 1, which names all states:
the inputs of G are f_in(H) of every position, then r, and its last j outputs
become the latents.

The paper states neither biases nor an initialisation. We initialise r = 1 +
N(0, 0.02), so that the products are near f_in(H), and f_out such that latents
have the norm of the model's token embeddings.
"""

from typing import Any, Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int, Key

from hybrid_latent.models.transformer import Linear, Transformer
from hybrid_latent.ops.attention import positions

Reads = Literal['last', 'prompt']
READS = get_args(Reads)
SPREAD = 0.02


class Reasoner(nnx.Module):
  """The network; see above."""

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
    """A new one around a decoder, without its embedding and head.

    Args:
      width: d, of the model whose inputs the latents are.
      latents: j.
      reads: 'last' or 'prompt', see above.
      length: root mean square per channel of the initial latents, such as that
        of the model's embeddings.
    """
    if reads not in READS:
      raise ValueError(f'reads={reads!r}: write one of {READS}')
    e, keys = backbone.config.width, jax.random.split(key, 3)
    # Outputs of the backbone's last norm have about the norm of its scale.
    gain = jnp.sqrt(e * jnp.mean(backbone.norm[...].astype(jnp.float32) ** 2))
    self.reads = reads
    self.f_in = Linear(keys[0], (e, width), bias=True)
    self.r = nnx.Param(1 + SPREAD * jax.random.normal(keys[2], (latents, e)))
    self.backbone = without_vocabulary(backbone)
    self.f_out = Linear(keys[1], (width, e), bias=True)
    # Variance (length / gain)^2: products with such outputs have RMS `length`.
    draw = jax.random.normal(keys[1], (width, e))
    self.f_out.weight[...] = draw * length / jnp.maximum(gain, 1e-6)

  def __call__(
    self, hidden: Float[Array, 'u s d'], mask: Bool[Array, 'u s']
  ) -> Float[Array, 'u j d']:
    """The latents of left-padded prompts, from their hidden states; in the
    dtype of the backbone's computation."""
    j, dtype = self.r.shape[0], self.backbone.config.dtype
    hidden, r = hidden.astype(dtype), self.r[None].astype(dtype)
    if self.reads == 'last':
      # Left padded: the last column is the last prompt position of every row.
      x = self.f_in(hidden[:, -1:]) * r
      mask = jnp.ones(x.shape[:2], bool)
    else:
      rows = jnp.broadcast_to(r, (hidden.shape[0], *self.r.shape))
      x = jnp.concatenate([self.f_in(hidden), rows], axis=1)
      mask = jnp.pad(mask, ((0, 0), (0, j)), constant_values=True)
    y, _ = self.backbone.forward(x, None, positions(mask), mask)
    return self.f_out(y[:, -j:])


class Prefix(NamedTuple):
  """Parameters of the feedback `prefix`."""

  reasoner: Reasoner
  closing: Int[Array, 'k']  # tokens after the latents, such as </think>


def without_vocabulary(model: Transformer) -> Transformer:
  """A decoder without embedding and head: its layers and last norm."""
  copy: Any = jax.tree.map(lambda x: x, model)
  copy.embedding = copy.head = nnx.data(None)
  return copy
