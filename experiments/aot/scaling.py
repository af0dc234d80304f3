r"""Compute and communication of an update by number of devices.

    python -m experiments.aot.scaling --target=cpu:8 --model=Qwen/Qwen2.5-0.5B

Compiles the supervised update of all parameters for 1, 2, 4, ... devices along
one axis of the mesh, with as many rows per device (weak scaling) and with the
same rows in total (strong scaling), and counts the FLOPs and the communication
per device in the compiled program. Nothing runs. The communication is compared
with the minimum by the ring algorithms, for n devices, P bytes of float32
parameters and c bytes of them in the dtype of the computation:

    data      one all-reduce of the gradients               2 (n-1)/n P
    fsdp      the weights gathered forward and backward, and
              the gradients scattered                       (n-1)/n (2 c + P)
    tensor    two all-reduces of the activations per layer, forward and
              backward, and one of the embedding each    2 (n-1)/n (4 l + 2) a

--chunk is the number of positions that have logits at a time: the compiler
gathers the output head, and reduces its gradient, once per chunk.
"""

from hybrid_latent.ranges import PositiveInt

from ..fields.accepted import Text
from ..training import cli


def _parser() -> cli.Parser:
  parser = cli.Parser('aot.scaling', __doc__)
  add = parser.add_argument
  about = 'MACHINE:DEVICES, see aot/targets.py'
  add('--target', default='cpu:8', type=cli.value(Text), help=about)
  about = 'name of a released model'
  add('--model', default='Qwen/Qwen2.5-0.5B', type=cli.value(Text), help=about)
  add('--chunk', type=cli.value(PositiveInt), default=512, help='positions')
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
from .abstract_model import model_config
from .forecast import forecast
from .targets import Target, target

CONFIG = 'sft_arithmetic'
AXES = 'data', 'fsdp', 'tensor'
UPDATE = {'max_length': 512, 'gradient_accumulation_steps': 1,
        'model.dtype': 'bfloat16', 'model.remat': 'full'}  # fmt: skip
ROWS = 8  # per device in weak scaling
MIB = 2**20


@cli.report_errors()
def main() -> None:
  """The command; see the top of this file."""
  flags = _parser().parse_args()
  machine = target(flags.target)
  print(markdown_table([*scaling_rows(flags.model, flags.chunk, machine)]))


def scaling_rows(model: str, chunk: int, machine: Target) -> Iterator[dict]:
  """One row per mesh: cost per device, and its ratio to an equal share of the
  cost on one device."""
  most = len(machine.devices)
  counts = [2**i for i in range(most.bit_length()) if 2**i <= most]
  alone = {}
  for axis, n in [('data', 1), *((a, n) for a in AXES for n in counts[1:])]:
    for kind, rows in ('weak', ROWS * n), ('strong', ROWS * most):
      if axis == 'tensor' and kind == 'weak':
        continue  # this axis does not shard rows
      config = _config(model, chunk, axis, n, rows)
      *_, update = forecast(config, 'sft', machine.devices[:n])
      flops = update.cost.flops
      share = alone.setdefault(kind, flops) / (n if kind == 'strong' else 1)
      sent = sum(c.sent for c in update.cost.collectives.values())
      least = min_communication(
        config.model, config.batch_size * config.max_length, axis, n
      )
      yield {
        'mesh': f'{axis}={n}',
        'rows': f'{rows} ({kind})',
        'TFLOP per device': f'{flops / 1e12:.3f}',
        'over an equal share': f'{flops / share:.2f}',
        'GiB per device': f'{update.total / 2**30:.2f}',
        'communication, MiB': f'{sent / MIB:.0f}',
        'minimum, MiB': f'{least / MIB:.0f}',
        'ratio': f'{sent / least:.2f}' if least else '–',
      }


def min_communication(
  model_fields: Config, positions: int, axis: str, n: int
) -> float:
  """The bytes that each of n devices has to send in an update of `positions`
  tokens; `model_fields` is config.model."""
  size, ring = model_config(model_fields.source), (n - 1) / n
  model = jax.eval_shape(partial(Transformer, size), jax.random.key(0))
  parameters = sum(x.size for x in jax.tree.leaves(model))
  width = jnp.dtype(model_fields.dtype).itemsize
  if axis == 'data':
    return ring * 2 * 4 * parameters
  if axis == 'fsdp':
    return ring * (2 * width + 4) * parameters
  activations = positions * size.width * width
  return ring * 2 * (4 * size.layers + 2) * activations


def _config(model, chunk, axis, n, rows) -> Config:
  fields = dict(
    UPDATE, batch=rows, chunk=chunk, **{'mesh.data': 1, f'mesh.{axis}': n}
  )
  options = [f'--config.{name}={value}' for name, value in fields.items()]
  return resolved(f'{CONFIG}:{model}', options)


if __name__ == '__main__':
  main()
