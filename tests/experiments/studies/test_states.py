"""The study of moves: its cells, and a verdict that comes out either way."""

import numpy as np
import pytest

from experiments.configs import states as config
from experiments.studies import states
from experiments.studies.states import METHODS, ONE_LAYER, STUDY, cells, table
from experiments.studies.study import run_cell, verdicts

BESIDE = {'no_cot', 'codi'}  # of one task


def row(setting, arm, seed, accuracy, control=''):
  correct = np.random.default_rng(seed).random(400) < accuracy
  return {
    **setting._asdict(),
    **{'arm': arm, 'seed': seed, 'control': control, 'samples': 1},
    'correct': correct.astype(int).tolist(),
  }


def outcome(own, swapped, pause, dropped=0.1, seeds=3, settings=ONE_LAYER):
  return [
    row(setting, arm, seed, accuracy, control)
    for setting in settings
    for seed in range(seeds)
    for arm, accuracy, control in (
      ('latents', own, ''),
      ('latents', swapped, 'other_problem'),
      ('pause', pause, ''),
      ('dropped', dropped, ''),
    )
  ]


def found(rows):
  return verdicts(STUDY, rows)[27]


@pytest.mark.parametrize(
  ('accuracies', 'expected'),
  [
    ((0.97, 0.1, 0.12), 'shown'),
    ((0.97, 0.9, 0.12), 'refuted'),  # the content does not matter
    ((0.97, 0.1, 0.97), 'refuted'),  # pause tokens are enough
    ((0.1, 0.1, 0.1), 'refuted'),
    ((0.5, 0.1, 0.12), 'out of reach here'),  # not learned well
    ((0.97, 0.1, 0.12, 0.6), 'out of reach here'),
  ],
)
def test_the_content_of_latents_matters_or_not(accuracies, expected):
  verdict = found(outcome(*accuracies))
  assert verdict.verdict == expected
  assert '3 seeds' in verdict.ours and '400 problems' in verdict.ours


def test_one_number_of_moves_can_refute():
  first, *rest = ONE_LAYER
  rows = outcome(0.97, 0.1, 0.12, settings=rest)
  assert found(rows).verdict == 'shown'
  rows += outcome(0.97, 0.95, 0.12, settings=[first])
  assert found(rows).verdict == 'refuted'


def test_only_seeds_that_all_arms_have_count():
  rows = outcome(0.97, 0.1, 0.12, settings=ONE_LAYER[:1])
  assert '2 seeds' in found(rows[:-1]).ours
  assert 27 not in verdicts(STUDY, [x for x in rows if x['arm'] != 'pause'])


def test_table_and_figure_show_what_is_there(tmp_path):
  rows = outcome(0.97, 0.1, 0.12)
  lines = table(rows)
  assert [line['arm'] for line in lines[:3]] == ['latents', 'pause', 'dropped']
  assert lines[0]['other_problem'] == '0.099' and lines[1]['dropped'] == '–'
  STUDY.figure(rows, tmp_path)
  assert (tmp_path / 'states.png').exists()


def test_each_seed_has_all_arms():
  names = [cell.name for cell in cells(2)]
  assert len({*names}) == len(names)
  for setting in ONE_LAYER:
    for arm in METHODS if setting is ONE_LAYER[0] else {*METHODS} - BESIDE:
      assert {f'{arm}-{setting}-seed{x}' for x in (0, 1)} <= {*names}


@pytest.mark.slow
@pytest.mark.parametrize('arm', METHODS)
def test_an_arm_runs(arm, tmp_path, monkeypatch):
  monkeypatch.setitem(config.SIZES, 'whole', (4, 2, 2))
  monkeypatch.setattr(states, 'PROBLEMS', 16)
  (cell,) = (x for x in cells(1) if x.name == f'{arm}-{ONE_LAYER[0]}-seed0')
  run_cell(cell, tmp_path)
  lines = (tmp_path / 'cells' / f'{cell.name}.jsonl').read_text().splitlines()
  assert len(lines) == (4 if arm in ('latents', 'codi') else 1)
