r"""Speed and accuracy on an accelerator, in at most eight minutes: one JSON
file.

    python -m experiments.benchmarks.device --out=device.json

Needs jax, flax, jaxtyping, absl-py and ml-collections. From a clone that is not
installed:

    PYTHONPATH=.:kernels python -m experiments.benchmarks.device

Parts, in this order; a part that cannot run is skipped with a reason, one that
fails is recorded with its error, and the others go on:

  environment  the device, the versions, the bandwidth of a large copy
  agreement    log-probs of rollout and rescoring per feedback and precision
  attention    cuDNN's attention and its gradient compared with the reference
  decode       tokens/s of a 1.5B model by batch size, and the upper bound by
               the memory bandwidth, which reads weights and cache
  feedbacks    each feedback's rollout relative to the discrete one
  vocabulary   logits and the mixture of Soft Tokens, by implementation
  update       a policy-gradient update of all parameters: tokens/s and MFU

Weights are random. Seconds are medians of five interleaved repetitions. The
JSON is rewritten after each part. No part begins after --budget_s. --small uses
sizes for two CPU cores.
"""

import os
from pathlib import Path
from typing import Literal

from hybrid_latent.ranges import PositiveFloat

from ..training import cli

NAMES = (
  *('environment', 'agreement', 'attention', 'decode', 'feedbacks'),
  *('vocabulary', 'update'),
)


def _parser() -> cli.Parser:
  parser = cli.Parser('benchmarks.device', __doc__)
  out = Path(os.environ.get('OUT', '.')) / 'device.json'
  add, words = parser.add_argument, ','.join(NAMES)
  parts = cli.value(tuple[Literal[NAMES], ...])
  seconds = cli.value(PositiveFloat)
  add('--out', default=str(out), help='the JSON to write')
  add('--parts', type=parts, default=words, help='what to measure')
  add('--budget_s', type=seconds, default=420.0, help='no part begins after it')
  add('--small', action='store_true', help='sizes for two CPU cores')
  return parser


if __name__ == '__main__':  # before the imports: --help takes a second
  _parser().parse_args()

import json
import time
from collections.abc import Callable, Mapping

import jax

from .device_accuracy import agreement, cudnn_attention
from .device_models import LARGE, SMALL, Unavailable
from .device_speed import (
  decode_speed,
  environment,
  feedback_cost,
  update_speed,
  vocabulary_speed,
)
from .timing import about

PARTS = {
  'environment': environment,
  'agreement': agreement,
  'attention': cudnn_attention,
  'decode': decode_speed,
  'feedbacks': feedback_cost,
  'vocabulary': vocabulary_speed,
  'update': update_speed,
}


def main() -> None:
  """The command; see the top of this file."""
  flags = _parser().parse_args()
  sizes = SMALL if flags.small else LARGE
  found = run_parts(
    {name: lambda name=name: PARTS[name](sizes) for name in flags.parts},
    Path(flags.out),
    flags.budget_s,
    {'small': flags.small, **about()},
  )
  print(summary(found))
  print(f'{flags.out}: all numbers')


def run_parts(
  parts: Mapping[str, Callable[[], dict]],
  path: Path,
  budget_s: float,
  about: dict,
) -> dict:
  """Runs the parts in order and rewrites `path` after each."""
  began, found = time.monotonic(), {'about': about, 'parts': {}}
  for name, part in parts.items():
    start = time.monotonic()
    if start - began >= budget_s:
      line: dict = {
        'status': 'skipped',
        'reason': f'the {budget_s:g} s are used up',
      }
    else:
      line = _outcome(part)
    line['seconds'] = time.monotonic() - start
    found['parts'][name] = line
    print(f'{name}: {line["status"]}, {line["seconds"]:.0f} s', flush=True)
    draft = path.with_name(f'{path.name}.part')
    draft.write_text(json.dumps(found, indent=1) + '\n')
    draft.replace(path)
    jax.clear_caches()  # the programs, and the weights in their constants
  return found


def _outcome(part: Callable[[], dict]) -> dict:
  try:
    return {'status': 'ok', **part(), 'memory': peak_memory()}
  except Unavailable as reason:
    return {'status': 'skipped', 'reason': str(reason)}
  except Exception as error:  # of the compiler, the runtime, or ours
    text = f'{type(error).__name__}: {error}'
    return {'status': 'failed', 'error': text[:2000]}


def peak_memory() -> dict | None:
  """Bytes so far; None where the device does not count them."""
  stats = jax.devices()[0].memory_stats()
  names = 'peak_bytes_in_use', 'bytes_limit'
  return {name: stats.get(name) for name in names} if stats else None


def summary(found: dict) -> str:
  """The main numbers, one line per row."""
  lines = []
  for part, result in found['parts'].items():
    if result['status'] != 'ok':
      why = result.get('reason') or result.get('error')
      lines.append(f'{part}: {result["status"]}: {why}')
    for row in result.get('rows', ()):
      cells = (
        f'{name} {value:.4g}' if isinstance(value, float) else f'{name} {value}'
        for name, value in row.items()
      )
      lines.append(f'{part}: {", ".join(cells)}')
  return '\n'.join(lines)


if __name__ == '__main__':
  main()
