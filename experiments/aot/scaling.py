r"""How the work and the talk of an update grow with the devices.

    python -m experiments.aot.scaling --target=cpu:8 --model=Qwen/Qwen2.5-0.5B

Compiles the supervised update of all parameters for 1, 2, 4, ... devices along
one axis of the mesh, with as many rows for each (weak) and with the same rows
for all (strong), and counts in the compiled program what a device computes and
sends. Nothing runs. What it sends is set beside what it cannot do without, by
the ring algorithms, with n devices, P bytes of float32 parameters and c bytes
of them in the dtype of the computation:

    data      one all-reduce of the gradients               2 (n-1)/n P
    fsdp      the weights gathered forward and backward, and
              the gradients scattered                       (n-1)/n (2 c + P)
    tensor    two all-reduces of the activations a layer, forward and
              backward, and one of the embedding each    2 (n-1)/n (4 l + 2) a

--chunk are the positions whose logits exist at a time: the compiler gathers the
output head, and reduces its gradient, for each chunk anew.
"""

from hybrid_latent.ranges import PositiveInt

from ..fields.accepted import Text
from ..training import cli


def _parser() -> cli.Parser:
  parser = cli.Parser('aot.scaling', __doc__)
  add = parser.add_argument
  add('--target', default='cpu:8', type=cli.value(Text))
  add('--model', default='Qwen/Qwen2.5-0.5B', type=cli.value(Text))
  add('--chunk', type=cli.value(PositiveInt), default=512)
  return parser


if __name__ == '__main__':  # before the imports: --help takes a second
  _parser().parse_args()

from collections.abc import Iterator
from functools import partial

import jax
import jax.numpy as jnp

from hybrid_latent.models.transformer import Transformer

from ..report.tables import markdown_table
from ..training.cli import Config, resolved
from .abstract_model import sizes
from .forecast import forecast
from .targets import Target, target

CONFIG = 'experiments/configs/sft_arithmetic.py'
AXES = 'data', 'fsdp', 'tensor'
PASS = {'length': 512, 'micro_batches': 1,
        'model.dtype': 'bfloat16', 'model.remat': 'full'}  # fmt: skip
ROWS = 8  # of a device where the rows grow with them
MIB = 2**20


@cli.report_errors()
def main() -> None:
  """The command; see the top of this file."""
  flags = _parser().parse_args()
  machine = target(flags.target)
  print(markdown_table([*lines(flags.model, flags.chunk, machine)]))


def lines(model: str, chunk: int, machine: Target) -> Iterator[dict]:
  """A line a mesh: what a device does, beside its share of what one would."""
  most = len(machine.devices)
  counts = [2**i for i in range(most.bit_length()) if 2**i <= most]
  alone = {}
  for axis, n in [('data', 1), *((a, n) for a in AXES for n in counts[1:])]:
    for kind, rows in ('weak', ROWS * n), ('strong', ROWS * most):
      if axis == 'tensor' and kind == 'weak':
        continue  # this axis cuts no rows
      config = _config(model, chunk, axis, n, rows)
      *_, update = forecast(config, 'sft', machine.devices[:n])
      flops = update.work.flops
      share = alone.setdefault(kind, flops) / (n if kind == 'strong' else 1)
      sent = sum(c.sent for c in update.work.collectives.values())
      least = minimum(config, axis, n)
      yield {
        'mesh': f'{axis}={n}',
        'rows': f'{rows} ({kind})',
        'TFLOP a device': f'{flops / 1e12:.3f}',
        'of its share': f'{flops / share:.2f}',
        'GiB a device': f'{update.total / 2**30:.2f}',
        'sends, MiB': f'{sent / MIB:.0f}',
        'minimum, MiB': f'{least / MIB:.0f}',
        'ratio': f'{sent / least:.2f}' if least else '–',
      }


def minimum(config: Config, axis: str, n: int) -> float:
  """Bytes that each of n devices has to send in an update."""
  size, ring = sizes(config.model.source), (n - 1) / n
  model = jax.eval_shape(partial(Transformer, size), jax.random.key(0))
  parameters = sum(x.size for x in jax.tree.leaves(model))
  width = jnp.dtype(config.model.dtype).itemsize
  if axis == 'data':
    return ring * 2 * 4 * parameters
  if axis == 'fsdp':
    return ring * (2 * width + 4) * parameters
  positions = config.batch * config.length
  activations = positions * size.width * width
  return ring * 2 * (4 * size.layers + 2) * activations


def _config(model, chunk, axis, n, rows) -> Config:
  fields = dict(
    PASS, batch=rows, chunk=chunk, **{'mesh.data': 1, f'mesh.{axis}': n}
  )
  told = [f'--config.{name}={value}' for name, value in fields.items()]
  return resolved(f'{CONFIG}:{model}', told)


if __name__ == '__main__':
  main()
