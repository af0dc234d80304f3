"""The decoder of all families: Qwen2/2.5, Qwen3 and Llama 3.x.

Parameters are stored as Hugging Face stores them, `[out, in]`, with the layers
stacked in front: `layers.q.weight [l, n*h, d]`. Training scans over the stack,
so that compile time does not grow with depth. Decoding must not slice a stacked
weight in every step, so its caller applies `unstack` once, inside the same
program and before the loop.
"""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int, Key

from hybrid_latent.ops.attention import GroupMask, attention
from hybrid_latent.ops.linear import linear, lookup
from hybrid_latent.ops.rope import (
  Llama3Scaling,
  rope_frequencies,
  rope_tables,
  rotate,
)
from hybrid_latent.sharding import constrain
from hybrid_latent.types import Segments

REMAT = {
  'none': None,
  'full': jax.checkpoint_policies.nothing_saveable,
  'dots': jax.checkpoint_policies.dots_with_no_batch_dims_saveable,
}


@dataclasses.dataclass(frozen=True)
class TransformerConfig:
  """Sizes and switches of one model; see the family modules."""

  vocab: int  # rows of the embedding, padding rows included
  width: int
  layers: int
  heads: int
  kv_heads: int
  head_dim: int
  mlp: int
  rope_theta: float
  rope_scaling: Llama3Scaling | None = None
  norm_eps: float = 1e-6
  tied: bool = True  # the output head is the input embedding
  qkv_bias: bool = False  # Qwen2
  qk_norm: bool = False  # Qwen3
  family: str = 'llama'  # module whose KEYS name the tensors on export
  max_positions: int = 32768
  dtype: str = 'float32'  # of the computation; parameters keep theirs
  remat: str = 'none'  # what training saves per layer, a key of REMAT
  attention: str | None = None  # ops/attention.py:Implementation

  @property
  def token_cache_bytes(self) -> int:
    """Of the keys and values of one token."""
    size = 2 * self.layers * self.kv_heads * self.head_dim
    return size * jnp.dtype(self.dtype).itemsize


def rms_norm(
  x: Float[Array, '*b d'], scale: Float[Array, 'd'], eps: float
) -> Float[Array, '*b d']:
  """x / rms(x) * scale; the statistics in float32, the result in x's dtype."""
  y = x.astype(jnp.float32)
  y = y * jax.lax.rsqrt(jnp.mean(y * y, axis=-1, keepdims=True) + eps)
  # Explicit: the tests run with rank promotion as an error.
  scale = jnp.expand_dims(scale, tuple(range(x.ndim - 1)))
  return scale.astype(x.dtype) * y.astype(x.dtype)


class LoRA(nnx.Module):
  """A low-rank addition to a weight: scale * b @ a (arXiv 2106.09685)."""

  def __init__(
    self, a: Float[Array, '*l r i'], b: Float[Array, '*l o r'], scale: float
  ):
    self.a, self.b = nnx.Param(a), nnx.Param(b)
    self.scale = scale


class Linear(nnx.Module):
  """x @ weight.T (+ bias) (+ adapter), computed in x's dtype."""

  def __init__(
    self, key: Key[Array, ''], shape: tuple[int, ...], bias: bool = False
  ):
    self.weight = nnx.Param(0.02 * jax.random.normal(key, shape))
    self.bias = nnx.data(nnx.Param(jnp.zeros(shape[:-1])) if bias else None)
    self.lora = nnx.data(None)

  def __call__(self, x: Float[Array, '*b i']) -> Float[Array, '*b o']:
    y = linear(x, self.weight[...])
    if self.lora is not None:
      low = linear(x, self.lora.a[...])
      y = y + self.lora.scale * linear(low, self.lora.b[...])
    if self.bias is not None:
      bias = self.bias[...].astype(x.dtype)
      y = y + jnp.expand_dims(bias, tuple(range(y.ndim - 1)))
    return y


