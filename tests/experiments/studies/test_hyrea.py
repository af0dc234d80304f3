"""The study of HyRea: its cells, and verdicts that come out either way."""

import json
from pathlib import Path

import numpy as np
import pytest

from experiments.configs import dial as config
from experiments.studies import hyrea_arms
from experiments.studies.hyrea import STUDY, cells, figure, table
from experiments.studies.hyrea_arms import (
  EARLY,
  MORE,
  UPDATES,
  WIDE,
  replaced,
  steps_of,
)
from experiments.studies.study import Verdict, run_cell, verdicts

PROBLEMS = 400


def row(arm: str, accuracy: float, seed: int = 0, **more) -> dict:
  rng = np.random.default_rng(seed)
  updates = EARLY if arm.startswith('grpo') else UPDATES
  usual = dict(control='', sampling='greedy', updates=updates, weight=4.0, c=1)
  latent = arm in ('entropy', 'random', 'grpo')
  correct = (rng.random(PROBLEMS) < accuracy).astype(int).tolist()
  return {
    **{'arm': arm, 'seed': seed, 'samples': 1, 'problems': PROBLEMS},
    **usual,
    **{'correct': correct, 'switches': 4.0 * latent, 'curve': [[0, 0.0, 1, 0]]},
    **{'tokens': 11.0 if latent else 27.0, 'tokens_with_marks': 19.0},
    **more,
  }


def over_seeds(arm: str, accuracy: float, **more) -> list[dict]:
  return [row(arm, accuracy, seed, **more) for seed in range(3)]


def found(claim: int, *groups: list[dict]) -> Verdict:
  return STUDY.verdicts[claim]([row for rows in groups for row in rows])


@pytest.mark.parametrize(
  ('accuracy', 'other', 'tokens', 'expected'),
  [
    (0.97, 0.08, 11.0, 'shown'),
    (0.60, 0.08, 11.0, 'refuted'),
    (0.97, 0.95, 11.0, 'refuted'),  # the latents carry nothing
    (0.97, 0.08, 20.0, 'refuted'),
  ],
)
def test_half_of_the_tokens(accuracy, other, tokens, expected):
  verdict = found(
    12,
    over_seeds('entropy', accuracy, tokens=tokens, width=WIDE.width),
    over_seeds('entropy', other, control='other_problem', width=WIDE.width),
    over_seeds('none', 0.97, width=WIDE.width),
    over_seeds('entropy', 0.1),  # the narrow model does not count
    over_seeds('pause', 0.1),
    over_seeds('drop', 0.5),
  )
  assert verdict.verdict == expected
  assert '3 seeds, 400 problems' in verdict.ours


@pytest.mark.parametrize(
  ('after', 'more', 'expected'),
  [(0.9, 0.6, 'shown'), (0.5, 0.8, 'refuted'), (0.7, 0.7, 'refuted')],
)
def test_rl_against_as_many_more_updates(after, more, expected):
  verdict = found(
    17,
    over_seeds('grpo', after, updates=EARLY),
    over_seeds('grpo', 0.1, updates=EARLY, control='other_problem'),
    over_seeds('grpo_drop', 0.5, updates=EARLY),
    over_seeds('drop', 0.5, updates=MORE),
    over_seeds('entropy', 0.6, updates=EARLY),
    over_seeds('entropy', more, updates=MORE),
    over_seeds('entropy', 0.9),
  )
  assert verdict.verdict == expected


def by_spans(arm: str, accuracies: list[float], **more) -> list[dict]:
  return [
    row(arm, 0.5, seed, sampling='sample', updates=updates, weight=weight,
        **more, by_switches={
          str(n): [200, round(200 * (x + 0.01 * seed)), 200 * (27 - 4 * n)]
          for n, x in enumerate(accuracies)
        })
    for seed in range(3) for weight in (1.0, 4.0)
    for updates in (EARLY, UPDATES)
  ]  # fmt: skip


@pytest.mark.parametrize(
  ('entropy', 'random', 'expected'),
  [
    ([0.9, 0.9, 0.8, 0.8, 0.7], [0.9, 0.8, 0.7, 0.6, 0.4], 'shown'),
    ([0.9, 0.7, 0.6, 0.5, 0.5], [0.9, 0.8, 0.8, 0.7, 0.7], 'refuted'),
    ([0.9, 0.8, 0.7, 0.6, 0.5], [0.2, 0.8, 0.7, 0.6, 0.5], 'refuted'),
  ],
)
def test_entropy_and_random_at_equal_spans(entropy, random, expected):
  verdict = found(
    15,
    by_spans('entropy', entropy),
    by_spans('random', random),
    over_seeds('entropy', 0.1),  # greedy does not count
    over_seeds('random', 0.9),
    over_seeds('random', 0.1, control='other_problem'),
  )
  assert verdict.verdict == expected


