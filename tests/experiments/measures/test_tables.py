"""Tables of small records, whose numbers are counted by hand."""

import numpy as np
import pytest
from scipy import stats
from scipy.spatial.distance import cdist

from experiments.measures import comparisons, papers
from experiments.measures.results import Record, results, summary
from experiments.measures.tables import lacking
from tests.experiments.measures.arms import BASE, HYREA, arm, given, times


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
  assert summary([found])[0]['too_long'] == 1
  assert 'too_long' not in summary(results(Record(BASE, [], [])))[0]


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


def test_the_table_of_soft_tokens_of_greedy_arms_has_no_other_pass():
  rows = arm('soft', ['1', '0'], sampling='greedy')
  (found,) = papers.soft_tokens(results(Record(rows, [], [])))
  assert found['gsm8k greedy pass@1'] == 0.5
  assert 'gsm8k pass@1' not in found


def test_the_table_of_lrt_has_budgets_cost_and_averages():
  rows = [
    *arm('a/512', ['1111', '0000'], budget=512),
    *arm('a/512', ['1000', '0000'], 'math', budget=512),
  ]
  cost = [
    times('a/512', cosine=0.25),
    times(
      'a/512',
      'math',
      too_long=3,
      prompts=12,
      seconds_per_question=2.0,
      cosine=0.75,
    ),
  ]
  (found,) = papers.lrt(results(Record(rows, [], cost)))
  assert found['budget'] == 512
  assert found['average pass@1'] == (0.5 + 0.125) / 2
  assert found['average pass@4'] == 0.5
  assert found['average cosine'] == 0.5
  assert found['seconds_per_question'] == 3
  assert found['peak_memory_bytes'] is None
  assert (found['gsm8k too_long'], found['math too_long']) == (0, 3)


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
  (found,) = comparisons.paired_tests(rows)  # of math, b is the baseline
  again, alone = comparisons.paired_tests(rows, 'a')
  assert again == found
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
