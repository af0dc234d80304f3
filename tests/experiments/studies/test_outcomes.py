"""Intervals over seeds and problems, against scipy and against samples of a
known distribution."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from experiments.studies import board
from experiments.studies.outcomes import (
  difference,
  estimate,
  grades,
  pass_at_k,
  shown,
)
from experiments.studies.study import (
  Cell,
  MissingRowsError,
  Study,
  Verdict,
  rows_in,
  run_cell,
  select,
  verdicts,
)


def test_one_seed_is_the_paired_t_test_over_problems():
  rng = np.random.default_rng(0)
  a, b = rng.integers(0, 2, (2, 1, 300)).astype(float)
  found, expected = difference(a, b), stats.ttest_rel(a[0], b[0])
  interval = expected.confidence_interval()
  assert found.p == pytest.approx(expected.pvalue)
  assert found[1:3] == pytest.approx([interval.low, interval.high])


def test_seeds_that_differ_alone_are_the_t_test_over_seeds():
  means = np.array([0.1, 0.3, 0.35])
  values = np.repeat(means[:, None], 50, axis=1)
  found = difference(values, np.zeros((1, 50)))
  expected = stats.ttest_1samp(means, 0)
  assert found.p == pytest.approx(expected.pvalue)
  assert found.low == pytest.approx(expected.confidence_interval().low)


@pytest.mark.parametrize(
  'seeds, problems', [(0.05, 0.0), (0.0, 0.3), (0.02, 0.2)]
)
def test_the_interval_holds_the_mean_as_often_as_it_says(seeds, problems):
  rng, held = np.random.default_rng(1), 0
  for _ in range(300):
    values = 0.2 + rng.normal(0, 0.2, (3, 60))
    values += rng.normal(0, seeds, (3, 1)) + rng.normal(0, problems, (1, 60))
    found = difference(values, np.zeros((1, 60)))
    held += found.low <= 0.2 <= found.high
  assert 0.92 < held / 300 <= 1


def test_pass_at_k_is_the_share_of_subsets_with_a_correct_one():
  row = {'correct': [0, 1, 2, 4], 'samples': 4}
  assert grades([row]).tolist() == [[0, 0.25, 0.5, 1]]
  assert pass_at_k([row], 2)[0] == pytest.approx([0, 1 / 2, 5 / 6, 1])
  assert pass_at_k([row], 4)[0] == pytest.approx([0, 1, 1, 1])


def test_an_accuracy_stays_within_0_and_1():
  found = estimate(np.array([[1.0, 1.0, 1.0], [1.0, 1.0, 0.9]]))
  assert found.low < found.mean < found.high == 1
  assert shown(found) == f'0.983 [{found.low:.3f}, 1.000]'


def study_of(ran: list[str]) -> Study:
  def cell(seed):
    def run(workdir: Path):
      ran.append(f'{workdir.name}/{seed}')
      return [{'arm': 'own', 'seed': seed, 'correct': [1, 0], 'samples': 1}]

    return Cell(f'own-{seed}', run)

  def verdict(rows):
    found = estimate(grades(select(rows, arm='own')))
    select(rows, seed=1)
    return Verdict(shown(found), 'none', 'shown')

  return Study(
    name='coins',
    about='Coins.',
    core_minutes=0,
    cells=lambda seeds: map(cell, range(seeds)),
    verdicts={27: verdict, 26: lambda rows: select(rows, arm='other')},
    table=lambda rows: [{'arm': row['arm']} for row in rows],
    figure=lambda rows, folder: (folder / 'coins.png').touch(),
  )


def test_a_cell_runs_once_and_a_verdict_waits_for_its_rows(tmp_path):
  study = study_of(ran := [])
  first, second = study.cells(2)
  run_cell(first, tmp_path)
  run_cell(first, tmp_path)
  rows = rows_in(tmp_path, study, 2)
  assert [row['seed'] for row in rows] == [0] and len(ran) == 1
  assert rows[0]['commit'] and not verdicts(study, rows)
  run_cell(second, tmp_path)
  rows = rows_in(tmp_path, study, 2)
  assert verdicts(study, rows).keys() == {27}  # 26 has no rows
  lines = (tmp_path / 'results.jsonl').read_text().splitlines()
  assert [json.loads(line) for line in lines] == rows
  with pytest.raises(MissingRowsError, match='arm'):
    select(rows, arm='none')


def test_the_board_has_all_claims_and_leaves_the_page_around_it(
  tmp_path, monkeypatch
):
  monkeypatch.setattr('experiments.studies.study.RAW', tmp_path)
  study = study_of([])
  for cell in study.cells(2):
    run_cell(cell, tmp_path)
  rows_in(tmp_path, study, 2)
  (tmp_path / 'results.jsonl').rename(tmp_path / 'coins.jsonl')
  page = f'before\n{board.BEGIN}\nold\n{board.END}\nafter\n'
  written = board.with_board(page, board.markdown([study]))
  assert written.startswith('before\n') and written.endswith('\nafter\n')
  assert 'old' not in written and written.count('not run') == 26
  assert '| 27 |' in written and '**shown**' in written
  assert board.with_board(written, board.markdown([study])) == written
