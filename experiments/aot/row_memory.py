r"""Memory of the gradient of one row per device, by length and attention.

    python -m experiments.aot.row_memory --target=v5e:1x1 \
        --model=Qwen/Qwen2.5-0.5B --lengths=2048,4096,8192 \
        --attention=None,xla

Compiles the gradient of the cross-entropy in all parameters (bfloat16, remat)
for devices that need not be attached, one row of --lengths tokens on each, the
parameters sharded over all of them (fsdp). Temporaries are what the program
allocates beside its arguments and the gradient. Nothing runs.
"""

from hybrid_latent.ranges import PositiveInt

from ..benchmarks.options import add_out
from ..benchmarks.records import report
from ..fields.accepted import Text
from ..fields.training import Attention
from ..training import cli


def _parser() -> cli.Parser:
  parser = cli.Parser('aot.row_memory', __doc__)
  add = parser.add_argument
  about = 'MACHINE:DEVICES, see aot/targets.py'
  add('--target', default='v5e:1x1', type=cli.value(Text), help=about)
  about = 'name of a released model'
  add('--model', default='Qwen/Qwen2.5-0.5B', type=cli.value(Text), help=about)
  many = cli.value(tuple[PositiveInt, ...])
  add('--lengths', default=(2048, 4096, 8192), type=many, help='tokens')
  many = cli.value(tuple[Attention, ...])
  add(
    '--attention',
    default=(None, 'xla'),
    type=many,
    help='see model.attention',
  )
  add_out(parser)
  return parser


if __name__ == '__main__':  # before the imports: --help takes a second
  _parser().parse_args()

import dataclasses
import time
from collections.abc import Iterator
from functools import partial

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from hybrid_latent import sharding
from hybrid_latent.models.param_axes import param_axes
from hybrid_latent.models.transformer import Transformer
from hybrid_latent.types import TokenBatch

from ..benchmarks.latent_passes import gradient
from ..benchmarks.timing import about
from .abstract_model import model_config, shape_structs
from .targets import GIB, target


@cli.report_errors()
def main() -> None:
  """The command; see the top of this file."""
  flags = _parser().parse_args()
  mesh = sharding.mesh(data=1, fsdp=-1, devices=target(flags.target).devices)
  where = about() | {'device': flags.target}
  report(flags, 'aot.row_memory', memory_rows(flags, mesh), where)


def memory_rows(flags, mesh: Mesh) -> Iterator[dict]:
  """One row per attention and length."""
  released = model_config(flags.model)
  for attention in flags.attention:
    config = dataclasses.replace(
      released, dtype='bfloat16', remat='full', attention=attention
    )
    model = jax.eval_shape(partial(Transformer, config), jax.random.key(0))
    places = sharding.shardings(model, param_axes, mesh)
    model = shape_structs(model, places, 'bfloat16')
    for length in flags.lengths:
      began, texts = time.perf_counter(), _texts(length, mesh)
      with jax.set_mesh(mesh):
        _, temporaries = gradient(model, texts, 0)
      yield {
        'attention': attention,
        'tokens': length,
        'temporaries, GiB': temporaries / GIB,
        'compile time, s': time.perf_counter() - began,
      }


def _texts(length: int, mesh: Mesh) -> TokenBatch:
  """The shapes of packed rows, one per device."""
  whole = jnp.zeros((mesh.size, length), int)
  texts = jax.eval_shape(
    lambda: TokenBatch(whole, whole, whole, whole * 1.0, whole > 0, whole > 0)
  )
  places = sharding.rows(texts, mesh)
  place = lambda x, at: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=at)
  return jax.tree.map(place, texts, places)


if __name__ == '__main__':
  jax.config.update('jax_platforms', 'cpu')
  main()
