"""A search: its ranges, its trials, and that it goes on where it was."""

import json
from pathlib import Path

import pytest

from experiments.sweep.grid import Cell
from experiments.sweep.search import Search, space

optuna = pytest.importorskip('optuna', reason='the extra `sweep`')
# Of Optuna's journal, which leaves its file to the garbage collector.
pytestmark = pytest.mark.filterwarnings('ignore:unclosed file')

of = optuna.distributions
X = 'config.x=0..1'


def test_a_range_says_what_it_holds():
  assert space(
    'config.a=1e-6..1e-4:log; config.b=4..16:4; config.c=0..1; '
    'config.d=0..1:0.25; argument=x,grpo|x,hrpo; config.e=1..1000:log'
  ) == {
    'config.a': of.FloatDistribution(1e-6, 1e-4, log=True),
    'config.b': of.IntDistribution(4, 16, step=4),
    'config.c': of.IntDistribution(0, 1),
    'config.d': of.FloatDistribution(0, 1, step=0.25),
    'argument': of.CategoricalDistribution(('x,grpo', 'x,hrpo')),
    'config.e': of.IntDistribution(1, 1000, log=True),
  }


@pytest.mark.parametrize(
  'text', ['config.a=1..', 'config.a=2..1', 'config.a=1..2:lg', 'config.a=a..b']
)
def test_a_range_that_is_none_is_told(text):
  with pytest.raises(
    ValueError, match=r'write LOW\.\.HIGH, LOW\.\.HIGH:log or'
  ):
    space(text)


def run(folder: Path, metric: str, *values) -> Cell:
  folder.mkdir()
  rows = [json.dumps({'step': i, metric: x}) for i, x in enumerate(values)]
  (folder / 'metrics.jsonl').write_text('\n'.join(rows))
  return Cell('', {}, None, [], folder)


def test_a_search_learns_and_goes_on(tmp_path):
  """The best of x is 0.7; what was open is taken up, what ended is known."""
  search = lambda: Search('config.x=0..1:0.001', tmp_path / 'w', 'm', False)
  first = search()
  trials = []
  for number, point in first.points(20):
    trials.append(point)
    if number == 17:
      break  # the sweep is stopped
    value = -abs(float(point['config.x']) - 0.7)
    first.report(number, run(tmp_path / str(number), 'm', 0, value))
  again = search().points(20)
  assert [next(again)[1] for _ in range(18)] == trials
  rest = [point for _, point in again]
  assert len(rest) == 2
  seen = [float(point['config.x']) for point in trials]
  assert min(abs(x - 0.7) for x in seen[10:]) < 0.05
  assert len({*seen, *(float(p['config.x']) for p in rest)}) > 15


def test_a_metric_that_is_not_there_is_told(tmp_path):
  search = Search(X, tmp_path / 'w', 'eval/acuracy', False)
  ((number, _),) = search.points(1)
  with pytest.raises(ValueError, match=r"acuracy: .* has \['reward', 'step'\]"):
    search.report(number, run(tmp_path / 'r', 'reward', 1.0))


def test_a_run_without_a_number_teaches_nothing(tmp_path):
  search = Search(X, tmp_path / 'w', 'm', True)
  ((number, _),) = search.points(1)
  search.report(number, run(tmp_path / 'r', 'm', 1.0, None))
  assert [n for n, _ in search.points(2)] == [0, 1]
