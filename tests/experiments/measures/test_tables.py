"""Tables of small records, whose numbers are counted by hand."""

import csv
import json
import subprocess
import sys

import numpy as np
import pytest
from scipy import stats
from scipy.spatial.distance import cdist

from experiments.evaluation.record import record_line
from experiments.measures import __main__ as command
from experiments.measures import comparisons, papers
from experiments.measures.formats import csv_text, latex_table, printable
from experiments.measures.results import Record, read, results
from experiments.measures.tables import lacking, tables
from tests.measures.rows import row


def arm(name, grades, dataset='gsm8k', trace='....', **fields):
  """The rows of an arm: per problem a text with a grade per sample."""
  grade = {'1': 1.0, '0': 0.0, '?': None}
  fields = {'model': name, 'thinking_tokens': 2} | fields
  return [
    row(
      trace,
      arm=name,
      dataset=dataset,
      prompt=prompt,
      sample=sample,
      correct=grade[x],
      parsed=None if x == '?' else x,
      **fields,
    )
    for prompt, text in enumerate(grades)
    for sample, x in enumerate(text)
  ]


def times(name, dataset='gsm8k', **fields):
  found = dict(arm=name, dataset=dataset, prompts=4, completions=8, tokens=80)
  costs = dict(seconds=16.0, seconds_per_question=4.0, tokens_per_second=5.0)
  return {**found, **costs, 'peak_memory_bytes': None, **fields}


def given(name, *log_probs):
  return [
    {
      **{'arm': name, 'dataset': 'arc', 'prompt': i, 'question': 'Why?'},
      **{'choices': ['a', 'b'], 'answer': 0, 'log_probs': [[x], [-1.0]]},
    }
    for i, x in enumerate(log_probs)
  ]


BASE = arm('base', ['11', '10', '0?', '00'])
HYREA = arm('hyrea', ['11', '11', '10', '??'], trace='.<LL>.<L>.')


def test_the_table_of_hyrea():
  """Marks are not counted; ungraded completions only beside."""
  other = arm('hyrea', ['1', '0'], 'math', trace='..')
  (base, hyrea) = papers.hyrea(results(Record([*BASE, *HYREA, *other], [], [])))
  assert hyrea == {
    'arm': 'hyrea',
    'gsm8k accuracy': pytest.approx((1 + 1 + 0.5) / 3),
    'gsm8k tokens': 6,
    'gsm8k switches': 2,
    'gsm8k ungraded': 2,
    'math accuracy': 0.5,
    'math tokens': 2,
    'math switches': 0,
    'math ungraded': 0,
  }
  assert base['gsm8k accuracy'] == (1 + 0.5 + 0 + 0) / 4
  assert lacking([base, hyrea]) == [
    'Not known for base: math accuracy, math tokens, math switches, '
    'math ungraded.'
  ]


def test_results_have_every_measure_that_is_a_number():
  cost = times('base', peak_memory_bytes=7, too_long=1)
  (found,) = results(Record(BASE, [], [cost]))
  expected = {
    **{'arm': 'base', 'control': '', 'problems': 4, 'samples': 2},
    **{'accuracy': 0.375, 'ungraded': 1, 'of_all': 3 / 10},
    **{'pass@1': 0.375, 'pass@2': 2 / 3, 'maj@2': 0.5, 'tokens': 4},
    **{'hidden_ratio': 0, 'truncated': 0, 'other_script': 0},
    **{'seconds_per_question': 4, 'tokens_per_second': 5},
    'peak_memory_bytes': 7,
  }
  assert {name: found[name] for name in expected} == pytest.approx(expected)
  assert found['low'] < 0.375 < found['high']


def test_the_table_of_soft_tokens_joins_greedy_and_sampled_arms():
  rows = [
    *arm('soft/greedy', ['1', '1', '0', '?'], sampling='greedy'),
    *arm('soft/sample', ['1100', '1000', '0000', '1111']),
    *arm('sampled', ['10', '10', '10', '10']),
  ]
  soft, sampled = papers.soft_tokens(results(Record(rows, [], [])))
  assert soft == {
    'arm': 'soft',
    'gsm8k greedy pass@1': pytest.approx(2 / 3),
    'gsm8k sample pass@1': (0.5 + 0.25 + 0 + 1) / 4,
    'gsm8k pass@4': 0.75,
    'gsm8k ungraded': 1,
  }
  assert lacking([soft, sampled]) == [
    'Not known for sampled: gsm8k greedy pass@1, gsm8k pass@4.'
  ]