class Layer(nnx.Module):
  """One pre-norm block, or a stack of `stack` blocks if that is not ()."""

  def __init__(
    self, config: TransformerConfig, key: Key[Array, ''], stack: tuple[int, ...]
  ):
    c, keys = config, iter(jax.random.split(key, 7))
    scale = lambda n: nnx.Param(jnp.ones((*stack, n)))
    q, kv = c.heads * c.head_dim, c.kv_heads * c.head_dim
    self.config = config
    self.input_norm = scale(c.width)
    self.q = Linear(next(keys), (*stack, q, c.width), c.qkv_bias)
    self.k = Linear(next(keys), (*stack, kv, c.width), c.qkv_bias)
    self.v = Linear(next(keys), (*stack, kv, c.width), c.qkv_bias)
    self.o = Linear(next(keys), (*stack, c.width, q))
    self.q_norm = nnx.data(scale(c.head_dim) if c.qk_norm else None)
    self.k_norm = nnx.data(scale(c.head_dim) if c.qk_norm else None)
    self.mlp_norm = scale(c.width)
    self.gate = Linear(next(keys), (*stack, c.mlp, c.width))
    self.up = Linear(next(keys), (*stack, c.mlp, c.width))
    self.down = Linear(next(keys), (*stack, c.width, c.mlp))

  def __call__(self, x, rope, mask, kv=None, slot: Any = 0, prompt=None):
    """The block's output and the cache `kv`, if any, with x's keys and values
    written from slot `slot` on; `prompt` is the cache of slots before these."""
    c = self.config
    y = rms_norm(x, self.input_norm[...], c.norm_eps)
    q = rotate(self.split_heads(self.q(y), self.q_norm, 'b n t h'), *rope)
    k = rotate(self.split_heads(self.k(y), self.k_norm, 'b k t h'), *rope)
    v = self.split_heads(self.v(y), None, 'b k t h')
    if kv is not None:

      def write(slots, new):
        new, at = new.astype(slots.dtype), (0, 0, slot, 0)
        filled = jax.lax.dynamic_update_slice(slots, new, at)
        return constrain(filled, 'b k s h')

      kv = write(kv[0], k), write(kv[1], v)
      # With segments x attends to itself: the cache was empty.
      k, v = kv if mask.ndim == 3 else (k, v)
    # Many queries: gather keys and values over the sequence axis. One query in
    # decoding: moving it to the sharded cache is cheaper.
    if x.shape[1] > 1:
      k, v = constrain(k, 'b k . h'), constrain(v, 'b k . h')
    y = attention(q, k, v, mask, prompt=prompt, implementation=c.attention)
    x = x + self.o(jnp.swapaxes(y, 1, 2).reshape(*x.shape[:2], -1))
    y = rms_norm(x, self.mlp_norm[...], c.norm_eps)
    x = x + self.down(jax.nn.silu(self.gate(y)) * self.up(y))
    return x, kv

  def split_heads(self, y, norm, letters):
    """[b t (n h)] -> [b n t h], with the family's norm per head, if any."""
    y = y.reshape(*y.shape[:-1], -1, self.config.head_dim)
    if norm is not None:
      y = rms_norm(y, norm[...], self.config.norm_eps)
    return constrain(jnp.swapaxes(y, 1, 2), letters)


class KVCache(NamedTuple):
  """Keys and values of each layer; slots before `length` are filled."""

  k: tuple[Float[Array, 'b k s h'], ...]
  v: tuple[Float[Array, 'b k s h'], ...]
  length: Int[Array, '']
  # Keys and values of each layer in the slots before these; those of a prompt
  # are of b / u rows.
  prompt: tuple[tuple[Float[Array, 'u k p h'], ...], ...] = ()


