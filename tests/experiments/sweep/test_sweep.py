"""A sweep: what is run, what is not run again, and what is shown."""

import csv
import json
import os
import signal
import sys
import traceback
from pathlib import Path

import pytest

from experiments import grpo
from experiments.sweep import __main__ as sweep
from experiments.sweep import executors
from experiments.sweep.comparison import summary_row
from experiments.sweep.grid import grid_points, make_cells
from experiments.training.cli import resolved
from tests.experiments.runs import quick_compiler, steps

# Of ml_collections, where it loads a config file.
pytestmark = pytest.mark.filterwarnings('ignore:the load_module')

ROOT = Path(__file__).parents[3]
PAGE = ROOT / 'experiments/configs/rl_arithmetic.py'
TINY = ROOT / 'tests/experiments/rl_tiny.py'
FIXED = ['--config.max_steps=2', '--config.eval.num_prompts=2']


def options(monkeypatch, *flags):
  monkeypatch.setattr(sys, 'argv', ['sweep.py', *map(str, flags)])


def test_what_cannot_go_together_is_told(tmp_path, monkeypatch, capsys):
  for flags, told in (
    (['--grid=config.sed=0'], 'write config.seed'),
    ([], 'write --grid, --zip and --list, or else --search'),
    (['--search=config.max_steps=1..3', '--plan'], 'as it goes: drop --plan'),
    (['--grid=config.seed=0', '--executor=sky'], 'write --remote=gs://'),
    (['--grid=config.seed=0', '--machine=nodes=2'], 'has no options'),
  ):
    options(
      *(monkeypatch, f'--config={PAGE}:x,hrpo', f'--workdir={tmp_path}/w'),
      *flags,
    )
    with pytest.raises(SystemExit, match='2'):
      sweep.main()
    assert told in capsys.readouterr().err
  assert not (tmp_path / 'w').exists()


def test_a_dry_run_prints_what_would_be_started(tmp_path, monkeypatch, capsys):
  flags = (
    *(f'--config={PAGE}:x,hrpo', f'--workdir={tmp_path}/w', '--dry-run'),
    '--grid=config.seed=0,1',
  )
  options(monkeypatch, *flags)
  assert sweep.main() == 0
  label, line, *_ = capsys.readouterr().out.splitlines()
  assert label == '# seed=0' and line == (
    f'{sys.executable} -m experiments.grpo --config={PAGE}:x,hrpo '
    f'--config.seed=0 --workdir={tmp_path}/w/cells/seed=0'
  )
  options(monkeypatch, *flags, '--executor=sky', '--remote=gs://b/s')
  assert sweep.main() == 0
  assert '  python -m experiments.grpo' in (out := capsys.readouterr().out)
  assert '--workdir=gs://b/s/seed=1\n' in out and 'sky jobs launch' in out
  assert not (tmp_path / 'w').exists()


