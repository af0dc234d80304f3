"""The study of HRPO: its arms, and verdicts that come out either way."""

import json

import numpy as np
import pytest

from experiments.configs import hrpo_gsm8k
from experiments.studies import hrpo_arms
from experiments.studies.hrpo import STUDY, table
from experiments.studies.hrpo_arms import ARMS, cells, config_of
from experiments.studies.hrpo_verdicts import decay_alone
from experiments.studies.study import Verdict, main, verdicts

RATIO = ('HRPO', 'HRPO, no decay', 'HRPO, shuffled rewards',
         'HRPO, no decay, shuffled rewards')  # fmt: skip


def training(arm: str, seed: int, **curves: list[float]) -> dict:
  return {'arm': arm, 'seed': seed, 'control': 'training', 'curves': curves}


def final(arm: str, seed: int, accuracy: float, control: str = '') -> dict:
  correct = np.random.default_rng(seed).random(400) < accuracy
  return {
    **{'arm': arm, 'seed': seed, 'control': control, 'samples': 1},
    **{'correct': correct.astype(int).tolist(), 'hidden_ratio': 0.16},
  }


def ratios(*growths: float) -> list[dict]:
  """Of the four arms, with seeds that differ by 0.002."""
  return [
    training(arm, seed, hidden_ratio=list(
      np.linspace(0.16, 0.16 + growth + 0.001 * (seed - 1), 100)))
    for arm, growth in zip(RATIO, growths, strict=True)
    for seed in range(3)
  ]  # fmt: skip


def found(claim: int, rows: list[dict]) -> Verdict:
  return verdicts(STUDY, rows)[claim]


@pytest.mark.parametrize(
  ('growths', 'expected'),
  [
    ((0.10, 0.05, 0.05, 0.0), 'shown'),
    ((0.05, 0.0, 0.05, 0.0), 'refuted'),  # all of it is the decay's
    ((0.04, -0.01, 0.05, 0.0), 'refuted'),
    ((-0.05, -0.05, -0.10, -0.10), 'refuted'),  # less negative is no growth
    ((0.08, 0.03, 0.05, 0.0), 'shown'),
  ],
)
def test_the_ratio_grows_beyond_decay_and_noise_or_not(growths, expected):
  verdict = found(4, ratios(*growths))
  assert verdict.verdict == expected
  assert '3 seeds' in verdict.ours


def test_seeds_that_disagree_are_no_verdict():
  rows = ratios(0.08, 0.03, 0.05, 0.0)
  for row in rows[:6]:  # HRPO's
    row['curves']['hidden_ratio'][-10:] = [0.2 + 0.1 * row['seed']] * 10
  assert found(4, rows).verdict == 'out of reach here'


def test_only_seeds_that_all_arms_have_count():
  rows = ratios(0.10, 0.05, 0.05, 0.0)
  assert '2 seeds' in found(4, rows[:-1]).ours
  assert 4 not in verdicts(STUDY, rows[:-2])  # one has no interval


@pytest.mark.parametrize(
  ('hrpo', 'grpo', 'expected'),
  [(0.9, 0.6, 'shown'), (0.6, 0.9, 'refuted'), (0.7, 0.7, 'out of reach here')],
)
def test_accuracies_are_paired(hrpo, grpo, expected):
  rows = [final('GRPO', seed, grpo) for seed in range(3)]
  rows += [final('HRPO', seed, hrpo) for seed in range(3)]
  rows += [final('PPO', 0, 0.5)]
  rows += [final('HRPO', 0, hrpo, x) for x in ('dropped', 'other_problem')]
  if expected == 'out of reach here':
    rows[0]['correct'][:20] = [0] * 20
    rows[1]['correct'][:20] = [1] * 20
  verdict = found(1, rows)
  assert verdict.verdict == expected
  assert '3 seeds, 400 problems' in verdict.ours


@pytest.mark.parametrize(
  ('end', 'steps', 'expected'),
  [
    (0.1, 100, 'shown'),
    (0.9, 100, 'out of reach here'),  # the paper has it later
    (0.9, 300, 'refuted'),
    (0.6, 300, 'out of reach here'),
  ],
)
def test_interpolated_rewards_rise_then_fall_or_not(
  end, steps, expected, monkeypatch
):
  arm = ARMS['interpolated']._replace(steps=steps)
  monkeypatch.setitem(ARMS, 'interpolated', arm)
  rise = np.linspace(0.5, 0.9, 50).tolist()
  rows = [
    training('interpolated', 0, reward=rise + [end] * 50),
    training('GRPO, worked base', 0, reward=rise + [0.9] * 50),
    final('interpolated', 0, end),
  ]
  assert found(3, rows).verdict == expected