class Transformer(nnx.Module):
  """A decoder-only language model; see types.LanguageModel."""

  takes_segments = True

  def __init__(self, config: TransformerConfig, key: Key[Array, '']):
    """Random weights (normal, 0.02), float32."""
    c = config
    if c.remat not in REMAT:
      raise ValueError(f'remat {c.remat!r}: write one of {sorted(REMAT)}')
    embed_key, layer_key, head_key = jax.random.split(key, 3)
    table = lambda k: nnx.Param(0.02 * jax.random.normal(k, (c.vocab, c.width)))
    self.config = config
    self.embedding = table(embed_key)
    self.layers: Any = nnx.data(Layer(c, layer_key, (c.layers,)))
    self.norm = nnx.Param(jnp.ones(c.width))
    self.head = nnx.data(None if c.tied else table(head_key))

  @property
  def table(self) -> Float[Array, 'v d']:
    """The input embedding, on a mesh with unsharded width: a lookup needs whole
    rows on each device."""
    return constrain(self.embedding[...], 'v .')

  @property
  def unembedding(self) -> Float[Array, 'v d']:
    """The output head."""
    return (self.embedding if self.head is None else self.head)[...]

  def embed(self, tokens: Int[Array, '*b']) -> Float[Array, '*b d']:
    x = lookup(self.table, tokens).astype(self.config.dtype)
    # XLA may cut positions unevenly, and add the gradients of its padding.
    letters = ['b', 't', *'?' * x.ndim][: x.ndim - 1]
    return constrain(x, ' '.join([*letters, 'd']))

  def forward(
    self,
    x: Float[Array, 'b t d'],
    cache: KVCache | None,
    positions: Int[Array, 'b t'],
    mask: Bool[Array, 'b t s'] | Segments | GroupMask,
  ) -> tuple[Float[Array, 'b t d'], KVCache | None]:
    x, rope = constrain(x, 'b t d'), self._rope(positions)
    if cache is None:
      x, _ = self._blocks(x, rope, mask, lambda x: None)
    else:
      pairs, prompt = [], cache.prompt or [None] * len(cache.k)
      for i, kv in enumerate(zip(cache.k, cache.v, strict=True)):
        x, kv = self._layer(i)(x, rope, mask, kv, cache.length, prompt[i])
        pairs.append(kv)
      k, v = zip(*pairs, strict=True)
      cache = cache._replace(k=k, v=v, length=cache.length + x.shape[1])
    return rms_norm(x, self.norm[...], self.config.norm_eps), cache

  def layer_states(
    self,
    x: Float[Array, 'b t d'],
    positions: Int[Array, 'b t'],
    mask: Bool[Array, 'b t t'] | Segments,
    at: Int[Array, 'b n'],
  ) -> tuple[Float[Array, 'b t d'], Float[Array, 'm b n d']]:
    """Hidden states after the final norm, and at the positions `at` those of
    every depth: the input, after each layer but the last, after the final
    norm (Hugging Face's `hidden_states`)."""
    x = constrain(x, 'b t d')
    pick = lambda x: jnp.take_along_axis(x, at[..., None], axis=1)
    # Picked inside the scan: [m b n d] is stored instead of [m b t d].
    out, states = self._blocks(x, self._rope(positions), mask, pick)
    hidden = rms_norm(out, self.norm[...], self.config.norm_eps)
    depths = pick(x)[None], states[:-1], pick(hidden)[None]
    return hidden, jnp.concatenate(depths)

  def _blocks(self, x, rope, mask, record):
    """The output of all layers without a cache, and `record` of each layer's
    output, stacked."""

    def block(x, layer):
      x, _ = layer(x, rope, mask)
      return x, record(x)

    if self.config.remat != 'none':
      block = jax.checkpoint(block, policy=REMAT[self.config.remat])
    if isinstance(self.layers, Layer):
      return jax.lax.scan(block, x, self.layers)
    states = []
    for layer in self.layers:
      x, state = block(x, layer)
      states.append(state)
    return x, jax.tree.map(lambda *x: jnp.stack(x), *states)

  def unembed(self, hidden: Float[Array, '*b d']) -> Float[Array, '*b v']:
    logits = linear(hidden, self.unembedding, jnp.float32)
    return constrain(logits, ' '.join([*'bt'[: logits.ndim - 1], 'v']))

  def init_cache(self, batch: int, length: int) -> KVCache:
    c = self.config
    shape = (batch, c.kv_heads, length, c.head_dim)
    zeros = lambda: tuple(
      constrain(jnp.zeros(shape, c.dtype), 'b k s h') for _ in range(c.layers)
    )
    return KVCache(zeros(), zeros(), jnp.zeros((), jnp.int32))

  def _rope(self, positions):
    c = self.config
    frequencies = rope_frequencies(c.head_dim, c.rope_theta, c.rope_scaling)
    return rope_tables(positions, frequencies)

  def _layer(self, i: int) -> Layer:
    if not isinstance(self.layers, Layer):
      return self.layers[i]
    return jax.tree.map(lambda w: w[i], self.layers)


def unstack(model: Any) -> Any:
  """The same model for decoding: one array per layer and weight, in the dtype
  of the computation; any model but a Transformer unchanged. Call it inside the
  program that decodes: it costs one copy of the weights while that runs."""
  if not isinstance(model, Transformer):
    return model
  model = jax.tree.map(lambda w: w.astype(model.config.dtype), model)
  layers = tuple(model._layer(i) for i in range(model.config.layers))
  # Without the barrier XLA moves the slices back into the loop.
  model.layers = nnx.data(jax.lax.optimization_barrier(layers))
  return model
