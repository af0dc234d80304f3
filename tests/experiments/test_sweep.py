"""A grid of runs: what is run, what is not run again, and what is shown."""

import csv
import json
import os
import sys
import traceback
from pathlib import Path

import pytest

from experiments import grpo, sweep
from experiments.grid import cells, resolved
from tests.experiments.runs import quick_compiler, steps

# Of ml_collections, where it loads a config file.
pytestmark = pytest.mark.filterwarnings('ignore:the load_module')

ROOT = Path(__file__).parents[2]
PAGE = ROOT / 'experiments/configs/rl_arithmetic.py'
TINY = ROOT / 'tests/experiments/rl_tiny.py'
FIXED = ['--config.steps=2', '--config.eval.prompts=2']


def grid_of(grid, config=f'{PAGE}:x,hrpo', fixed=()):
  return cells(config, grid, fixed, Path('w'))


def test_a_cell_is_one_of_the_product():
  found = grid_of(
    'config.feedback.initial.r_min=0.9,0.98; config.seed = 0, 1',
    fixed=['--config.steps=7'],
  )
  assert [(c.config.feedback.initial.r_min, c.config.seed) for c in found] == [
    *((0.9, 0), (0.9, 1), (0.98, 0), (0.98, 1))
  ]
  assert {c.config.steps for c in found} == {7}
  assert found[1].label == 'r_min=0.9, seed=1'
  assert found[1].folder == Path('w/feedback.initial.r_min=0.9,seed=1')
  assert found[1].options == [
    f'--config={PAGE}:x,hrpo',
    '--config.steps=7',
    '--config.feedback.initial.r_min=0.9',
    '--config.seed=1',
  ]


def test_the_argument_is_a_field_and_bars_keep_commas_together():
  found = grid_of('argument=x/y,hrpo|x/y,direct;config.seed=3', str(PAGE))
  assert [c.config.feedback.function for c in found] == [
    *('gated:gated', 'hidden:hidden')
  ]
  assert [c.label for c in found] == ['hrpo', 'direct']
  assert found[1].options[0] == f'--config={PAGE}:x/y,direct'
  (one,) = grid_of('config.rollout.closing.cut=a, b|', f'{TINY}:x,grpo')[:1]
  assert one.config.rollout.closing.cut == 'a, b'


def test_a_folder_is_a_cells_own_and_does_not_move():
  names = [c.folder.name for c in grid_of('argument=x/y,hrpo|x_y,hrpo')]
  assert len(set(names)) == 2 and '/' not in ''.join(names)
  few = grid_of('config.seed=1; config.steps=3')
  more = grid_of('config.steps=2,3; config.seed=0,1')
  assert few[0].folder in [c.folder for c in more]
  far = 'x' * 400
  names = [c.folder.name for c in grid_of(f'argument={far},hrpo|{far},grpo')]
  assert len(set(names)) == 2 and len(names[0]) < 130


@pytest.mark.parametrize(
  ('grid', 'told'),
  [
    ('config.feedback.r_min=0.9', 'write config.feedback.initial.r_min'),
    ('config.optimizer.groups=1', 'write config.optimizer.groups.'),
    ('config.steps=2,few', 'config.steps=few: invalid literal for int'),
    ('argument=x,hrpo|x,hrp', "config argument 'x,hrp': write 'FOLDER,"),
    ('config.seed=1,2,1', "'config.seed=1,2,1': write each field and value"),
    ('config.seed=1;config.seed=2', "'config.seed=2': write each field"),
    ('seed=1', "'seed=1': write 'config.field=value,value'"),
  ],
)
def test_a_mistake_is_told_before_anything_runs(grid, told):
  with pytest.raises(ValueError) as error:
    grid_of(grid)
  assert told in str(error.value)


def test_what_holds_for_all_cells_is_checked_as_well():
  for option, told in (
    ('--config.stepz=3', 'no field config.stepz: write config.steps'),
    ('--config.steps', "'--config.steps': write --config.field=value"),
    ('--colour=red', "'--colour=red': write --config.field=value"),
  ):
    with pytest.raises(ValueError, match=told):
      grid_of('config.seed=1', fixed=[option])
  with pytest.raises(ValueError, match=r"no file 'nothing\.py'"):
    grid_of('config.seed=1', 'nothing.py')


def options(monkeypatch, *flags):
  monkeypatch.setattr(sys, 'argv', ['sweep.py', *map(str, flags)])


def test_a_plan_runs_nothing(tmp_path, monkeypatch, capsys):
  options(
    monkeypatch,
    *(f'--config={PAGE}:x,hrpo', f'--workdir={tmp_path}/w'),
    *('--grid=config.seed=0,1', '--plan', *FIXED),
  )
  assert sweep.main() == 0
  assert capsys.readouterr().out.splitlines() == [
    '| config.seed | state | steps | folder |',
    '| --- | --- | --- | --- |',
    '| 0 | new | 0 of 2 | seed=0 |',
    '| 1 | new | 0 of 2 | seed=1 |',
  ]
  assert not (tmp_path / 'w').exists()


def test_a_refused_sweep_ends_with_what_to_write(tmp_path, monkeypatch, capsys):
  options(
    monkeypatch,
    *(f'--config={PAGE}:x,hrpo', f'--workdir={tmp_path}/w'),
    '--grid=config.sed=0',
  )
  with pytest.raises(SystemExit, match='2'):
    sweep.main()
  assert 'write config.seed' in capsys.readouterr().err