def test_the_table_of_lrt_has_budgets_cost_and_averages():
  rows = [
    *arm('a/512', ['1111', '0000'], budget=512),
    *arm('a/512', ['1000', '0000'], 'math', budget=512),
  ]
  cost = [
    times('a/512', cosine=0.25),
    times('a/512', 'math', prompts=12, seconds_per_question=2.0, cosine=0.75),
  ]
  (found,) = papers.lrt(results(Record(rows, [], cost)))
  assert found['budget'] == 512
  assert found['average pass@1'] == (0.5 + 0.125) / 2
  assert found['average pass@4'] == 0.5
  assert found['average cosine'] == 0.5
  assert found['seconds_per_question'] == 3
  assert found['peak_memory_bytes'] is None


def test_the_table_of_hrpo():
  mixed = arm('hrpo', ['1'], latent_share=[0.2, 0.4, 0, 0], trace='LL..')
  (found,) = papers.hrpo(results(Record(mixed, [], [])))
  assert found['hidden_ratio'] == pytest.approx(0.3)
  assert found['thinking_tokens'] == 2


def test_controls_are_beside_their_arm():
  own = dict(model='hyrea')
  rows = [
    *arm('hyrea', '1' * 40 + '?'),
    *arm('hyrea/pause', '1' * 30 + '0' * 11, control='pause', **own),
    *arm('other', '1' * 41),
  ]
  (found,) = comparisons.controls(rows)
  p = stats.binomtest(0, 10).pvalue
  assert found == {
    **{'arm': 'hyrea', 'dataset': 'gsm8k', 'accuracy': 1, 'test': 'McNemar'},
    **{'pause': pytest.approx(30 / 41), 'pause_difference': -10 / 40},
    **{'pause_p': pytest.approx(p), 'problems': 41, 'ungraded': 1},
  }
  table = results(Record(rows, [], []))
  assert [row.get('pause') for row in table] == [found['pause'], None, None]
  assert 'hyrea/pause' not in str(papers.hyrea(table))
  sampled = arm('s', ['10', '11'], model='m') + arm(
    's/dropped', ['00', '00'], model='m', control='dropped'
  )
  (found,) = comparisons.controls(sampled)
  assert found['test'] == 'paired bootstrap'
  assert found['dropped_difference'] == -0.75


def test_arms_are_tested_on_the_problems_that_they_share():
  rows = [
    *arm('a', '1' * 30 + '0' * 30),
    *arm('b', '0' * 10 + '1' * 30 + '0' * 15 + '?'),
    *arm('b', '11', 'math'),
  ]
  found, alone = comparisons.paired_tests(rows)
  x, y = [0] * 10 + [1] * 30 + [0] * 15, [1] * 30 + [0] * 25
  assert found['baseline'] == 'a'
  assert found['problems'] == 55
  assert found['difference'] == 0
  assert found['mcnemar_p'] == stats.binomtest(10, 20).pvalue
  assert found['t_test_p'] == pytest.approx(stats.ttest_rel(x, y).pvalue)
  assert found['bootstrap_p'] == pytest.approx(1, abs=0.1)
  assert found['ungraded'] == 1
  assert lacking([found, alone]) == [
    'Not known for any arm: difference, low, high, bootstrap_p, mcnemar_p, '
    't_test_p.'
  ]
  (base, *_) = comparisons.paired_tests([*rows, *BASE])
  assert base['baseline'] == 'base'
  assert comparisons.paired_tests(rows, 'b')[0]['arm'] == 'a'


def test_given_answers_before_and_after():
  rows = [*given('base', -2.0, -0.5, -0.5), *given('rl', -0.5, -1.5, None)]
  before, after = comparisons.out_of_domain(rows)
  assert (before['accuracy'], before['nll']) == pytest.approx((2 / 3, 1))
  assert (after['accuracy'], after['nll']) == (0.5, 1)
  assert (after['problems'], after['unscored']) == (3, 1)
  assert after['accuracy_difference'] == 0
  assert after['nll_difference'] == pytest.approx((-1.5 + 1) / 2)
  assert 'nll_difference' not in before


