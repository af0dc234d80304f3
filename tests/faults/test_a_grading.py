"""What is not graded, and rewards that people and hostile texts bring along."""

import time
from pathlib import Path

import numpy as np
import pytest

from hybrid_latent.metrics import evaluation_metrics, reward_metrics
from hybrid_latent.rewards.grader import Grader, RewardError, total

NAN = float('nan')
HERE = Path(__file__)


@pytest.fixture(autouse=True)
def importable(monkeypatch):
  monkeypatch.syspath_prepend(str(HERE.parent))


def grader(*names, kwargs=None, **more):
  rewards = {
    name: {'function': f'bad_rewards:{name}', 'kwargs': kwargs or {}}
    for name in names
  }
  return Grader(rewards, workers=1, **more)


# ------------------------------------------------------------------- ungraded


@pytest.mark.parametrize(
  ('results', 'weights', 'expected'),
  [
    ({'gsm8k': [NAN, 1], 'accuracy': [1, 1]}, [1, 0], [NAN, 1]),
    ({'gsm8k': [1, 1], 'accuracy': [NAN, NAN]}, [1, 0], [1, 1]),
    ({'gsm8k': [NAN, 1], 'accuracy': [NAN, 1]}, [1, 0], [NAN, 1]),
    ({'gsm8k': [NAN, 2], 'format': [1, 1]}, [1, -0.5], [NAN, 1.5]),
  ],
)
def test_a_total_without_a_grade(now, results, weights, expected):
  arrays = {name: np.array(x, np.float32) for name, x in results.items()}
  found = total(arrays, dict(zip(results, weights, strict=True)), group=2)
  now('ungraded becomes wrong', f'{results}, weights {weights}', found.tolist())
  np.testing.assert_array_equal(found, expected)


def test_a_step_without_a_grade(now):
  nothing = np.full(4, NAN, np.float32)
  found = reward_metrics({'gsm8k': nothing}, nothing, group=2)
  now('all-None logs `reward: 0.0`', 'None for a whole step', found)
  assert np.isnan([found['reward'], found['rewards/gsm8k/mean']]).all()
  assert found['rewards/ungraded'] == found['rewards/gsm8k/ungraded'] == 1


def test_one_ungraded_completion_leaves_pass_at_k_there(now):
  grades = np.array([[1, 0], [NAN, 1], [0, 0]])
  found = evaluation_metrics(grades, too_long=1)
  now('evaluations drop rows unseen', 'one of six is ungraded', found)
  assert found == pytest.approx(
    {
      'mean': 0.4,
      'judged': 5,
      'ungraded': 1,
      'of_all': 0.25,
      'pass@1': 0.5,
      'pass@1/prompts': 3,
      'pass@2': 0.5,
      'pass@2/prompts': 2,
    }
  )


# -------------------------------------------------- rewards that can never work

UNCALLABLE = {
  'no_columns': "got an unexpected keyword argument 'answer': its signature is",
  'no_completions': 'too many positional arguments: its signature is',
  'other_column': "missing a required argument: 'solution': its signature",
  'asynchronous': 'a coroutine function: write def instead of async def',
  'judge': 'a coroutine function: write def instead of async def',
  'partly': "got an unexpected keyword argument 'answer'",
}
UNREADABLE = {
  'one_by_one': 'returned a generator instead of a list',
  'one_too_few': 'returned 1 rewards for 2 completions',
  'a_number': 'returned a float instead of a list',
  'nothing': 'returned a NoneType instead of a list',
  'by_text': 'returned a dict instead of a list',
  'a_text': 'returned a str instead of a list',
  'texts': "returned '1.0', a str, instead of a number",
  'nested': 'returned [1.0], a list, instead of a number',
  'columns_of_numpy': 'returned [1.0, 1.0], a list, instead of a number',
  'imaginary': 'returned 1j, a complex, instead of a number',
}
FAILING = {
  'looks_up': "KeyError: 'solution'",
  'imports': "ModuleNotFoundError: No module named 'no_such_module'",
  'misspelt': "AttributeError: 'list' object has no attribute 'lenght'",
  'unknown': "AttributeError: module 'builtins' has no attribute 'scoer'",
  'adds_text': 'TypeError: can only concatenate str (not "int") to str',
}
NEVER = 'a reward that can never work runs to the end'


@pytest.mark.parametrize('name', UNCALLABLE)
def test_a_reward_that_cannot_be_called_ends_the_run_before_it(now, name):
  with grader(name) as ours, pytest.raises(RewardError) as caught:
    ours.check_columns(['answer', 'question'])
  now(NEVER, name, caught.value)
  assert f'reward {name!r} (bad_rewards:{name}) can never work' in str(
    caught.value
  )
  assert UNCALLABLE[name] in str(caught.value)
  assert "the columns ['answer', 'question']" in str(caught.value)


@pytest.mark.parametrize('name', ['no_columns', *UNREADABLE, *FAILING])
def test_a_reward_that_can_never_work_ends_the_first_step(now, name):
  columns = {'answer': ['a'] * 4}
  with grader(name) as ours, pytest.raises(RewardError) as caught:
    ours.submit(['a', 'bc', 'd', 'e'], columns, 2).result()
  now(NEVER, name, caught.value)
  whys = UNCALLABLE | UNREADABLE | FAILING
  assert whys[name] in str(caught.value)
  assert f'({HERE.with_name("bad_rewards.py")}, line ' in str(caught.value)


