"""PAPERS.md says what the configs have, and its commands are understood."""

import ast
import inspect
import re
import shlex
from pathlib import Path

import pytest
from ml_collections import ConfigDict

from experiments.sweep.grid import grid_points, make_cells
from tests.experiments.test_configs import module_of

ROOT = Path(__file__).parents[2]
LINES = (ROOT / 'PAPERS.md').read_text().splitlines()
ROWS = [
  [cell.strip() for cell in line.strip('|').split(' | ')]
  for line in LINES
  if line.startswith('| ') and not line.startswith('| setting')
]
COMMANDS = [line for line in LINES if 'experiments.sweep' in line]


def default_model(get_config):
  default = inspect.signature(get_config).parameters['argument'].default
  return 'X' if default is inspect.Parameter.empty else default


@pytest.mark.parametrize('row', ROWS, ids=lambda row: row[2].strip('`'))
def test_a_row_says_what_the_config_has(row):
  _, value, line, source = row
  file, fields = re.fullmatch(r'`([\w,]+): ([\w., ]+)`', line).groups()
  name, *words = file.split(',')
  get_config = module_of(name).get_config
  config = get_config(','.join([default_model(get_config), *words]))
  found = [read(config, field) for field in fields.split(', ')]
  written = ast.literal_eval(value.strip('`'))
  assert written == (found[0] if len(found) == 1 else tuple(found))
  assert re.match('paper|code|framework|inferred|ours|as HRPO', source)


def read(config: ConfigDict, field: str):
  for part in field.split('.'):
    config = config[part]
  return config


@pytest.mark.filterwarnings('ignore:the load_module')  # ml_collections'
@pytest.mark.parametrize('line', COMMANDS)
def test_a_sweep_is_one(line, monkeypatch, tmp_path):
  monkeypatch.chdir(ROOT)
  words = (word for word in shlex.split(line) if '--trainer' not in word)
  _, _, module, config, *fixed, grid = words
  assert module == 'experiments.sweep'
  runs = make_cells(
    config.removeprefix('--config='),
    grid_points([grid.removeprefix('--grid=')]),
    fixed,
    tmp_path,
  )
  assert len(runs) > 1
