import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from hybrid_latent.rewards.grader import Grader, RewardError

HERE = Path(__file__).parent


@pytest.fixture(autouse=True)
def importable(monkeypatch):
  """The worker imports from where this process would."""
  monkeypatch.syspath_prepend(str(HERE))


def reward(name, **kwargs):
  return {name: {'function': f'hostile:{name}', 'kwargs': kwargs}}


def graded(grader, texts, group=2, **columns):
  columns = {'answer': [''] * len(texts)} | columns
  return grader.submit(texts, columns, group).result()


def alive(pid):
  """Whether a process runs; a zombie does not."""
  try:
    state = Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[0]
  except FileNotFoundError:
    return False
  return state != 'Z'


def gone(pid, seconds=10):
  end = time.monotonic() + seconds
  while alive(pid) and time.monotonic() < end:
    time.sleep(0.02)
  return not alive(pid)


def test_rewards_come_back_in_the_order_of_the_completions():
  texts = ['x' * n for n in range(24)]
  with Grader(reward('length'), workers=3) as grader:
    result = graded(grader, texts, group=3)
  assert result['length'].dtype == np.float32
  np.testing.assert_array_equal(result['length'], np.arange(24))


def test_groups_are_graded_in_parallel_by_separate_processes():
  with Grader(reward('process'), workers=2) as grader:
    pids = graded(grader, [''] * 16)['process']
  assert len(set(pids)) == 2
  assert os.getpid() not in pids


def test_submit_returns_before_the_rewards_are_there():
  with Grader(reward('slow', seconds=0.4), workers=1) as grader:
    start = time.monotonic()
    grading = grader.submit([''] * 2, {}, 1)
    assert time.monotonic() - start < 0.2
    np.testing.assert_array_equal(grading.result()['slow'], [1, 1])


def test_a_reward_is_called_with_one_group_and_its_columns():
  rewards = {'r': {'function': 'hybrid_latent.rewards.hrpo:gsm8k'}}
  texts = ['#### 1', '#### 2', '#### 3', '4']
  with Grader(rewards) as grader:
    result = graded(grader, texts, answer=['1', '1', '3', '4'])
  np.testing.assert_array_equal(result['r'], [1, 0, 1, 0])


def test_a_hanging_reward_costs_its_group_and_no_other(caplog):
  texts = ['a', 'hang', 'b', 'c', 'd', 'e']
  with Grader(reward('hang'), workers=1, timeout_s=0.5) as grader:
    result = graded(grader, texts)
    np.testing.assert_array_equal(result['hang'], [np.nan] * 2 + [1] * 4)
    again = graded(grader, ['f', 'g'])
    np.testing.assert_array_equal(again['hang'], [1, 1])
  assert 'took more than 0.5 s' in caplog.text


@pytest.mark.parametrize('kind', ['crash', 'leave', 'fail'])
def test_a_reward_that_dies_costs_its_group_and_no_other(kind):
  rewards = reward(kind) | reward('length')
  with Grader(rewards, workers=1) as grader:
    result = graded(grader, [kind, 'a', 'b', 'c'])
  np.testing.assert_array_equal(result[kind], [np.nan, np.nan, 1, 1])
  lost = kind == 'crash'  # the process dies with what it had graded
  first = [np.nan] * 2 if lost else [len(kind), 1]
  np.testing.assert_array_equal(result['length'], [*first, 1, 1])


def test_an_error_is_logged_once(caplog):
  with Grader(reward('fail'), workers=1) as grader:
    graded(grader, ['fail', 'a'] * 3 + ['a', 'b'])
    graded(grader, ['fail', 'b'])
  messages = [r.message for r in caplog.records if r.levelno >= logging.WARNING]
  assert len(messages) == 1
  assert "reward 'fail' failed" in messages[0]
  assert 'KeyError' in messages[0]


def test_memory_is_limited():
  with Grader(reward('swallow') | reward('length'), workers=1) as grader:
    result = graded(grader, ['a', 'bc'])
  assert np.isnan(result['swallow']).all()
  np.testing.assert_array_equal(result['length'], [1, 2])


def test_what_a_reward_prints_or_reads_is_no_part_of_the_conversation():
  with Grader(reward('talk'), workers=1) as grader:
    np.testing.assert_array_equal(graded(grader, ['a'] * 4)['talk'], [1] * 4)


def test_none_and_nan_are_nan_and_true_is_one():
  with Grader(reward('unsure'), workers=1) as grader:
    result = graded(grader, ['a'] * 4, group=4)
  np.testing.assert_array_equal(result['unsure'], [np.nan, np.nan, 1, 1])


@pytest.mark.parametrize(
  ('kind', 'what'),
  [
    ('short', '1 rewards for 2 completions'),
    ('infinite', 'infinite in float32'),
  ],
)
def test_malformed_rewards_are_refused(kind, what):
  with (
    Grader(reward(kind), workers=1) as grader,
    pytest.raises(RewardError, match=what),
  ):
    graded(grader, ['a'] * 2)


def test_hostile_texts_arrive_and_are_judged():
  texts = [
    'x' * 10_000_000,
    '(' * 1_000_000,
    '\x00' * 1000,
    '\ud800 \udfff \ufffe \r\n\u2028 ####',
  ]
  rewards = reward('length') | {
    kind: {'function': f'hybrid_latent.rewards.hrpo:{kind}'}
    for kind in ('gsm8k', 'choice', 'boxed_math')
  }
  with Grader(rewards, workers=1, timeout_s=120) as grader:
    result = graded(grader, texts, answer=['1'] * 4)
  np.testing.assert_array_equal(result['length'], [len(t) for t in texts])
  for kind in ('gsm8k', 'choice', 'boxed_math'):
    np.testing.assert_array_equal(result[kind], [0] * 4)


