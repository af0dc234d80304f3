"""Drawing tokens: temperature, top-k, top-p, min-p, greedy, all traced."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Bool, Float, Int, Key

from hybrid_latent.sharding import ambient_mesh, spec
from hybrid_latent.types import Sampling

_BLOCK = 256  # tokens per block of the two-level inversion in `draw`
_FEW = 64  # a top-k of at most this many is found by a partial sort


def sampling(
  temperature: float = 1.0,
  top_k: int = 0,
  top_p: float = 1.0,
  min_p: float = 0.0,
  greedy: bool = False,
  greedy_answer: bool = False,
  score_temperature: float = 1.0,
) -> Sampling:
  """How tokens are drawn: each value checked, and an array of the result."""
  for valid, name, value, accepted in (
    (temperature > 0, 'temperature', temperature, '> 0, or greedy=True'),
    (top_k >= 0, 'top_k', top_k, '>= 0 (0 keeps all)'),
    (0 < top_p <= 1, 'top_p', top_p, 'in (0, 1] (1 keeps all)'),
    (0 <= min_p < 1, 'min_p', min_p, 'in [0, 1) (0 keeps all)'),
    (score_temperature > 0, 'score_temperature', score_temperature, '> 0'),
  ):
    if not valid:
      raise ValueError(f'sampling.{name} is {value}: write a value {accepted}')
  return Sampling(
    jnp.float32(temperature),
    jnp.int32(top_k),
    jnp.float32(top_p),
    jnp.float32(min_p),
    jnp.bool_(greedy),
    jnp.bool_(greedy_answer),
    jnp.float32(score_temperature),
  )


class Likeliest(NamedTuple):
  """What the sampler sorted for a small top-k."""

  token: Int[Array, 'b n']  # the likeliest first
  found: Bool[Array, '']  # False: nothing was sorted, and `token` is void


class Distribution(NamedTuple):
  """What tokens are drawn from, and the normalizers of their scores: all from
  one exponential per token of the vocabulary."""

  logits: Float[Array, 'b v']  # scaled; -inf on the tokens that are excluded
  mass: Float[Array, 'b v']  # exp(logits - max), their share times a constant
  log_sum_exp: Float[Array, 'b']  # of `logits`
  score_log_sum_exp: Float[Array, 'b']  # of the logits / score_temperature
  likeliest: Likeliest


def distribution(
  logits: Float[Array, 'b v'], sampling_params: Sampling
) -> Distribution:
  """The distribution of logits / temperature that the filters leave, in Hugging
  Face's order: top-k, then top-p of the rest, then min-p.

  Each filter is a threshold on the probability, so ties at the threshold are
  all kept. The thresholds are found by bisection (a top-k of at most 64 by a
  partial sort): exact for traced settings, without sorting the vocabulary.
  """
  logits, unscaled = logits / sampling_params.temperature, logits
  peak = _blocks(logits, -jnp.inf).max((-2, -1))
  mass = jnp.exp(logits - peak[:, None])
  any_filter = (
    (sampling_params.top_k > 0)
    | (sampling_params.top_p < 1)
    | (sampling_params.min_p > 0)
  )
  # Traced settings, so a branch at run time: plain sampling skips the work.
  floor, top = jax.lax.cond(
    any_filter, lambda mass: _floor(mass, sampling_params), _no_floor, mass
  )
  score_temperature = sampling_params.score_temperature
  score_log_sum_exp = jax.lax.cond(
    score_temperature == sampling_params.temperature,
    lambda mass, unscaled: peak + jnp.log(mass.sum(-1)),
    lambda mass, unscaled: jax.nn.logsumexp(unscaled / score_temperature, -1),
    *(mass, unscaled),
  )
  kept = mass >= floor
  mass = jnp.where(kept, mass, 0)
  total = _blocks(mass, 0).sum(-1).sum(-1)  # of the sums that `draw` needs
  return Distribution(
    jnp.where(kept, logits, -jnp.inf),
    mass,
    peak + jnp.log(total),
    score_log_sum_exp,
    top,
  )


def likeliest(
  logits: Float[Array, 'b v'], known: Likeliest | None, k: int
) -> tuple[Float[Array, 'b k'], Int[Array, 'b k']]:
  """`top_k` of filtered logits, whose likeliest tokens may be known."""
  if known is None or k > known.token.shape[-1]:
    return top_k(logits, k)

  def look_up(logits):
    token = known.token[:, :k]
    return jnp.take_along_axis(logits, token, axis=-1), token

  return jax.lax.cond(known.found, look_up, lambda x: top_k(x, k), logits)


def _no_floor(mass):
  unsorted = jnp.zeros((mass.shape[0], min(_FEW, mass.shape[1])), jnp.int32)
  return jnp.zeros((mass.shape[0], 1)), Likeliest(unsorted, jnp.bool_(False))


def _floor(mass, sampling_params):
  """The smallest mass that the filters keep, [b 1], and what was sorted."""
  # exp(l - max) lies in [0, 1], where float32 bit patterns are ordered.
  floor, top = jax.lax.cond(
    sampling_params.top_k > 0,
    lambda m: _kth_largest(m, sampling_params.top_k),
    _no_floor,
    mass,
  )
  mass = jnp.where(mass >= floor, mass, 0)
  nucleus = jax.lax.cond(
    sampling_params.top_p < 1,
    lambda m: _nucleus_floor(m, sampling_params.top_p),
    lambda m: _no_floor(m)[0],
    mass,
  )
  # The largest mass is 1, so min_p is itself a threshold on the mass.
  floor = jnp.maximum(jnp.maximum(floor, nucleus), sampling_params.min_p)
  # 1e-45, the smallest float32 > 0, drops tokens whose mass is rounded to 0.
  return jnp.maximum(floor, 1e-45), top


def _kth_largest(mass, k):
  """The k-th largest per row, [b 1]; a small k by a partial sort, which is the
  second result."""
  few, vocab = min(_FEW, mass.shape[-1]), mass.shape[-1]

  def by_sorting(mass):
    # With a constant k, XLA would merge the two slices and sort everything.
    top, token = jax.lax.optimization_barrier(top_k(mass, few))
    return top[:, k - 1, None], Likeliest(token, jnp.bool_(True))

  def by_bisection(mass):
    def count(kept):
      return kept.sum(-1, dtype=jnp.int32)

    return _threshold(mass, count, jnp.minimum(k, vocab)), _no_floor(mass)[1]

  return jax.lax.cond(k <= few, by_sorting, by_bisection, mass)


def _nucleus_floor(mass, top_p):
  """The smallest mass in the smallest set with a share `top_p`, [b 1]."""

  def total(kept):
    return jnp.where(kept, mass, 0).sum(-1)

  return _threshold(mass, total, top_p * mass.sum(-1))


def _threshold(mass, measure, target):
  """The largest t per row with measure(mass >= t) >= target, [b 1]."""
  # Bisection over bit patterns: 30 halvings are exact for every float32.
  bits = jax.lax.bitcast_convert_type(mass, jnp.int32)
  target = jnp.broadcast_to(target, mass.shape[:1])
  low = jnp.zeros(mass.shape[:1], jnp.int32)  # measure(low) >= target
  high = jnp.full_like(low, 0x3F800001)  # just above 1.0: nothing is kept

  def halve(carry):
    low, high = carry
    middle = low + (high - low) // 2
    enough = measure(bits >= middle[:, None]) >= target
    return jnp.where(enough, middle, low), jnp.where(enough, high, middle)

  def unsettled(carry):
    low, high = carry
    return jnp.any(high - low > 1)

  low, _ = jax.lax.while_loop(unsettled, halve, (low, high))
  return jax.lax.bitcast_convert_type(low, jnp.float32)[:, None]


def top_k(
  x: Float[Array, 'b v'], k: int
) -> tuple[Float[Array, 'b k'], Int[Array, 'b k']]:
  """`jax.lax.top_k` without its all-gather of the rows over a mesh: each device
  takes the top k of its shard of rows and vocabulary, and only these candidates
  are gathered over the vocabulary."""
  mesh = ambient_mesh()
  if mesh is None:
    x, token = jax.lax.top_k(x, k)
    return x, token
  rows, vocab = spec('b v', x.shape, mesh)

  def local_top_k(x, token):
    top, index = jax.lax.top_k(x, min(k, x.shape[1]))
    return top, jnp.take_along_axis(token, index, axis=1)

  # Carried along, since an index within a shard is no token id.
  token = jnp.broadcast_to(jnp.arange(x.shape[1]), x.shape)
  # First per shard of the vocabulary, then over the gathered candidates.
  for place in P(rows, vocab), P(rows):
    merge = jax.shard_map(local_top_k, in_specs=place, out_specs=place)
    x, token = merge(x, token)
  return x, token


def draw(
  keys: Key[Array, 'b'],
  logits: Float[Array, 'b v'],
  greedy: Bool[Array, '*b'],
  mass: Float[Array, 'b v'] | None = None,
) -> Int[Array, 'b']:
  """One token per row from softmax(logits), or the likeliest where greedy;
  `mass`, if it is known, is exp(logits - max).

  By inversion in two levels (a block of the vocabulary, then a token of that
  block): two random numbers per row instead of a Gumbel per token, which at a
  vocabulary of 49,152 costs more than a tenth of a decoding step on a CPU.
  """
  if mass is None:
    mass = jnp.exp(logits - logits.max(-1, keepdims=True))
  mass = _blocks(mass, 0)
  u = jax.vmap(lambda key: jax.random.uniform(key, (2,)))(keys)
  block = _invert(mass.sum(-1), u[:, 0])
  token = block * _BLOCK + _invert(_pick(mass, block), u[:, 1])
  return jnp.where(greedy, argmax(logits), token).astype(jnp.int32)


def argmax(logits: Float[Array, 'b v']) -> Int[Array, 'b']:
  """The likeliest token, in two levels: XLA's argmax on a CPU takes longer than
  the whole `draw`."""
  in_blocks = _blocks(logits, -jnp.inf)
  block = jnp.argmax(in_blocks.max(-1), -1)
  return block * _BLOCK + jnp.argmax(_pick(in_blocks, block), -1)


def _blocks(x, fill):
  """[b v] -> [b blocks _BLOCK], the last block filled up."""
  x = jnp.pad(x, ((0, 0), (0, -x.shape[1] % _BLOCK)), constant_values=fill)
  return x.reshape(x.shape[0], -1, _BLOCK)


def _pick(x, block):
  """The block of each row."""
  return jnp.take_along_axis(x, block[:, None, None], axis=1)[:, 0]


def _invert(mass, u):
  """Index i per row with probability mass[i] / sum(mass); never one of mass
  zero, whatever the rounding of the sums: a parallel scan (GPU, TPU) may change
  them at a mass of zero, and even decrease them."""
  cumulative = jnp.cumsum(mass, axis=-1)
  reached = cumulative > (u * cumulative[:, -1])[:, None]
  reached &= mass > 0
  # Where rounding lets no sum exceed the threshold, the last of mass > 0.
  last = mass.shape[-1] - 1 - jnp.argmax(mass[:, ::-1] > 0, axis=-1)
  return jnp.where(reached.any(-1), jnp.argmax(reached, -1), last)
