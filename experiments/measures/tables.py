"""All tables of a record, by name."""

from collections.abc import Callable, Sequence
from typing import Any

from . import comparisons, curves, papers
from .results import ARM, CONTROLS, Record, results

Table = list[dict[str, Any]]

# Of each table of the command line, the tables that it prints.
GROUPS = {
  'hyrea': ('hyrea', 'spans', 'controls', 'paired_tests'),
  'soft_tokens': (
    'soft_tokens',
    'pass_at_k',
    'out_of_domain',
    'controls',
    'paired_tests',
  ),
  'lrt': ('lrt', 'cosines', 'controls', 'paired_tests'),
  'hrpo': ('hrpo', 'controls', 'paired_tests'),
  'controls': ('controls',),
}


def tables(
  record: Record, which: str = 'all', baseline: str | None = None
) -> dict[str, Table]:
  """Name -> rows, of a group of GROUPS or of `all`. A table is empty where the
  record has no rows for it. ValueError where the baseline is no arm."""
  arms = {row['arm'] for row in record.samples if not row['control']}
  arms |= {row['arm'] for row in record.given}
  if baseline is not None and baseline not in arms:
    raise ValueError(
      f'--baseline={baseline!r} is no arm without control: write one of '
      f'{sorted(arms)}'
    )
  found = results(record)
  make: dict[str, Callable[[], Table]] = {
    'results': lambda: found,
    'hyrea': lambda: papers.hyrea(found),
    'soft_tokens': lambda: papers.soft_tokens(found),
    'pass_at_k': lambda: curves.pass_at_k_curves(record.samples),
    'out_of_domain': lambda: comparisons.out_of_domain(record.given, baseline),
    'lrt': lambda: papers.lrt(found),
    'cosines': lambda: comparisons.cosines(record.times),
    'hrpo': lambda: papers.hrpo(found),
    'controls': lambda: comparisons.controls(record.samples),
    'paired_tests': lambda: comparisons.paired_tests(record.samples, baseline),
    'spans': lambda: curves.spans(record.samples),
    'entropy': lambda: curves.entropy_curves(record.samples),
  }
  return {name: make[name]() for name in GROUPS.get(which, make)}


def lacking(table: Sequence[dict[str, Any]]) -> list[str]:
  """Sentences that name the arms that lack a column, and those columns."""
  columns: dict[tuple[str, ...], list[str]] = {}
  for name in dict.fromkeys(name for row in table for name in row):
    arms = [row['arm'] for row in table if is_unknown(row.get(name))]
    if arms and name not in (*ARM, *CONTROLS):
      columns.setdefault(tuple(dict.fromkeys(arms)), []).append(name)
  every = tuple(dict.fromkeys(row['arm'] for row in table))
  return [
    f'Not known for {"any arm" if arms == every else ", ".join(arms)}: '
    f'{", ".join(names)}.'
    for arms, names in columns.items()
  ]


def is_unknown(value: Any) -> bool:
  """Whether a cell has no value: None or NaN."""
  return value is None or value != value
