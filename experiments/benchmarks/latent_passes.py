r"""The cost of training through K latents, compared with the same text in
tokens.

    python -m experiments.benchmarks.latent_passes [--model=M] [--passes=0,1]

Measures the time of the gradient of the supervised loss for all parameters
(medians over interleaved repetitions) and the compiler's temporaries. Each pass
is one more forward pass, recomputed in the backward pass; only its inputs are
stored.
"""

from hybrid_latent.ranges import NonNegativeInt, PositiveInt

from ..training import cli
from .options import add_model_options, add_repeats


def _parser() -> cli.Parser:
  parser = cli.Parser('benchmarks.latent_passes', __doc__)
  add, count = parser.add_argument, cli.value(PositiveInt)
  counts = cli.value(tuple[NonNegativeInt, ...])
  add_model_options(parser)
  add('--rows', type=count, default=2, help='texts per batch')
  add('--length', type=count, default=128, help='tokens per text')
  add('--passes', type=counts, default='0,1,2,4', help='values of K, 0 first')
  add_repeats(parser)
  return parser


if __name__ == '__main__':  # before the imports: --help takes a second
  _parser().parse_args()

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from hybrid_latent import latents
from hybrid_latent.feedback.hidden import hidden
from hybrid_latent.formats.pretrained import pretrained
from hybrid_latent.models.transformer import Transformer
from hybrid_latent.policy import positions_and_mask
from hybrid_latent.types import TokenBatch

from ..report.tables import markdown_table
from .timing import interleaved

MIB = 2**20


@cli.report_errors()
def main() -> None:
  """The command; see the top of this file."""
  flags = _parser().parse_args()
  model = pretrained(flags.model, dtype=flags.dtype, remat=flags.remat).model
  programs = {k: gradient(model, texts(flags, k), k) for k in flags.passes}
  times = interleaved(
    {k: run for k, (run, _) in programs.items()}, flags.repeats
  )
  first = flags.passes[0]
  table = [
    {
      'K': k,
      'gradient, s': times[k],
      'time ratio': times[k] / times[first],
      'temporaries, MiB': size / MIB,
      'memory ratio': size / programs[first][1],
    }
    for k, (_, size) in programs.items()
  ]
  print(f'{flags.model}, {flags.dtype}, {flags.rows} x {flags.length} tokens')
  print(markdown_table(table))


def texts(flags, k: int) -> TokenBatch:
  """Random tokens with k latents in the middle and a loss on the tokens after
  them."""
  shape = flags.rows, flags.length
  tokens = jnp.asarray(np.random.default_rng(0).integers(100, 300, shape))
  none, at = jnp.zeros_like(tokens), jnp.arange(flags.length)
  latent = (at >= flags.length // 2) & (at < flags.length // 2 + k)
  words = jnp.where(at >= flags.length // 2 + k, 1.0, 0.0)
  rows = lambda x: jnp.broadcast_to(x, shape)
  return TokenBatch(tokens, none + 1, none, rows(words), rows(latent), none > 0)


def gradient(
  model: Transformer, texts: TokenBatch, k: int
) -> tuple[Callable[[], object], int]:
  """A function that computes the gradient, and the bytes of its temporaries."""

  @jax.jit
  def run(model, texts):
    def loss(model):
      x = latents.inputs_with_latents(
        model, texts, hidden().latent_from_hidden, passes=k
      )
      layout = positions_and_mask(model, texts.segments)
      states, _ = model.forward(x, None, *layout)
      found = latents.score_tokens(model, texts, states)
      return -jnp.mean(texts.weights * found.log_probs)

    return jax.grad(loss)(model)

  compiled = run.lower(model, texts).compile()
  memory: Any = compiled.memory_analysis()
  call = lambda: jax.block_until_ready(compiled(model, texts))
  return call, memory.temp_size_in_bytes


if __name__ == '__main__':
  main()