def test_a_collapse_is_seen(tmp_path):
  (cell,) = cells(f'{PAGE}:x,hrpo', 'config.seed=0', [], tmp_path)
  cell.folder.mkdir()
  rewards = [0.0, 0.2, *[0.8] * 8, 0.3, 0.1, *[0.0] * 8]
  rows = [{'step': 0, 'eval/accuracy': 0.25, 'eval/accuracy_tokens': 0.5}]
  rows += [
    {'step': i, 'loss': 0.0, 'reward': x, 'switches': None}
    for i, x in enumerate(rewards)
  ]
  rows += [{'step': 20, 'eval/accuracy': 0.0, 'eval/accuracy/pass@2': 0.5}]
  lines = [json.dumps(row) for row in rows]
  (cell.folder / 'metrics.jsonl').write_text('\n'.join(lines))
  assert sweep.outcome(cell) == pytest.approx(
    {
      'config.seed': '0',
      'state': 'failed',
      'steps': 20,
      'eval/accuracy, first': 0.25,
      'eval/accuracy, last': 0.0,
      'eval/accuracy/pass@2, first': 0.5,
      'eval/accuracy/pass@2, last': 0.5,
      'reward, first': 0.1,
      'reward, best': 0.8,
      'reward, last': 0.0,
    }
  )


def test_a_launched_process_leaves_its_words_and_its_status(tmp_path):
  folder = tmp_path / 'cells' / 'one'
  folder.mkdir(parents=True)
  code = (
    'import os, sys\n'
    'print(os.environ["JAX_COMPILATION_CACHE_DIR"], flush=True)\n'
    'sys.exit("no\\x1b[2J")'
  )
  assert sweep.launch([sys.executable, '-c', code], folder) == 1
  cache = os.environ.get('JAX_COMPILATION_CACHE_DIR', f'{tmp_path}/jax_cache')
  assert (folder / 'log.txt').read_text() == f'{cache}\nno\x1b[2J\n'


def in_this_process(launched):
  """`sweep.launch` without the start of a process."""

  def launch(command, folder):
    path, *overrides, workdir = command[3:]
    launched.append(folder.name)
    config = resolved(path.removeprefix('--config='), overrides)
    try:
      with quick_compiler():
        grpo.train(config, workdir.removeprefix('--workdir='))
    except ValueError:
      (folder / 'log.txt').write_text(traceback.format_exc() + '\x1b[2J')
      return 1
    return 0

  return launch


@pytest.mark.slow
def test_a_crash_loses_one_cell_and_no_cell_runs_twice(
  tmp_path, model_folder, monkeypatch, capsys
):
  launched = []
  monkeypatch.setattr(sweep, 'launch', in_this_process(launched))
  options(
    monkeypatch,
    f'--config={TINY}',
    f'--workdir={tmp_path}',
    f'--grid=argument={model_folder},grpo|{model_folder},direct;'
    'config.rollout.group=1,4',
    *FIXED,
  )
  assert sweep.main() == 1
  assert len(launched) == 4
  told = capsys.readouterr().out
  assert '[1/4] grpo, group=1: failed with status 1, see ' in told
  assert 'ValueError: config.rollout.group is 1: a completion' in told
  assert '\x1b' not in told
  with (tmp_path / 'table.csv').open() as file:
    table = list(csv.DictReader(file))
  assert [(r['state'], r['steps']) for r in table] == [
    *[('failed', '0'), ('finished', '2')] * 2
  ]
  assert [float(r['hidden ratio, last'] or -1) for r in table] == [-1, 0, -1, 1]
  for row in table[1::2]:
    assert 0 <= float(row['eval/digits, last']) <= 1
  rewards = [r['reward'] for r in steps(tmp_path / 'cells' / launched[1])]
  assert [
    float(table[1][f'reward, {x}']) for x in ('first', 'best', 'last')
  ] == [rewards[0], max(rewards), rewards[1]]
  page = (tmp_path / 'report.html').read_text()
  assert 'direct, group=4' in page and 'direct, group=1' not in page
  assert (tmp_path / 'curves.png').stat().st_size > 1000
  # Once more: what failed is tried again, what is finished is not.
  assert sweep.main() == 1
  assert launched[4:] == launched[0:4:2]
  assert '[2/4] grpo, group=4: was finished' in capsys.readouterr().out


@pytest.mark.slow
def test_the_command(tmp_path, model_folder, monkeypatch, capsys):
  """Two processes; a third that goes on where one ended."""
  monkeypatch.chdir(ROOT)
  monkeypatch.setenv('PYTHONPATH', f'{ROOT}{os.pathsep}{ROOT / "kernels"}')
  monkeypatch.setenv('JAX_DISABLE_MOST_OPTIMIZATIONS', '1')
  flags = f'--config={TINY}:{model_folder},hrpo', f'--workdir={tmp_path}'
  options(monkeypatch, *flags, '--grid=config.seed=0,1', *FIXED)
  assert sweep.main() == 0, capsys.readouterr().out
  more = '--config.steps=3'
  options(monkeypatch, *flags, '--grid=config.seed=1', more, FIXED[1])
  assert sweep.main() == 0, capsys.readouterr().out
  for seed, count in ((0, 2), (1, 3)):
    rows = steps(tmp_path / 'cells' / f'seed={seed}')
    assert [row['step'] for row in rows] == list(range(count))
  options(monkeypatch, *flags, '--grid=config.seed=0,1', '--plan', more)
  assert sweep.main() == 0
  assert '| 1 | to resume | 3 of 3 |' in capsys.readouterr().out
