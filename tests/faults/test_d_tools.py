"""A new user's first hour with sweep and report.

What each is in detail is tested beside its module; here are the rows of the
table, each by what the tool itself says or writes.
"""

import json
import re
import shlex
import sys
from pathlib import Path

import pytest

from experiments.report import __main__ as report
from experiments.report.page import summary_table
from experiments.report.run_folders import find_runs
from experiments.sweep import __main__ as sweep
from experiments.sweep.comparison import write_comparison
from experiments.sweep.executors import LOG
from experiments.sweep.grid import grid_points, make_cells

# Of ml_collections, where it loads a config file.
pytestmark = pytest.mark.filterwarnings('ignore:the load_module')

CONFIGS = Path(__file__).parents[2] / 'experiments/configs'
PAGE = f'{CONFIGS}/rl_arithmetic.py'


def swept(grid, folder=Path('w'), config: str | None = PAGE, fixed=()):
  return make_cells(config, grid_points([grid]), fixed, folder)


@pytest.mark.parametrize(
  ('grid', 'arguments'),
  [
    ('argument=MODEL,smoke', ['MODEL,smoke']),
    ('argument=M,grpo|M,hrpo', ['M,grpo', 'M,hrpo']),
    ('argument=M,grpo,smoke|my models/N,hrpo', None),
    ("argument='a;b/M,grpo'|M,hrpo", ['a;b/M,grpo', 'M,hrpo']),
  ],
)
def test_a_comma_in_an_argument_makes_no_cell(grid, arguments, now):
  known = f'{CONFIGS}/rl.py' if grid == 'argument=MODEL,smoke' else PAGE
  try:
    found = [cell.options[0] for cell in swept(grid, config=known)]
  except ValueError as error:
    now('sweep: commas', f'--grid="{grid}"', error)
    assert arguments is None and "config argument 'M,grpo,smoke'" in str(error)
    return
  now('sweep: commas', f'--grid="{grid}"', f'{len(found)} cells: {found}')
  assert found == [f'--config={known}:{x}' for x in arguments or ()]


@pytest.mark.parametrize(
  ('grid', 'says'),
  [
    (
      'config.seed=0,1,config.max_steps=2',
      "write a semicolon before 'config.max_st",
    ),
    ('argument=M,grpo,config.seed=0', "write a semicolon before 'config.seed"),
    ('config.seed=(0,1', "'(' has no partner: write quotes around the whole"),
    ('config.seed=0,,1', "has an empty value: write '' for one"),
    ('config.seed=0|1,2', "'1,2'"),
  ],
)
def test_an_ambiguous_grid_is_refused_by_name(grid, says, now):
  with pytest.raises(ValueError) as error:
    swept(grid, config=f'{PAGE}:x,hrpo')
  now('sweep: commas', f'--grid="{grid}"', error.value)
  assert says in str(error.value)


def test_two_configs_are_one_sweep(now):
  """HRPO against GRPO on one's own data, two by two."""
  grid = (
    f'config={CONFIGS}/grpo_gsm8k.py:M|{CONFIGS}/hrpo_gsm8k.py:M; '
    'config.feedback.init_kwargs.r_min=0.9; config.seed=0,1'
  )
  found = swept(grid, config=None, fixed=['--config.data.path=my data'])
  told = [f'{x.label} (without {", ".join(x.without) or "-"})' for x in found]
  now('sweep: two methods on own data', f'--grid="{grid}"', '; '.join(told))
  assert told == [
    'grpo_gsm8k, seed=0 (without config.feedback.init_kwargs.r_min)',
    'grpo_gsm8k, seed=1 (without config.feedback.init_kwargs.r_min)',
    'hrpo_gsm8k, r_min=0.9, seed=0 (without -)',
    'hrpo_gsm8k, r_min=0.9, seed=1 (without -)',
  ]