def test_rare_numbers_of_spans_do_not_count():
  rows = by_spans('entropy', [0.9] * 5)
  for x in rows:
    x['by_switches']['4'] = [49, 0, 49]
  verdict = found(
    15, rows, by_spans('random', [0.9] * 5), over_seeds('entropy', 0.9),
    over_seeds('random', 0.9),
    over_seeds('random', 0.1, control='other_problem'),
  )  # fmt: skip
  assert verdict.ours.startswith('entropy minus random at equal spans +0.000')


@pytest.mark.parametrize(
  ('eight', 'expected'), [(0.3, 'shown'), (0.8, 'refuted')]
)
def test_eight_latents_collapse_or_not(eight, expected):
  verdict = found(
    16,
    by_spans('entropy', [0.8] * 5),
    by_spans('entropy', [eight] * 5, c=8),
    over_seeds('entropy', 0.05, c=1),  # greedy does not count
    over_seeds('entropy', 0.9, c=8),
    over_seeds('entropy', 0.1, c=8, control='other_problem'),
  )
  assert verdict.verdict == expected


def test_a_claim_without_all_of_its_rows_has_no_verdict():
  assert 12 not in verdicts(STUDY, over_seeds('entropy', 0.9))


def test_steps_of_a_completion_and_what_spans_replace():
  tokens = [' Next', ' +9', '<s>', '<l>', '<l>', '<e>', ' Hence', ' the',
            ' dial', ' shows', ' 1', ' ####', ' 1']  # fmt: skip
  sample = {
    'tokens': tokens,
    'latent': [text == '<l>' for text in tokens],
    'marks': [2, 5],
  }
  assert steps_of(sample) == [False, True, False]
  shares = replaced([sample, sample])
  assert shares == {'choice': 0, 'work': 1, 'check': 0, 'completions': 2}
  # Half a turn is not counted: which step is replaced is not known.
  half = {'tokens': tokens[:6], 'latent': sample['latent'][:6], 'marks': [2, 5]}
  assert replaced([half])['completions'] == 0


@pytest.mark.slow
def test_the_cells_run_and_a_second_time_do_nothing(tmp_path, monkeypatch):
  """Five to fifteen updates of each kind of arm, on real data."""
  for name, value in dict(UPDATES=15, EARLY=5, RL_STEPS=5, MORE=10,
                          PROBLEMS=16).items():  # fmt: skip
    monkeypatch.setattr(hyrea_arms, name, value)
  monkeypatch.setattr(config, 'STAGE', 2)
  monkeypatch.setattr(config, 'WORDS', 4)
  names = ['entropy-c1-w4-seed0', 'grpo-seed0', 'pause-c1-w4-seed0',
           'base-seed0', 'entropy-c2-w4-seed0', 'coconut-c1-w4-seed0',
           'drop-c1-w4-seed0', 'wide-base-seed0']  # fmt: skip
  some = [cell for cell in cells(1) if cell.name in names]
  assert len(some) == len(names)
  for cell in some:
    run_cell(cell, tmp_path)
  files = sorted((tmp_path / 'cells').iterdir())
  rows = [json.loads(x) for path in files for x in path.read_text().split('\n')
          if x]  # fmt: skip
  assert {x['control'] for x in rows if x['arm'] == 'entropy'} == {
    *('', 'other_problem', 'pause', 'dropped')
  }
  assert {x['arm'] for x in rows} == {
    *('entropy', 'grpo', 'pause', 'base', 'soft_thinking', 'coconut', 'drop'),
  }
  assert len(table(rows)) == len(
    {
      (x['arm'], x.get('width'), x.get('c'), x['updates'], x['sampling'])
      for x in rows
    }
  )
  before = {path: path.stat().st_mtime_ns for path in Path(tmp_path).rglob('*')}
  for cell in some:
    run_cell(cell, tmp_path)
  assert before == {
    path: path.stat().st_mtime_ns for path in Path(tmp_path).rglob('*')
  }
  for x in rows:
    x['updates'] = {5: EARLY, 15: UPDATES}.get(x['updates'], x['updates'])
  figure(rows, tmp_path)
  assert (tmp_path / 'hyrea.png').stat().st_size > 10_000
