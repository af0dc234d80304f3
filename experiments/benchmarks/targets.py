r"""The targets of speed and memory, beside what was measured.

    python -m experiments.benchmarks.targets [--run=benchmarks.decode]
    python -m experiments.benchmarks.targets --write

Reads the tables that the commands of the last column appended to files of
--results with --out, of each the newest, and the device.json of
experiments.benchmarks.device. --run runs the commands of these benchmarks
first. --write also writes the table into docs/speed.md.
"""

import operator
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from .. import PACKAGE
from ..fields.accepted import Folder, Text
from ..report.tables import markdown_table, replace_between, write_atomic
from ..training import cli
from .records import Record, records

RAW = Path(__file__).parents[1] / 'results' / 'raw' / 'speed'
PAGE = Path(__file__).parents[2] / 'docs' / 'speed.md'
BEGIN, END = (
  '<!-- targets: python -m experiments.benchmarks.targets --write -->',
  '<!-- end of the targets -->',
)
# Options that change how long a benchmark takes, and not what it measures.
FREE = '--out', '--repeats', '--steps', '--warmup', '--turn', '--peer_python'
RELATIONS = {'>=': operator.ge, '<=': operator.le}

Cell = Callable[[list[dict]], float | None]  # of the rows of a table


class Target(NamedTuple):
  """A row of the table."""

  what: str
  relation: str  # of RELATIONS
  limit: float
  command: str  # after `python -m experiments.`
  measured: Cell


def cell(column: str, **where: Any) -> Cell:
  """The number of a column in the first row with these values."""

  def find(rows: list[dict]) -> float | None:
    found = (row.get(column) for row in rows if where.items() <= row.items())
    return next((x for x in found if isinstance(x, int | float)), None)

  return find


def ratio(above: Cell, below: Cell) -> Cell:
  """The ratio of two numbers of a table."""

  def divide(rows: list[dict]) -> float | None:
    a, b = above(rows), below(rows)
    return a / b if a is not None and b else None

  return divide


def _targets() -> Iterator[Target]:
  decode = 'benchmarks.decode --what=decode --dtypes=float32 --tokens=48'
  at = lambda batch: {'table': 'decode', 'batch': batch}
  for batch, limit in ((1, 1.2), (8, 2.0), (32, 2.0)):
    what = f'decoding beside torch `generate`, batch {batch}, ratio'
    yield Target(what, '>=', limit, decode, cell('ratio', **at(batch)))
  tunix = 'benchmarks.peers --what=decode --tokens=48'
  what = 'decoding beside google-tunix, batch 8, ratio'
  yield Target(what, '>=', 1.5, tunix, cell('ratio', step='decode'))
  for batch in (8, 32):
    what = f'decoding, share of the floor, batch {batch}'
    share = cell('share of the floor', **at(batch))
    yield Target(what, '>=', 0.5, decode, share)
  what = 'a GRPO step beside TRL, 2 x 4 x 32 tokens, ratio'
  grpo = 'benchmarks.peers --what=grpo'
  yield Target(what, '>=', 2.5, grpo, cell('ratio', step='grpo'))
  what = 'a supervised step beside SFTTrainer, packed, ratio'
  sft = 'benchmarks.peers --what=sft'
  yield Target(what, '>=', 1.5, sft, cell('ratio', step='sft'))

  latents = 'benchmarks.decode --what=feedbacks --dtypes=float32 --batches=8'
  seconds = lambda name: cell('rollout, s', feedback=name)
  for name, kind in (
    ('gated', 'gated'),
    ('hidden', 'hidden'),
    ('soft_thinking', 'top-k soft'),
    ('soft', 'full-vocabulary soft'),
  ):
    speed = ratio(seconds('discrete'), seconds(name))
    what = f'{kind} rollout, speed beside discrete'
    yield Target(what, '>=', 0.95, latents, speed)

  scores = 'benchmarks.log_probs'
  for tokens in (2048, 8192):
    what = f'log-probs and entropy with gradient, V = 152k, {tokens} tokens, '
    memory = cell('memory ratio', tokens=tokens)
    yield Target(f'{what}memory beside full logits', '<=', 0.15, scores, memory)
    time = cell('time ratio', tokens=tokens)
    yield Target(f'{what}time beside full logits', '<=', 1.0, scores, time)

  row = 'aot.row_memory'
  size = lambda t, name: cell('temporaries, GiB', attention=name, tokens=t)
  what = 'temporaries of a training row, 0.5B, 8k tokens, GiB'
  yield Target(what, '<=', 1.0, row, size(8192, None))
  double = ratio(size(8192, None), size(4096, None))
  what = 'the same beside 4k tokens (2: linear)'
  yield Target(what, '<=', 2.0, row, double)
  h100 = f'{row} --target=h100:1x1x1 --lengths=4096,8192'
  h100 += ' --attention=xla_chunked,xla'
  what = 'temporaries of a training row, 0.5B, 8k tokens, H100, GiB'
  yield Target(what, '<=', 1.0, h100, size(8192, 'xla_chunked'))
  long = f'{row} --target=v5p:2x2x2 --model=Qwen/Qwen2.5-7B-Instruct'
  long += ' --lengths=16384,32768 --attention=splash'
  double = ratio(size(32768, 'splash'), size(16384, 'splash'))
  what = 'temporaries of a training row, 7B, 32k beside 16k tokens (2: linear)'
  yield Target(what, '<=', 2.0, long, double)

  group = 'benchmarks.shared_prompt --prompt=512 --group=8 --remat=full'
  passes = cell('passes over a prompt', **{'prompt computed once per': 'group'})
  what = 'group of 8, prompt 512: passes of the update over a prompt'
  yield Target(what, '<=', 1, group, passes)

  what = 'completions of different lengths: passes beside static batches'
  passes = cell('ratio of passes', decoding='refill')
  yield Target(what, '<=', 0.45, 'benchmarks.refill', passes)

  start = 'benchmarks.start_up'
  yield Target('large programs of a run', '<=', 6, start, cell('programs'))
  what = 'compilation in the second start beside the first'
  yield Target(what, '<=', 0.2, start, cell('ratio'))
  what = '`import experiments.grpo`, CPU s'
  yield Target(what, '<=', 3.0, start, cell('import, CPU s'))
  grading = 'benchmarks.grading --groups=100'
  what = 'math-verify, two workers, completions/s'
  yield Target(what, '>=', 200, grading, cell('completions/s'))

  device = 'benchmarks.device'
  what = 'accelerator: decoding, 1.5B, batch 64, share of the floor'
  share = cell('share of the floor', part='decode', batch=64)
  yield Target(what, '>=', 0.6, device, share)
  mfu = cell('MFU', part='update')
  yield Target('accelerator: update, MFU', '>=', 0.4, device, mfu)
  plain, gated = seconds('discrete'), seconds('gated')
  what = 'accelerator: gated rollout, speed beside discrete'
  yield Target(what, '>=', 0.95, device, ratio(plain, gated))