def test_a_plan_compiles_only_when_it_is_asked_to(
  tmp_path, monkeypatch, capsys, now
):
  monkeypatch.setattr(sweep, 'plan', None)  # which compiles
  flags = f'--config={PAGE}:x,hrpo', f'--workdir={tmp_path}/w', '--plan'
  monkeypatch.setattr(sys, 'argv', ['', *flags, '--grid=config.seed=0,1'])
  assert sweep.main() == 0
  told = capsys.readouterr().out
  now('sweep: --plan takes minutes', '--plan', told)
  assert told.splitlines()[2:] == [
    '| 0 | new | 0 of 40 | seed=0 |',
    '| 1 | new | 0 of 40 | seed=1 |',
    '',
    '2 cells; --plan=compile compiles them and shows the memory per device',
  ]


def test_a_cell_that_fails_is_named_with_its_last_line(tmp_path, now):
  bad, good = swept('config.seed=0,1', tmp_path / 'cells', f'{PAGE}:x,hrpo')
  for cell in bad, good:
    cell.folder.mkdir(parents=True)
  (bad.folder / LOG).write_text('Traceback\n  line\nerror: disk is full\n\n')
  config = json.loads(good.config.to_json())
  (good.folder / 'finished.json').write_text(json.dumps(config))
  told = write_comparison([bad, good], tmp_path)
  now('sweep: a cell fails', 'its log ends "error: disk is full"', told)
  last = f'seed=0: error: disk is full (its log: {bad.folder}/log.txt)'
  assert told.endswith(f'1 of 2 cells failed:\n{last}')
  table = (tmp_path / 'table.csv').read_text().splitlines()
  assert table[1:] == ['0,failed,0,error: disk is full', '1,finished,0,']


def test_a_sweep_that_is_stopped_says_how_it_goes_on(monkeypatch, now):
  found = swept('config.seed=0,1', config=f'{PAGE}:x,hrpo')
  flags = ['--workdir=my runs', '--grid=config.seed=0,1']
  monkeypatch.setattr(sys, 'argv', ['', *flags])
  told = sweep.interrupted(found)
  now('sweep: Ctrl-C', 'Ctrl-C', told)
  first, _, command = told.splitlines()
  assert first == '0 of 2 cells are finished'
  assert shlex.split(command) == ['python', '-m', 'experiments.sweep', *flags]


@pytest.fixture(scope='module')
def runs(tmp_path_factory):
  """Three cells of a sweep, the last of them the second again, and one that
  ended before its first step."""
  root = tmp_path_factory.mktemp('sweep')
  text = '<script>alert(1)</script>'
  for index, name in enumerate(('r_min=0.9,seed=0', 'b', 'c d')):
    run = root / 'cells' / name
    run.mkdir(parents=True)
    rows = []
    for step in range(40):
      seconds = 37.3 if step in (0, 20) else 3.4
      reward = 1.0000001 + step * 1e-9 if index else 1.0
      rows.append(
        {'step': step, 'loss': 0.0, 'reward': reward}
        | {'time/step': seconds, 'time/decode': seconds}
        | {'compilations': int(seconds > 30)}
      )
    sample = {'step': 0, 'prompt': text, 'completion': text, 'answer': text}
    sample |= {'reward': None, 'tokens': ['a', text], 'latent': [0.07, 0.17]}
    about = {
      'config': {'max_steps': 40, 'beta': index, 'data': {'path': 'my data'}},
      'command': ['/x/experiments/grpo.py', '--config.data.path=my data'],
      'revision': 'cb1ec9e0123456789',
    }
    lines = lambda rows: ''.join(f'{json.dumps(row)}\n' for row in rows)
    (run / 'metrics.jsonl').write_text(lines(rows))
    (run / 'completions.jsonl').write_text(lines([sample]))
    (run / 'config.json').write_text(json.dumps(about))
  failed = root / 'cells' / 'failed'
  failed.mkdir()
  (failed / 'config.json').write_text(json.dumps({'config': {'max_steps': 40}}))
  return root


@pytest.mark.parametrize(
  'names',
  [['{}'], ['{}/cells/*'], ['{}/cells/r_min=0.9,seed=0,{}/cells/b']],
  ids=['sweep', 'pattern', 'commas'],
)
def test_names_of_runs_survive_commas(runs, names, now):
  names = [name.replace('{}', str(runs)) for name in names]
  found = [*find_runs(names)]
  shown = [name.replace(str(runs), 'SWEEP') for name in names]
  now('report: commas', f'--runs {" ".join(shown)}', found)
  all_of_them = ['b', 'c d', 'failed', 'r_min=0.9,seed=0']
  assert sorted(found) == (all_of_them if len(found) > 2 else ['b', found[0]])
  assert 'r_min=0.9,seed=0' in found