@pytest.mark.parametrize(
  ('accuracy', 'expected'), [(0.05, 'shown'), (0.6, 'refuted')]
)
def test_hidden_states_collapse_or_not(accuracy, expected):
  rows = [
    training('direct', 0, reward=[accuracy] * 20),
    final('direct', 0, accuracy),
    final('worked base', 0, 0.6),
    final('GRPO, worked base', 0, 0.9),
  ]
  assert found(2, rows).verdict == expected


@pytest.mark.parametrize(
  ('hrpo', 'expected'), [(15, 'shown'), (19.9, 'refuted'), (25, 'refuted')]
)
def test_completions_shorten_or_not(hrpo, expected):
  rows = [
    training(arm, seed, length=[length + 0.01 * seed] * 20)
    for arm, length in (('HRPO', hrpo), ('GRPO', 20), (RATIO[2], 18))
    for seed in range(3)
  ]
  assert found(5, rows).verdict == expected


def test_decay_alone_is_the_gate_with_a_smaller_lambda():
  start, end = decay_alone(100)
  assert start == pytest.approx(0.1655, abs=0.01)  # logged at step 0
  # u^r by hand, for the channel in the middle.
  u, same = 0.9745, decay_alone(0)
  decay = -np.log(np.expm1(-np.log(u) / 8))
  grown = np.log1p(np.exp(-decay * 0.999**100)) / np.log1p(np.exp(-decay))
  assert same[0] == same[1] == start
  assert end / start == pytest.approx(np.sqrt(grown), rel=0.02)


def test_arms_differ_from_the_paper_by_what_their_names_say():
  groups = hrpo_gsm8k.get_config().optimizer.groups
  own, plain, shuffled, both = (
    config_of(ARMS[name], 'FOLDER', seed=1) for name in RATIO
  )
  decays = lambda config: {
    name: group.weight_decay for name, group in config.optimizer.groups.items()
  }
  assert (
    decays(own)
    == decays(shuffled)
    == {
      'model': groups.lora.weight_decay,
      'gate': groups.gate.weight_decay,
      'decay': groups.decay.weight_decay,
    }
  )
  assert set(decays(plain).values()) == set(decays(both).values()) == {0.0}
  function = 'shuffled:group_relative'
  assert shuffled.advantage.function == both.advantage.function == function
  assert own.advantage.function == 'advantages:group_relative'
  same = shuffled.copy_and_resolve_references().unlock()
  same.advantage.function = own.advantage.function
  assert same.to_dict() == own.to_dict()


def test_every_arm_has_the_first_seed_before_any_has_the_second():
  names = [cell.name for cell in cells(2)]
  assert names[:2] == ['base-mixed', 'base-worked']
  first = [name for name in names[2:] if name.endswith('-0')]
  assert names[2 : 2 + len(ARMS)] == first and len(first) == len(ARMS)
  assert len(names) == len(set(names)) == 2 + len(ARMS) + 5


@pytest.mark.slow
def test_the_command_trains_and_evaluates(tmp_path, monkeypatch):
  monkeypatch.setattr(hrpo_arms, 'PROBLEMS', 64)
  monkeypatch.setattr(hrpo_arms, 'BASES', {'mixed': ('mixed', 2, 'cosine')})
  arms = {name: ARMS[name]._replace(steps=2) for name in RATIO[::3]}
  monkeypatch.setattr(hrpo_arms, 'ARMS', arms)
  argv = ['hrpo', f'--workdir={tmp_path}', '--seeds=1']
  monkeypatch.setattr('sys.argv', argv)
  main(STUDY, None)
  lines = (tmp_path / 'results.jsonl').read_text().splitlines()
  rows = [json.loads(line) for line in lines]
  assert [(row['arm'], row['control']) for row in rows] == [
    ('mixed base', ''),
    *(
      (RATIO[0], control)
      for control in ('', 'other_problem', 'pause', 'dropped', 'training')
    ),
    *((RATIO[3], control) for control in ('', 'training')),
  ]
  for row in rows:
    if row['control'] == 'training':
      assert {len(x) for x in row['curves'].values()} == {2}
    else:
      assert len(row['correct']) == row['problems'] == 64
  assert len(table(rows)) == 3
