r"""Decoding with refill, compared with batches that wait for their longest row.

    python -m experiments.benchmarks.refill [--rows=16] [--batches=8]

Completions of a small random model end at one of eight token ids, so that their
lengths are nearly geometric; a share of them reaches the limit. Both ways have
`--rows` rows at a time: `decode`, batch after batch, and `decode_with_refill`,
all completions in one program. Times are medians over interleaved repetitions,
with the prefill in both.
"""

from hybrid_latent.ranges import PositiveInt

from ..training import cli
from .options import add_out, add_repeats
from .records import report


def _parser() -> cli.Parser:
  parser = cli.Parser('benchmarks.refill', __doc__)
  add, count = parser.add_argument, cli.value(PositiveInt)
  add('--rows', type=count, default=16, help='decoded side by side')
  add('--batches', type=count, default=8, help='of as many completions')
  add('--prompt', type=count, default=32, help='tokens per prompt')
  add('--tokens', type=count, default=192, help='limit of a completion')
  add('--vocab', type=count, default=512, help='of the model')
  add_repeats(parser)
  add_out(parser)
  return parser


if __name__ == '__main__':  # before the imports: --help takes a second
  _parser().parse_args()

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np

from hybrid_latent.feedback.gated import gate, gated
from hybrid_latent.models.transformer import Transformer, unstack
from hybrid_latent.ops.sampling import sampling
from hybrid_latent.ops.thinking import stopping_rule
from hybrid_latent.policy import Policy
from hybrid_latent.prompt_cache import prefill
from hybrid_latent.refill import decode_with_refill
from hybrid_latent.types import Prompt

from ..new_model import SMALL
from .timing import about, interleaved


@cli.report_errors()
def main() -> None:
  """The command; see the top of this file."""
  flags = _parser().parse_args()
  config = replace(SMALL, vocab=flags.vocab, width=256, layers=4)
  policy = Policy(Transformer(config, jax.random.key(0)))
  policy = policy._replace(feedback=gate(jax.random.key(1), policy, None))
  count = flags.rows * flags.batches
  tokens = np.random.default_rng(0).integers(
    8, flags.vocab, (count, flags.prompt)
  )
  prompt = Prompt(
    jnp.asarray(tokens, jnp.int32),
    jnp.ones(tokens.shape, bool),
    jnp.arange(count),
  )
  stop = stopping_rule(range(8), flags.tokens)

  @jax.jit
  def run(policy, prompt):
    policy = policy._replace(model=unstack(policy.model))
    return decode_with_refill(
      policy,
      gated(),
      prompt,
      prefill(policy, prompt, gated()),
      jax.random.key(2),
      sampling=sampling(),
      stop=stop,
      max_steps=flags.tokens,
      max_num_seqs=flags.rows,
    )

  parts = [
    jax.tree.map(lambda x, i=i: x[i:][: flags.rows], prompt)
    for i in range(0, count, flags.rows)
  ]
  static = lambda: jax.block_until_ready([run(policy, part) for part in parts])
  refilled = lambda: jax.block_until_ready(run(policy, prompt))
  lengths = np.asarray(refilled().lengths)
  same = jnp.concatenate([part.tokens for part in static()])
  equal = float((same == refilled().tokens).all(axis=1).mean())
  times = interleaved({'static': static, 'refill': refilled}, flags.repeats)
  passes = {
    'static': sum(x.max() for x in lengths.reshape(-1, flags.rows)),
    'refill': max(row_ends(flags.rows, lengths)),
  }
  print(
    f'{count} completions of {lengths.min()} to {lengths.max()} tokens, mean '
    f'{lengths.mean():.0f}, {flags.rows} rows; equal tokens in {equal:.1%}'
  )
  table = [
    {
      'decoding': name,
      's': times[name],
      'ratio': times[name] / times['static'],
      'passes': passes[name],
      'ratio of passes': passes[name] / passes['static'],
    }
    for name in times
  ]
  report(flags, 'benchmarks.refill', table, about())


def row_ends(rows: int, lengths: np.ndarray) -> list[int]:
  """Where each row ends when completions go to the first that is free."""
  ends = [0] * rows
  for length in lengths:
    first = ends.index(min(ends))
    ends[first] += int(length)
  return ends


if __name__ == '__main__':
  main()