@pytest.fixture(scope='module')
def page(runs, tmp_path_factory):
  out = tmp_path_factory.mktemp('page') / 'r.html'
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(sys, 'argv', ['', '--runs', str(runs), f'--out={out}'])
    report.main()
  return out.read_text('utf-8')


@pytest.mark.parametrize(
  ('tried', 'pattern', 'right'),
  [
    (
      'two steps of 37.3 s compile, the others take 3.4 s',
      r'(\S+ s per step, .*?)<div',
      '3.4 s per step, the median of 38; 2 that compiled left out',
    ),
    (
      'tokens that are 7 % and 17 % latent',
      r'<i style="--l:([\d.]+)" data-tip="latent 0.(?:07|17)0">',
      ['0.26', '0.41'] * 3,
    ),
    ('a smoothed curve', r'smoothed, (σ = .*?)<', 'σ = 1.3 steps'),
    ('two runs with the same curve', r'the same line: (.*?) ·', 'b, c d'),
    (
      'a config that differs',
      r'<tr><td>(?:b|c d|r_min=0.9,seed=0)</td><td>(\d)</td></tr>',
      ['1', '2', '0'],
    ),
    (
      'the command of a run',
      '(python -m experiments.grpo .*?)<',
      'python -m experiments.grpo &#x27;--config.data.path=my data&#x27;',
    ),
    ('the revision', '<td>(cb1ec9e.*?)<', 'cb1ec9e01234'),
    (
      'a run that ended before its first step',
      '<p>(Without a step.*?)</p>',
      'Without a step, and left out: failed.',
    ),
    ('a script in a completion', '(<script)', []),
  ],
)
def test_the_page_says_what_it_shows(page, tried, pattern, right, now):
  found = re.findall(pattern, page)
  now('report: the page', tried, found[:6])
  if isinstance(right, list):
    assert found == right
  else:
    assert set(found[:1]) == {right}


def test_a_sweep_among_runs_is_shown_by_its_labels(tmp_path, now):
  for name in 'alone', 'sw/cells/seed=0-1f', 'sw/cells/seed=1-2e':
    (tmp_path / name).mkdir(parents=True)
    (tmp_path / name / 'metrics.jsonl').write_text('{"step": 0, "loss": 1}\n')
  labels = {'seed=0-1f': 'grpo, seed=0', 'seed=1-2e': 'grpo, seed=1'}
  (tmp_path / 'sw/labels.json').write_text(json.dumps(labels))
  found = [*find_runs([str(tmp_path)])]
  now('report: a sweep among runs', '--runs runs', found)
  assert found == ['alone', 'grpo, seed=0', 'grpo, seed=1']


def test_a_short_run_has_the_figures_of_a_long_one(tmp_path, now):
  for name, steps in ('short', 6), ('long', 40):
    (tmp_path / name).mkdir()
    config = {'max_steps': steps, 'rewards': {'mine': {'weight': 1.0}}}
    about = {'config': config}
    (tmp_path / name / 'config.json').write_text(json.dumps(about))
    rows = [{'step': i, 'loss': 0.0, 'reward': 0.5} for i in range(steps)]
    rows.append({'step': steps, 'eval/mine': 0.25})
    text = '\n'.join(map(json.dumps, rows))
    (tmp_path / name / 'metrics.jsonl').write_text(f'{text}\n')
  table = summary_table(find_runs([str(tmp_path)]))
  now('report: a short run', '6 steps', table)
  figures = {'eval/mine': 0.25, 'reward': 0.5, 'loss': 0.0}
  assert [{n: row.get(n) for n in figures} for row in table] == [figures] * 2


def test_ticks_differ(page, now):
  chart = page.split('<b>Reward</b>')[1].split('</svg>')[0]
  labels = re.findall('text-anchor:end;[^>]*>(.*?)<', chart)
  now('report: five ticks with one number', 'a flat curve', labels)
  assert len(labels) == len(set(labels)) > 3