TARGETS = tuple(_targets())
COMMANDS = tuple(dict.fromkeys(target.command for target in TARGETS))
NAMES = tuple(dict.fromkeys(command.split()[0] for command in COMMANDS))


def _parser() -> cli.Parser:
  parser = cli.Parser('benchmarks.targets', __doc__)
  add, names = parser.add_argument, cli.value(tuple[Literal[NAMES], ...])
  about = 'folder of *.jsonl and device*.json'
  add('--results', default=str(RAW), type=cli.value(Folder), help=about)
  about = f'benchmarks to run first: {", ".join(NAMES)}'
  add('--run', type=names, default=(), help=about)
  about = 'of benchmarks.peers --what=decode'
  add('--peer_python', type=cli.value(Text), help=about)
  add('--write', action='store_true', help='write docs/speed.md, too')
  return parser


@cli.report_errors()
def main() -> None:
  """The command; see the top of this file."""
  flags = _parser().parse_args()
  folder = Path(flags.results)
  for command in COMMANDS:
    if command.split()[0] in flags.run:
      _run(command, folder, flags.peer_python)
  files = [*folder.glob('*.jsonl'), *folder.glob('device*.json')]
  found = [record for path in files for record in records(path)]
  found.sort(key=lambda record: record.about['date'])
  table = markdown_table(rows(TARGETS, found))
  print(table)
  if flags.write:
    page = PAGE.read_text('utf-8')
    write_atomic(PAGE, replace_between(page, BEGIN, END, f'{table}\n'))


def rows(targets: Sequence[Target], found: Sequence[Record]) -> list[dict]:
  """The table, from records of which the last is the newest."""
  table = []
  for what, relation, limit, command, measured in targets:
    row: dict[str, Any] = {
      'what': what,
      'target': f'{"≥≤"[relation == "<="]} {limit:g}',
    }
    row |= dict.fromkeys(('measured', 'outcome', 'commit', 'hardware'), '–')
    for record in reversed(found):
      value = measured(record.rows) if matches(record, command) else None
      if value is not None:
        reached = RELATIONS[relation](value, limit)
        row['measured'] = float(value)
        row['outcome'] = 'reached' if reached else 'missed'
        row['commit'] = (record.about['revision'] or '–')[:7]
        row['hardware'] = hardware(record.about)
        break
    table.append(row | {'command': f'`{command}`'})
  return table


def matches(record: Record, command: str) -> bool:
  """Whether the record is of this command, with any FREE options."""
  name, *options = command.split()
  _, *words = re.split(r' (?=--)', record.command)
  given = [word.replace(' ', '=', 1) for word in words]
  given = [word for word in given if word.partition('=')[0] not in FREE]
  return record.name == name and sorted(given) == sorted(options)


def hardware(about: Mapping[str, Any]) -> str:
  """The devices in words."""
  if about['device'] == 'cpu':
    return f'{about.get("cores", "–")} CPU cores'
  return f'{about["devices"]} x {about["device"]}'


def _run(command: str, folder: Path, peer_python: str | None) -> None:
  name, *options = command.split()
  out = 'device.json' if name == 'benchmarks.device' else 'commands.jsonl'
  options.append(f'--out={folder / out}')
  if peer_python and '--what=decode' in options and name == 'benchmarks.peers':
    options.append(f'--peer_python={peer_python}')
  folder.mkdir(parents=True, exist_ok=True)
  subprocess.run([sys.executable, '-m', f'{PACKAGE}.{name}', *options])


if __name__ == '__main__':
  main()