def test_every_other_reward_judges_hostile_texts_too():
  """Members of one group; what they do to one does not touch the others."""
  texts = [
    '<start-latent><latent><end-latent>14</think> \\boxed{14}',
    r'\boxed{9^{9^{9^{9}}}} #### 9^{9^{9^{9}}}',
    '</think>' + '(' * 100_000 + ' #### ' + '14.' * 10_000,
    '\\boxed{' * 10_000 + '\x00\ud800' + '}' * 10_000,
    'x' * 1_000_000,
    '',
  ]
  names = {
    'soft_tokens': 'soft_tokens:soft_tokens',
    'latent': 'hyrea:latent',
    'exact': 'answers:exact',
    'knowledge': 'knowledge:knowledge',
    'shorter_better': 'lengths:shorter_better',
    'lc_r1': 'lengths:lc_r1',
    'soft_overlong': 'lengths:soft_overlong',
  }
  rewards = {
    name: {'function': f'hybrid_latent.rewards.{path}'}
    for name, path in names.items()
  }
  rewards['soft_overlong']['kwargs'] = {'limit': 6, 'buffer': 4}
  rewards['lc_r1']['kwargs'] = {'kind': 'number'}
  ids = [np.arange(n + 1) for n in range(6)]
  with Grader(rewards, workers=1, timeout_s=60) as grader:
    result = graded(grader, texts, 6, answer=['14'] * 6, completion_ids=ids)
  expected = {
    'soft_tokens': [100, 10, 0, 10, 0, 0],
    'latent': [1, 0, 0, 0, 0, 0],
    'exact': [0] * 6,
    'knowledge': [0] * 6,
    'shorter_better': 0.001 * np.array([2000, -1, -2, -3, -4, -5]),
    'lc_r1': [0, -1, -2, -3, -4, -5],
    'soft_overlong': [0, 0, -0.25, -0.5, -0.75, -1],
  }
  for name in names:
    np.testing.assert_allclose(result[name], expected[name], atol=1e-3)


def test_a_worker_has_no_jax():
  rewards = {
    'accuracy': {'function': 'hybrid_latent.rewards.math:accuracy'},
    'gsm8k': {'function': 'hybrid_latent.rewards.hrpo:gsm8k'},
  }
  with Grader(rewards | reward('modules'), workers=1) as grader:
    result = graded(grader, ['#### 1', '2'], answer=['1', '2'])
  np.testing.assert_array_equal(result['modules'], [0, 0])
  np.testing.assert_array_equal(result['accuracy'], [1, 1])


@pytest.mark.parametrize(
  ('function', 'what'),
  [
    ('hybrid_latent.rewards.hrpo:gsm9k', 'boxed_math.*choice.*gsm8k'),
    ('hybrid_latent.rewards.hrpo', 'boxed_math.*choice.*gsm8k'),
    ('hybrid_latent.rewards.nothing:gsm8k', 'cannot be imported'),
  ],
)
def test_an_unknown_function_is_refused_and_the_known_ones_listed(
  function, what
):
  with pytest.raises(ValueError, match=what):
    Grader({'r': {'function': function}}, workers=1)


def test_an_unknown_field_of_a_reward_is_refused():
  with pytest.raises(ValueError, match="'function', 'scale'"):
    Grader({'r': {'function': 'hostile:length', 'scale': 2}})


def test_shapes_that_do_not_fit_are_refused():
  with Grader(reward('length'), workers=1) as grader:
    with pytest.raises(ValueError, match='groups of group=2'):
      grader.submit(['a'] * 3, {}, 2)
    with pytest.raises(ValueError, match=r"columns\['answer'\] has 2 values"):
      grader.submit(['a'] * 4, {'answer': ['1', '2']}, 2)
    with pytest.raises(TypeError, match='JSON, which has no set'):
      grader.submit(['a'], {'answer': [{1}]}, 1)


def test_columns_of_numpy_are_sent_as_numbers():
  with Grader(reward('length'), workers=1) as grader:
    result = graded(grader, ['a', 'b'], answer=np.array([1, 2]))
  np.testing.assert_array_equal(result['length'], [1, 1])


def test_closing_in_the_middle_leaves_no_process_behind(tmp_path):
  file = tmp_path / 'pids'
  grader = Grader(reward('child', file=str(file)), workers=1, timeout_s=60)
  grading = grader.submit(['a'], {}, 1)
  while not (file.exists() and len(file.read_text().split()) == 2):
    time.sleep(0.02)
  pids = [int(pid) for pid in file.read_text().split()]
  assert all(map(alive, pids))
  start = time.monotonic()
  grader.close()
  assert time.monotonic() - start < 5
  assert all(map(gone, pids))
  assert np.isnan(grading.result()['child']).all()


def test_workers_end_when_the_training_process_is_killed(tmp_path):
  file = tmp_path / 'pids'
  program = (
    'from hybrid_latent.rewards.grader import Grader\n'
    "rewards = {'r': {'function': 'hostile:child', "
    f"'kwargs': {{'file': {str(file)!r}}}}}}}\n"
    'grader = Grader(rewards, workers=1, timeout_s=300)\n'
    "grader.submit(['a'], {}, 1).result()\n"
  )
  path = os.pathsep.join([str(HERE), *sys.path])
  with subprocess.Popen(
    [sys.executable, '-c', program], env=os.environ | {'PYTHONPATH': path}
  ) as training:
    while not (file.exists() and len(file.read_text().split()) == 2):
      assert training.poll() is None
      time.sleep(0.02)
    training.send_signal(signal.SIGKILL)
  worker, sleeper = map(int, file.read_text().split())
  assert gone(worker)
  assert gone(sleeper)
