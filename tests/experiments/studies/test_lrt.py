"""The study of LRT: verdicts that come out either way, its table and figures,
and the whole command in miniature."""

import itertools
import json
import subprocess
import sys

import numpy as np
import pytest

from experiments.configs.running_sums import BUDGETS
from experiments.studies import lrt_arms
from experiments.studies.lrt import STUDY
from experiments.studies.lrt_verdicts import COUNTS, WORDS
from experiments.studies.study import verdicts

STAGES = ('SFT', 'SFT+RL', 'SFT+SFT', 'SFT+RL, shuffled rewards')
SEEDS, PROBLEMS, SAMPLES = 3, 300, 4


def row(arm, seed, accuracy, latents=0, budget=BUDGETS[0], control=''):
  """Grades around an accuracy, easy and difficult problems the same for all."""
  rng = np.random.default_rng([seed, len(arm), latents, budget, len(control)])
  easy = np.random.default_rng(0).uniform(-0.1, 0.1, PROBLEMS)
  share = np.clip(accuracy + easy + 0.004 * (seed - 1), 0, 1)
  return {
    **{'arm': arm, 'seed': seed, 'latents': latents, 'budget': budget},
    **{'control': control, 'samples': SAMPLES, 'problems': PROBLEMS},
    **{'tokens': 5.0, 'worked': 0.5},
    **{'accuracy_worked': 0.8, 'accuracy_bare': 0.6},
    'correct': rng.binomial(SAMPLES, share).tolist(),
  }


def rows(accuracies):
  """Of all arms; `accuracies` has those that differ from 0.3 by (arm, latents,
  control)."""
  arms = [(arm, 0, '', budget) for arm in WORDS for budget in BUDGETS]
  arms += [
    (stage, count, control, BUDGETS[0])
    for stage, count in itertools.product(STAGES, COUNTS)
    for control in ('', 'other_problem', 'pause')
  ]
  return [
    row(arm, seed, accuracies.get((arm, latents, control), 0.3), latents,
        budget, control)
    for arm, latents, control, budget in arms
    for seed in range(SEEDS)
  ]  # fmt: skip


OWN = ('SFT+RL', 8, '')
SHOWN = {OWN: 0.7, ('SFT', 8, ''): 0.5}


def found(accuracies, claim):
  return verdicts(STUDY, rows(accuracies))[claim]


@pytest.mark.parametrize('claim', [22, 23, 24, 25])
def test_a_claim_is_shown_where_it_holds(claim):
  verdict = found(SHOWN, claim)
  assert verdict.verdict == 'shown'
  assert '3 seeds, 300 problems' in verdict.ours


@pytest.mark.parametrize(
  ('claim', 'changed', 'verdict'),
  [
    (22, {('LC-R1', 0, ''): 0.8}, 'refuted'),
    (22, {('thinking', 0, ''): 0.8}, 'refuted'),
    (22, {('SFT+RL', 8, 'other_problem'): 0.8}, 'refuted'),
    (22, {('SFT+RL', 8, 'pause'): 0.7}, 'shown'),
    (23, {OWN: 0.5, ('NoThinking', 0, ''): 0.9}, 'refuted'),
    (23, {OWN: 0.5, (*OWN[:2], 'other_problem'): 0.9}, 'refuted'),
    (24, {('SFT', 32, ''): 0.8}, 'refuted'),
    (24, {('SFT', 2, ''): 0.8}, 'refuted'),
    (25, {('SFT+SFT', 8, ''): 0.8}, 'refuted'),
    (25, {('SFT', 8, ''): 0.9}, 'refuted'),
  ],
)
def test_and_refuted_where_it_does_not(claim, changed, verdict):
  assert found(SHOWN | changed, claim).verdict == verdict


def test_seeds_that_disagree_are_no_verdict():
  some = rows(SHOWN)
  for one in some:
    if (one['arm'], one['latents'], one['control']) == OWN and one['seed']:
      one['correct'] = [4 if one['seed'] == 1 else 1] * PROBLEMS
  assert verdicts(STUDY, some)[25].verdict == 'out of reach here'


@pytest.mark.parametrize(
  ('half', 'verdict'), [(0.93, 'shown'), (0.6, 'refuted')]
)
def test_half_of_the_tokens(half, verdict):
  fragments = [
    {
      **{'arm': 'fragments', 'seed': 0, 'kind': kind, 'share': share},
      **{'accuracy': accuracy, 'standard_error': 0.01, 'n': 100},
    }
    for kind in ('token', 'step')
    for share, accuracy in ((0.0, 0.95), (0.5, half), (1.0, 0.1))
  ]
  assert verdicts(STUDY, fragments)[21].verdict == verdict


