"""The tables of the benchmarks, printed and kept as JSON Lines."""

import json
import shlex
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from .. import PACKAGE
from ..report.tables import markdown_table, output_file


class Record(NamedTuple):
  """A table of a benchmark."""

  name: str  # of the benchmark, such as benchmarks.decode
  command: str  # the whole command line
  about: Mapping[str, Any]  # timing.about()
  rows: list[dict]


def report(
  flags: Any, name: str, rows: Iterable[Mapping], about: Mapping[str, Any]
) -> None:
  """Prints the table of `rows`, each also to stderr once it is measured, and
  appends it to --out."""
  table = []
  for row in rows:
    print(row, file=sys.stderr, flush=True)
    table.append(dict(row))
  if not table:
    return
  print(markdown_table(table), flush=True)
  if flags.out:
    command = shlex.join(['python', '-m', f'{PACKAGE}.{name}', *sys.argv[1:]])
    record = Record(name, command, about, table)._asdict()
    line = json.dumps(record, default=lambda number: number.item())
    with output_file(flags.out, '--out').open('a', encoding='utf-8') as file:
      file.write(f'{line}\n')


def records(path: Path) -> list[Record]:
  """The tables of a file, oldest first; of the JSON of benchmarks.device the
  rows of all parts as one."""
  text = path.read_text('utf-8')
  if path.suffix == '.jsonl':
    return [Record(**json.loads(line)) for line in text.splitlines()]
  device, name = json.loads(text), 'benchmarks.device'
  small = ' --small' if device['about']['small'] else ''
  rows = [
    {'part': part, **row}
    for part, found in device['parts'].items()
    for row in found.get('rows', ())
  ]
  command = f'python -m {PACKAGE}.{name}{small}'
  return [Record(name, command, device['about'], rows)]