def test_a_column_that_is_an_argument_too():
  with grader('booleans', kwargs={'answer': 'a'}) as ours:
    message = r"kwargs=\['answer'\] are also columns of the data"
    with pytest.raises(RewardError, match=message):
      ours.check_columns(['answer'])


@pytest.mark.parametrize(
  ('name', 'expected'),
  [
    *((name, [0, 1]) for name in ('booleans', 'of_numpy', 'scalars_of_numpy')),
    ('exact_numbers', [0, 1]),
    pytest.param('of_torch', [0, 1], marks=pytest.mark.slow),
    ('unsure', [NAN, NAN]),
  ],
)
def test_numbers_of_every_kind_are_read(name, expected):
  with grader(name, memory_gib=None) as ours:
    ours.check_columns(['answer'])
    found = ours.submit(['a', 'bc'], {'answer': ['a'] * 2}, 2).result()
  np.testing.assert_array_equal(found[name], expected)


def test_a_reward_that_has_worked_is_not_given_up():
  with grader('swallows') as ours:
    ask = lambda *texts: ours.submit(texts, {}, 1).result()['swallows']
    np.testing.assert_array_equal(ask('x', 'a'), [NAN, 1])
    for _ in range(4):
      np.testing.assert_array_equal(ask('x'), [NAN])


def test_a_reward_that_has_never_worked_is_given_up():
  with grader('swallows') as ours:
    ask = lambda: ours.submit(['x'], {}, 1).result()['swallows']
    np.testing.assert_array_equal([ask(), ask()], [[NAN], [NAN]])
    with pytest.raises(RewardError, match='can never work: MemoryError'):
      ask()


# --------------------------------------------------------------- hostile texts


@pytest.mark.parametrize(
  ('name', 'first'),
  [
    *((x, NAN) for x in ('closes', 'recurses', 'evil', 'exits', 'leaves')),
    *((x, NAN) for x in ('segfaults', 'swallows', 'huge')),
    *((x, 1) for x in ('forks', 'traps', 'bombs', 'threads', 'writes')),
    *((x, 1) for x in ('mute', 'deaf')),
  ],
)
def test_what_a_text_does_costs_its_group_and_no_other(now, name, first):
  texts = ['x', 'a', *'bcde']
  with grader(name) as ours:
    found = ours.submit(texts, {}, 2).result()[name]
    again = ours.submit(['f', 'g'], {}, 2).result()[name]
  now('hostile rewards', f'{name} on the first of three groups', found.tolist())
  np.testing.assert_array_equal(found, [first] * 2 + [1] * 4)
  np.testing.assert_array_equal(again, [1, 1])


# ------------------------------------------------------------ limits that hold

linux = pytest.mark.skipif(
  not Path('/proc/self/schedstat').exists(), reason='there is no /proc here'
)


def ended(file):
  """Whether the processes whose numbers are in a file are gone."""
  pids = [int(line) for line in Path(file).read_text().split()]
  assert pids
  end = time.monotonic() + 10
  while time.monotonic() < end:
    if not any(Path(f'/proc/{pid}/environ').exists() and _lives(pid)
               for pid in pids):  # fmt: skip
      return True
    time.sleep(0.02)
  return False


def _lives(pid):
  stat = Path(f'/proc/{pid}/stat').read_text()
  return stat.rpartition(')')[2].split()[0] != 'Z'


@linux
@pytest.mark.parametrize('how', ['fork', 'session', 'without environment'])
def test_a_limit_outlives_no_grandchild(now, how, tmp_path):
  file = tmp_path / 'pids'
  kwargs = dict(file=str(file), how=how, hangs=True)
  start = time.monotonic()
  with grader('detached', kwargs=kwargs, timeout_s=1) as ours:
    found = ours.submit(['a', 'b'], {}, 2).result()['detached']
    spent = time.monotonic() - start
    gone = ended(file)
  what = f'{spent:.0f} s, children gone: {gone}, {found.tolist()}'
  now('a limit that a grandchild outlives', f'limit 1 s, {how}, 60 s', what)
  assert gone
  assert spent < 30
  np.testing.assert_array_equal(found, [NAN, NAN])


@linux
@pytest.mark.parametrize('how', ['fork', 'session', 'without environment'])
def test_nothing_is_left_when_grading_ends(how, tmp_path):
  file = tmp_path / 'pids'
  kwargs = dict(file=str(file), how=how, hangs=False)
  with grader('detached', kwargs=kwargs, timeout_s=20) as ours:
    for _ in range(2):
      found = ours.submit(['a', 'b'], {}, 2).result()['detached']
      np.testing.assert_array_equal(found, [1, 1])
  assert ended(file)


@linux
def test_children_have_the_memory_of_their_worker():
  with grader('swallowing_child') as ours:
    found = ours.submit(['a', 'b'], {}, 2).result()['swallowing_child']
  np.testing.assert_array_equal(found, [0, 0])


@linux
def test_a_busy_machine_decides_no_grade(now):
  """A sixth of a core for half a second of work, under a limit of two."""
  kwargs = dict(seconds=0.5, rivals=5)
  start = time.monotonic()
  with grader('crowded', kwargs=kwargs, timeout_s=2) as ours:
    found = ours.submit(['a', 'b'], {}, 2).result()['crowded']
  spent = time.monotonic() - start
  what = f'{found.tolist()} after {spent:.1f} s'
  now('wall-clock limits decide a grade', 'limit 2 s, a sixth of a core', what)
  np.testing.assert_array_equal(found, [1, 1])