@pytest.mark.parametrize(('equal', 'verdict'), [(9, 'shown'), (8, 'refuted')])
def test_modes(equal, verdict):
  modes = {
    **{'arm': 'modes', 'seed': 0, 'completions': 9, 'equal': equal},
    **{'log_prob_difference': 1e-6, 'latent_completions': 9},
    'latent_equal': 0,
  }
  assert verdicts(STUDY, [modes])[26].verdict == verdict


def test_missing_rows_are_no_verdict():
  some = [x for x in rows(SHOWN) if x['arm'] != 'LC-R1']
  assert [*verdicts(STUDY, some)] == [23, 24, 25]


@pytest.mark.parametrize(
  ('claim', 'arm', 'latents'), [(24, 'SFT', 32), (25, 'SFT+SFT', 8)]
)
def test_an_arm_that_was_not_run_leaves_it_out_of_reach(claim, arm, latents):
  some = rows(SHOWN)
  some = [x for x in some if (x['arm'], x['latents']) != (arm, latents)]
  verdict = verdicts(STUDY, some)[claim]
  assert verdict.verdict == 'out of reach here'
  assert 'not run' in verdict.controls + verdict.why


def test_one_seed_refutes_nothing():
  some = rows(SHOWN | {('SFT', 8, ''): 0.9})
  alone = [x for x in some if not x['seed']]
  assert verdicts(STUDY, some)[25].verdict == 'refuted'
  assert verdicts(STUDY, alone)[25].verdict == 'out of reach here'


def test_the_table_and_the_figures(tmp_path):
  some = rows(SHOWN)
  table = STUDY.table(some)
  assert len(table) == len(some) // SEEDS
  (own,) = [x for x in table if (x['arm'], x['latents'], x['control']) == OWN]
  grades = [
    x['correct'] for x in some if (x['arm'], x['latents'], x['control']) == OWN
  ]
  accuracy = np.mean(grades) / SAMPLES
  assert own['accuracy'].startswith(f'{accuracy:.3f} [') and own['seeds'] == 3
  STUDY.figure(some, tmp_path)
  assert {x.name for x in tmp_path.glob('*.png')} == {
    'lrt.png',
    'lrt_latents.png',
  }
  svg = (tmp_path / 'lrt.svg').read_text()
  assert all(arm in svg for arm in (*WORDS, 'latents of another problem'))


def test_every_cell_has_a_file_of_its_own():
  names = [cell.name for cell in STUDY.cells(3)]
  assert len({*names}) == len(names)


def test_the_form_of_an_answer(monkeypatch):
  completions = ['<think>1\n</think> 4 5 6 #### 6', '<think></think> #### 6']
  samples = [
    {'arm': 'x', 'completion': text, 'correct': grade}
    for text, grade in zip(completions * 2, (1.0, 0.0, 1.0, None), strict=True)
  ]
  monkeypatch.setattr(lrt_arms, 'read_record', lambda folder: samples)
  (row,) = lrt_arms.with_forms([{'evaluated': 'x'}], None)
  assert row['worked'] == 0.5
  assert row['accuracy_worked'] == 1 and row['accuracy_bare'] == 0


SMALL = """
import sys
from experiments.configs import running_sums
from experiments.studies import lrt, lrt_arms
for module in lrt, lrt_arms:
  module.PROBLEMS, module.FRAGMENTS = 32, 16
lrt_arms.COMPLETIONS, lrt_arms.UPDATES, lrt_arms.RL_STEPS = 256, 5, 3
lrt_arms.SHORTER_STEPS = 2
published = running_sums.get_config
def get_config(argument):
  config = published(argument).unlock()
  config.max_steps = min(config.max_steps, 2)
  if 'generate' in config:
    config.generate.min_reward = float('-inf')
  config.rollout.prompts_per_step = 4
  # Two steps teach no short answers.
  config.rollout.max_completion_length = running_sums.COMPLETION
  config.eval.num_prompts = 8
  return config.lock()
running_sums.get_config = get_config
lrt.main(lrt.STUDY, '')
"""


@pytest.mark.slow
def test_the_command_runs_and_resumes(tmp_path):
  command = [sys.executable, '-c', SMALL, f'--workdir={tmp_path}', '--seeds=1']
  for _ in range(2):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert not done.returncode, done.stderr[-2000:]
  lines = (tmp_path / 'results.jsonl').read_text().splitlines()
  cells = {json.loads(line)['cell'] for line in lines}
  assert cells == {cell.name for cell in STUDY.cells(1)}
  assert all(f'claim {i}:' in done.stdout for i in STUDY.verdicts)
  assert (tmp_path / 'lrt.png').exists()
