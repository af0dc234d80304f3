"""The study of Soft Tokens: verdicts that come out either way."""

import sys

import numpy as np
import pytest

from experiments.studies import soft_tokens
from experiments.studies.soft_tokens import STUDY
from experiments.studies.soft_tokens_rows import best, early
from experiments.studies.study import Row, main, rows_in, verdicts

PROBLEMS = 400
GREEDY = {'base': 0.3, 'hard': 0.6, 'soft': 0.6, 'fuzzy': 0.6,
          'hard, shuffled': 0.3}  # fmt: skip
AT_32 = {'base': 0.9, 'hard': 0.7, 'soft': 0.9, 'fuzzy': 0.9,
         'hard, shuffled': 0.9}  # fmt: skip
NATS = {'base': 0.3, 'hard': 0.5, 'soft': 0.35, 'fuzzy': 0.35,
        'hard, shuffled': 0.3}  # fmt: skip


def scored(
  arm: str, seed: int, step: int, greedy: float, at_32: float, nats: float
) -> list[Row]:
  """A checkpoint whose problems vary around these means."""
  rng = np.random.default_rng([seed, step])
  share = np.clip(at_32 + rng.normal(0, 0.02, PROBLEMS), 0, 0.999)
  same = {'arm': arm, 'seed': seed, 'step': step, 'equal_rewards': 0.1}
  threshold = (np.arange(PROBLEMS) * 7 % PROBLEMS) / PROBLEMS
  columns = {
    'greedy': (threshold < greedy).astype(int).tolist(),
    'probability': (1 - (1 - share) ** (1 / 32)).tolist(),
    'nats': (nats + rng.normal(0, 0.01, PROBLEMS)).tolist(),
  }
  return [same | columns | {'dataset': x} for x in ('in', 'out')]


def study_rows(greedy=(), at_32=(), nats=()) -> list[Row]:
  """Three seeds, each trained arm with a checkpoint of its base's values too;
  hard training passes through the greedy accuracy of soft."""
  greedy, at_32, nats = (
    {**a, **dict(b)}
    for a, b in ((GREEDY, greedy), (AT_32, at_32), (NATS, nats))
  )
  rows = []
  for seed in range(3):
    teacher = {'arm': 'teacher', 'seed': seed, 'dataset': 'in'}
    rows.append(
      teacher | {'held_back': [i % 2 for i in range(PROBLEMS)],
                 'probability': [0.1] * PROBLEMS}
    )  # fmt: skip
    for arm in greedy:
      if arm == 'base':
        rows += scored(arm, seed, 0, greedy[arm], at_32[arm], nats[arm])
      else:
        rows += scored(arm, seed, 50, greedy['base'], at_32['base'], 0.3)
        rows += scored(arm, seed, 100, greedy[arm], at_32[arm], nats[arm])
  return rows


@pytest.mark.parametrize(
  ('changed', 'claim', 'expected'),
  [
    ({}, 7, 'shown'),
    ({'greedy': {'soft': 0.5}}, 7, 'refuted'),
    ({'greedy': {'hard': 0.3}}, 7, 'out of reach here'),
    ({}, 8, 'shown'),
    ({'at_32': {'soft': 0.7}}, 8, 'refuted'),
    ({'at_32': {'soft': 0.5}}, 8, 'refuted'),
    # What learns nothing is as diverse as its base, and no more than that.
    ({'greedy': {'soft': 0.3}}, 8, 'refuted'),
    ({}, 10, 'shown'),
    ({'nats': {'soft': 0.5}}, 10, 'refuted'),
    ({'greedy': {'soft': 0.3}, 'nats': {'soft': 0.3}}, 10, 'refuted'),
  ],
)
def test_a_verdict_comes_out_either_way(changed, claim, expected):
  verdict = verdicts(STUDY, study_rows(**changed))[claim]
  assert verdict.verdict == expected
  assert '3 seeds' in verdict.ours


def sampled(model: str, mode: str, share: float, control: str = '') -> Row:
  number = 1 if 'greedy' in mode else 32
  correct = np.random.default_rng(0).binomial(number, share, 256)
  name = f'{model}-0/{mode}' + f'/{control}' * bool(control)
  return {
    **{'arm': model, 'seed': 0, 'evaluated': name, 'control': control},
    **{'dataset': 'noisy_states', 'samples': number},
    'correct': correct.tolist(),
  }


@pytest.mark.parametrize(
  ('others', 'expected'), [(0.2, 'shown'), (0.8, 'refuted')]
)
def test_the_best_pair_is_found(others, expected):
  rows = [
    sampled(
      model, f'{thinking} {how}',
      0.5 if (model, thinking) == ('soft', 'hard') else others
    )
    for model in ('hard', 'soft', 'fuzzy')
    for thinking in ('hard', 'soft', 'fuzzy')
    for how in ('greedy', 'sample')
  ]  # fmt: skip
  names = 'other_problem', 'pause', 'dropped'
  rows += [sampled('soft', 'soft greedy', 0.1, name) for name in names]
  verdict = verdicts(STUDY, rows)[9]
  assert verdict.verdict == expected
  assert 'pause 0.1' in verdict.controls
  assert ('hard, hard' in verdict.why) == (expected == 'refuted')


@pytest.mark.parametrize(
  ('seconds', 'expected'), [(1.2, 'shown'), (1.3, 'refuted')]
)
def test_the_overhead_is_a_ratio(seconds, expected):
  row = {'arm': 'overhead', 'seed': 0, 'dataset': 'overhead', 'latents': 256}
  verdict = verdicts(STUDY, [row | {'hard': 1.0, 'soft': seconds}])[11]
  assert verdict.verdict == expected
  assert verdict.ours.startswith(f'{seconds:.2f} times')


def test_checkpoints_are_chosen_by_greedy_accuracy_in_validation():
  rows = study_rows({'soft': 0.32})
  chosen = best(rows, 'soft')
  assert [(x['seed'], x['step']) for x in chosen] == [
    (i, 100) for i in range(3)
  ]
  matched = early(rows, chosen)
  assert [(x['arm'], x['step']) for x in matched] == [('base', 0)] * 3
  assert [x['step'] for x in early(rows, best(rows, 'fuzzy'))] == [100] * 3


@pytest.mark.slow
def test_the_command_with_two_steps_per_run(tmp_path, monkeypatch):
  arms = {name: soft_tokens.ARMS[name] for name in ('hard', 'soft')}
  for name, value in {
    **{'BASE_STEPS': 2, 'STEPS': 2, 'EVERY': 1, 'GRID': 8, 'LATENTS': 8},
    **{
      'ARMS': arms,
      'MODELS': ('base', *arms),
      'MODES': soft_tokens.MODES[2:3],
    },  # soft, greedy
  }.items():
    monkeypatch.setattr(soft_tokens, name, value)
  monkeypatch.setattr(
    sys, 'argv', ['soft_tokens', f'--workdir={tmp_path}', '--seeds=1']
  )
  main(STUDY, 'about')
  rows = rows_in(tmp_path, STUDY, 1)
  assert {row['cell'] for row in rows} == {
    *('base-0', 'hard-0', 'soft-0', 'overhead'),
    *('grid-base-0', 'grid-hard-0', 'grid-soft-0'),
  }
  assert {row['control'] for row in rows if 'evaluated' in row} == {
    *('', 'other_problem', 'pause', 'dropped')
  }
  assert verdicts(STUDY, rows).keys() == {8, 11}