def test_a_collapse_is_seen(tmp_path):
  page = f'{PAGE}:x,hrpo'
  (cell,) = make_cells(page, grid_points(['config.seed=0']), [], tmp_path)
  cell.folder.mkdir()
  rewards = [0.0, 0.2, *[0.8] * 8, 0.3, 0.1, *[0.0] * 8]
  rows = [{'step': 0, 'eval/accuracy': 0.25, 'eval/hidden_ratio': 0.5}]
  rows += [
    {'step': i, 'loss': 0.0, 'reward': x, 'switches': None}
    for i, x in enumerate(rewards)
  ]
  rows += [{'step': 20, 'eval/accuracy': 0.0, 'eval/accuracy/pass@2': 0.5}]
  lines = [json.dumps(row) for row in rows]
  (cell.folder / 'metrics.jsonl').write_text('\n'.join(lines))
  assert summary_row(cell) == pytest.approx(
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


class Here:
  """Trains in this process, which saves its start."""

  every = 0.0
  launched: list[str]

  def __init__(self, on, retries):
    self.ended = {}

  def start(self, command, folder):
    path, *overrides, workdir = command[3:]
    self.launched.append(folder.name)
    config = resolved(path.removeprefix('--config='), overrides)
    try:
      with quick_compiler():
        grpo.train(config, workdir.removeprefix('--workdir='))
      status = 0
    except ValueError:
      (folder / 'log.txt').write_text(traceback.format_exc() + '\x1b[2J')
      status = 1
    job = str(len(self.launched))
    self.ended[job] = status
    return job

  def states(self, jobs):
    return [self.ended.get(job) for job in jobs]


@pytest.fixture
def launched(monkeypatch):
  monkeypatch.setattr(Here, 'launched', [], raising=False)
  monkeypatch.setitem(executors.EXECUTORS, 'local', Here)
  return Here.launched


@pytest.mark.slow
def test_a_crash_loses_one_cell_and_no_cell_runs_twice(
  tmp_path, model_folder, monkeypatch, capsys, launched
):
  options(
    monkeypatch,
    f'--config={TINY}',
    f'--workdir={tmp_path}',
    f'--grid=argument={model_folder},grpo|{model_folder},direct;'
    'config.rollout.max_prompt_length=1,40',
    *FIXED,
  )
  assert sweep.main() == 1
  assert len(launched) == 4
  told = capsys.readouterr().out
  assert '[1/4] grpo, max_prompt_length=1: failed with status 1, see ' in told
  assert 'ValueError: max_prompt_length is 1, and each of ' in told
  assert '\x1b' not in told
  assert '2 of 4 cells failed:\ngrpo, max_prompt_length=1: ' in told
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
  assert 'direct, max_prompt_length=40' in page
  assert 'direct, max_prompt_length=1,' not in page
  assert (tmp_path / 'curves.png').stat().st_size > 1000
  # Once more: what failed is tried again, what is finished is not.
  assert sweep.main() == 1
  assert launched[4:] == launched[0:4:2]
  assert (
    '[2/4] grpo, max_prompt_length=40: was finished' in capsys.readouterr().out
  )


@pytest.mark.slow
@pytest.mark.filterwarnings('ignore:unclosed file')  # of Optuna's journal
def test_a_search_trains_its_trials(
  tmp_path, model_folder, monkeypatch, capsys, launched
):
  pytest.importorskip('optuna', reason='the extra `sweep`')
  flags = (
    *(f'--config={TINY}:{model_folder},grpo', f'--workdir={tmp_path}'),
    '--search=config.optimizer.groups.lora.lr=1e-4..1e-2:log',
    *('--metric=reward', *FIXED),
  )
  for trials in (1, 2):
    options(monkeypatch, *flags, f'--trials={trials}')
    assert sweep.main() == 0, capsys.readouterr().out
  assert '[1/2] trial 0: was finished' in capsys.readouterr().out
  assert len(launched) == 2 and launched[1].startswith('trial=1,optimizer.')
  with (tmp_path / 'table.csv').open() as file:
    rates = [
      float(row['config.optimizer.groups.lora.lr'])
      for row in csv.DictReader(file)
    ]
  assert len(set(rates)) == 2 and 1e-4 <= min(rates) <= max(rates) <= 1e-2


@pytest.mark.slow
def test_a_plan_compiles_and_runs_nothing(
  tmp_path, model_folder, monkeypatch, capsys
):
  """Seeds share their programs, lengths do not."""
  options(
    monkeypatch,
    *(f'--config={TINY}:{model_folder},hrpo', f'--workdir={tmp_path}/w'),
    '--grid=config.rollout.max_completion_length=8,12;config.seed=0,1',
    *('--plan', '--target=cpu:8', *FIXED),
  )
  assert sweep.main() == 0
  *table, _, told = capsys.readouterr().out.splitlines()
  assert table[0] == (
    '| config.rollout.max_completion_length | config.seed | state | steps | '
    'programs | '
    'GiB per device | folder |'
  )
  rows = [line.strip('| ').split(' | ') for line in table[2:]]
  assert [row[2:5] for row in rows] == [
    ['new', '0 of 2', name] for name in ('#1', '#1', '#2', '#2')
  ]
  assert all(0 < float(row[5]) < 0.1 for row in rows)
  assert told == '4 cells, 2 different, on 8 cpu:8'
  assert not (tmp_path / 'w').exists()


@pytest.mark.slow
def test_the_command(tmp_path, model_folder, monkeypatch, capsys):
  """Two processes at once; a third that goes on where one ended."""
  monkeypatch.chdir(ROOT)
  monkeypatch.setenv('PYTHONPATH', f'{ROOT}{os.pathsep}{ROOT / "kernels"}')
  monkeypatch.setenv('JAX_DISABLE_MOST_OPTIMIZATIONS', '1')
  flags = f'--config={TINY}:{model_folder},hrpo', f'--workdir={tmp_path}'
  options(monkeypatch, *flags, '--grid=config.seed=0,1', '--jobs=2', *FIXED)
  assert sweep.main() == 0, capsys.readouterr().out
  more = '--config.max_steps=3'
  options(monkeypatch, *flags, '--grid=config.seed=1', more, FIXED[1])
  assert sweep.main() == 0, capsys.readouterr().out
  for seed, count in ((0, 2), (1, 3)):
    rows = steps(tmp_path / 'cells' / f'seed={seed}')
    assert [row['step'] for row in rows] == list(range(count))


@pytest.mark.slow
def test_a_sweep_that_is_told_to_end_ends_its_runs(
  tmp_path, model_folder, monkeypatch, capsys, interruptible
):
  """Ctrl-C to the sweep; the same command resumes."""
  monkeypatch.chdir(ROOT)
  monkeypatch.setenv('PYTHONPATH', f'{ROOT}{os.pathsep}{ROOT / "kernels"}')
  monkeypatch.setenv('JAX_DISABLE_MOST_OPTIMIZATIONS', '1')
  options(
    monkeypatch,
    *(f'--config={TINY}:{model_folder},grpo', f'--workdir={tmp_path}'),
    *('--grid=config.seed=0', '--config.max_steps=40'),
  )
  folder = tmp_path / 'cells' / 'seed=0'
  states = executors.Local.states

  def interrupting(self, jobs):
    if (folder / 'metrics.jsonl').exists() and steps(folder):
      signal.raise_signal(signal.SIGINT)
    return states(self, jobs)

  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(executors.Local, 'states', interrupting)
    assert sweep.main() == 130
  done, told = len(steps(folder)), capsys.readouterr().err
  assert 0 < done < 40
  assert '1 of the runs save and end, each after its step; Ctrl-C once' in told
  assert '0 of 1 cells are finished\nThe same command resumes:\n' in told
  options(monkeypatch, *sys.argv[1:4], f'--config.max_steps={done + 1}')
  assert sweep.main() == 0, capsys.readouterr().out
  assert [row['step'] for row in steps(folder)] == list(range(done + 1))