def test_cosines_within_and_between_data_sets():
  latents = {
    'gsm8k': np.array([[1.0, 2, 0], [0, 3, 1], [2, 0, 1]]),
    'math': np.array([[0.0, 0, 2], [-1, 1, 1]]),
  }
  rows = [times('base')]
  for name, x in latents.items():
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    direction = unit.mean(0).tolist()
    rows.append(times('lrt', name, cosine=0.5, latent_direction=direction))
  between = 1 - cdist(*latents.values(), 'cosine').mean()
  assert comparisons.cosines(rows) == [
    {
      **{'arm': 'lrt', 'dataset': 'gsm8k', 'cosine to gsm8k': 0.5},
      'cosine to math': pytest.approx(between),
    },
    {
      **{'arm': 'lrt', 'dataset': 'math', 'cosine to math': 0.5},
      'cosine to gsm8k': pytest.approx(between),
    },
  ]


def test_names_are_inert_in_every_format():
  hostile = 'a|b\x1b[31m\n&%_\\{'
  table = [{'arm': hostile, 'x': 0.123456}, {'arm': 'b', 'x': None, 'y': None}]
  assert printable(table) == [
    {'arm': 'a¦b�[31m�&%_\\{', 'x': 0.123456},
    {'arm': 'b', 'x': '–'},
  ]
  assert latex_table(table) == (
    '\\begin{tabular}{lr}\n\\toprule\narm & x \\\\\n\\midrule\n'
    'a¦b�[31m�\\&\\%\\_\\textbackslash{}\\{ & 0.1235 \\\\\nb & -- \\\\\n'
    '\\bottomrule\n\\end{tabular}\n'
  )
  (first, second) = csv.DictReader(csv_text(table).splitlines(keepends=True))
  assert first == {'arm': hostile, 'x': '0.123456', 'y': ''}
  assert second['x'] == ''


@pytest.fixture
def folder(tmp_path):
  write(tmp_path / 'eval', [*BASE, *HYREA])
  return tmp_path / 'eval'


def write(folder, samples, answers=()):
  folder.mkdir()
  for name, rows in (('samples', samples), ('given', answers)):
    text = ''.join(map(record_line, rows))
    (folder / f'{name}.jsonl').write_text(text) if rows else None


def test_a_command_prints_the_tables_without_jax(folder, tmp_path):
  flags = '--record', str(folder), '--table=hyrea', f'--out={tmp_path}/out'
  code = (
    'import sys\nfrom experiments.measures import __main__\n'
    '__main__.main()\nassert "jax" not in sys.modules'
  )
  done = subprocess.run(
    [sys.executable, '-c', code, *flags], capture_output=True, text=True
  )
  assert done.returncode == 0, done.stderr
  assert '| hyrea | 0.8333 | 6 | 2 | 2 |' in done.stdout
  assert 'Not known for any arm: mcnemar_p' in done.stdout
  assert '## Controls of the latents\n\nThe record has no rows' in done.stdout
  files = {path.name for path in (tmp_path / 'out').iterdir()}
  names = 'hyrea', 'spans', 'paired_tests'
  assert files == {
    'tables.md', *(f'{n}.{x}' for n in names for x in ('csv', 'tex'))
  }  # fmt: skip
  assert (tmp_path / 'out/tables.md').read_text() in done.stdout


def test_all_tables_of_all_records(folder, tmp_path, capsys, monkeypatch):
  write(tmp_path / 'given', [], given('base', -1.0, -2.0))
  flags = ['--record', str(folder), str(tmp_path / 'given')]
  monkeypatch.setattr(sys, 'argv', ['measures', *flags])
  command.main()
  printed = capsys.readouterr().out
  assert all(f'## {title}\n' in printed for title in command.TITLES.values())
  json.dumps(tables(read(flags[1:])))  # numbers of Python alone


@pytest.mark.parametrize(
  ('flags', 'message'),
  [
    (['{0}', '--baseline=x'], "--baseline='x' is no arm without control: wri"),
    (['{0}/none'], 'none/samples.jsonl does not exist: write the --workdir'),
    (['{0}', '{0}/../more'], "arm 'base' on 'gsm8k' is in "),
  ],
)
def test_a_record_that_cannot_be(
  flags, message, folder, tmp_path, monkeypatch, capsys
):
  write(tmp_path / 'more', BASE)
  flags = ['--record', *(flag.format(folder) for flag in flags)]
  monkeypatch.setattr(sys, 'argv', ['measures', *flags])
  with pytest.raises(SystemExit, match='2'):
    command.main()
  assert message in capsys.readouterr().err
