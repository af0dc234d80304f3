"""What was run: the commands, and where the configs differ."""

import html
from collections.abc import Mapping
from pathlib import Path

from .run_folders import (
  config_differences,
  config_fields,
  progress,
  run_command,
  run_info,
)
from .tables import scrolled_table


def origin_html(runs: Mapping[str, str | Path]) -> str:
  """The command and revision of each run, the fields in which the configs
  differ, and those that are the same in all. Those of evaluations are compared
  where there is no training."""
  infos = {name: run_info(str(run)) for name, run in runs.items()}
  known = {name: str(run) for name, run in runs.items() if infos[name]}
  fields = {name: config_fields(run) for name, run in known.items()}
  if not known:
    return ''
  table = [
    {
      'run': name,
      'state': progress(run),
      'seed': fields[name].get('seed'),
      'revision': infos[name].get('revision', '')[:12],
      'command': run_command(run),
    }
    for name, run in known.items()
  ]
  trained = {name: x for name, x in fields.items() if progress(known[name])}
  fields = trained or fields
  parts, differences = [scrolled_table(table)], config_differences(fields)
  if len(fields) > 1:
    of_all = {f: x for f, x in differences.items() if '–' not in x}
    of_some = {f: x for f, x in differences.items() if '–' in x}
    same = 'The configs are the same'
    parts += [f'<h3>{"Where the configs differ" if differences else same}</h3>']
    parts += [scrolled_table(_rows(list(fields), of_all))]
    parts += [
      '<details><summary>Fields that not all of them have</summary>'
      f'{scrolled_table(_rows(list(fields), of_some))}</details>'
    ] * bool(of_some)
  shared = '\n'.join(
    f'{field} = {value}'
    for field, value in next(iter(fields.values())).items()
    if field not in differences
  )
  several = 'Fields that are the same in all configs'
  title = several if len(fields) > 1 else 'Fields of the config'
  parts += [
    f'<details><summary>{title}</summary>'
    f'<pre>{html.escape(shared)}</pre></details>' * bool(shared)
  ]
  return ''.join(parts)


def _rows(names: list[str], differences: Mapping[str, list[str]]) -> list[dict]:
  """A row per field; a row per run where these are more."""
  if len(names) <= len(differences):
    return [
      {'field': field, **dict(zip(names, values, strict=True))}
      for field, values in differences.items()
    ]
  return [
    {'run': name, **dict(zip(differences, values, strict=True))}
    for name, *values in zip(names, *differences.values(), strict=True)
    if differences
  ]
