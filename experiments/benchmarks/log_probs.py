r"""Log-probs and entropies in chunks, compared with logits of all positions.

    python -m experiments.benchmarks.log_probs [--lengths=2048,8192]

The gradient, in the hidden states and in the embedding of one row, of a loss of
both: the compiler's temporaries, and medians over interleaved repetitions where
the temporaries of all logits are at most --memory GiB.
"""

from hybrid_latent.ranges import PositiveFloat, PositiveInt

from ..training import cli
from .options import add_out, add_repeats
from .records import report


def _parser() -> cli.Parser:
  parser = cli.Parser('benchmarks.log_probs', __doc__)
  add, count = parser.add_argument, cli.value(PositiveInt)
  lengths = cli.value(tuple[PositiveInt, ...])
  add('--lengths', type=lengths, default='2048,8192', help='tokens of the row')
  add('--vocab', type=count, default=151936, help='tokens of the vocabulary')
  add('--width', type=count, default=896, help='of the hidden states')
  add('--chunk', type=count, default=128, help='positions with logits at once')
  size = cli.value(PositiveFloat)
  add('--memory', type=size, default=8.0, help='GiB of what is timed')
  add_repeats(parser)
  add_out(parser)
  return parser


if __name__ == '__main__':  # before the imports: --help takes a second
  _parser().parse_args()

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from hybrid_latent.models.transformer import Transformer
from hybrid_latent.ops.logprobs import over_chunks, token_scores

from ..aot.targets import GIB
from .device_models import TINY
from .timing import about, compiled, interleaved


@cli.report_errors()
def main() -> None:
  """The command; see the top of this file."""
  flags = _parser().parse_args()
  report(flags, 'benchmarks.log_probs', rows(flags), about())


def rows(flags: Any) -> Iterator[dict]:
  """One row per length."""
  config = replace(
    TINY, vocab=flags.vocab, width=flags.width, layers=1, dtype='float32'
  )
  make = partial(Transformer, config)
  model = jax.eval_shape(make, jax.random.key(0))
  for length in flags.lengths:
    tokens = jax.ShapeDtypeStruct((1, length), 'int32')
    hidden = jax.ShapeDtypeStruct((1, length, flags.width), 'float32')
    shapes = model, hidden, tokens
    chunked = partial(over_chunks, chunk=flags.chunk)
    programs = compiled({
      'full': (gradient(lambda f, tree: f(tree)), shapes),
      'chunks': (gradient(chunked), shapes),
    })  # fmt: skip
    size = {x: p.facts['temp_bytes'] / GIB for x, p in programs.items()}
    row = {'tokens': length, 'full, GiB': size['full'],
           'chunks, GiB': size['chunks'],
           'memory ratio': size['chunks'] / size['full']}  # fmt: skip
    if size['full'] <= flags.memory:
      inputs = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes[1:])
      inputs = make(jax.random.key(0)), *inputs
      runs = {x: p._replace(arguments=inputs) for x, p in programs.items()}
      times = interleaved(runs, flags.repeats)
      row |= {'full, s': times['full'], 'chunks, s': times['chunks'],
              'time ratio': times['chunks'] / times['full']}  # fmt: skip
    yield row


def gradient(mapped: Callable) -> Any:
  """The gradient of the mean log-prob plus 0.01 of the mean entropy, `mapped`
  over the positions."""

  @jax.jit
  def run(model, hidden, tokens):
    def loss(model, hidden):
      score = lambda x: token_scores(model.unembed(x[0]), x[1])
      scores = mapped(score, (hidden, tokens))
      return -jnp.mean(scores.log_probs + 0.01 * scores.entropy)

    return jax.grad(loss, argnums=(0, 1))(model, hidden)

  return run


if __name__ == '__main__':
  main()
