import pytest

from hybrid_latent.rewards import math
from hybrid_latent.rewards.grader import Grader


@pytest.mark.parametrize(
  ('completion', 'gold', 'reward'),
  [
    (r'so \boxed{1/2}', r'\frac{1}{2}', 1),
    ('The answer is 0.5.', r'$\frac{1}{2}$', 1),
    (r'\boxed{x^2+2x+1}', '(x+1)^2', 1),
    (r'\boxed{(3,4]}', '(3,4]', 1),
    ('#### 1,000', '1000', 1),
    (r'\boxed{2}. No, it is \boxed{3}.', '3', 1),
    (r'\boxed{2, 3}', r'$3$, $2$', 1),
    (r'\boxed{3} is the boxed answer, not 2', '3', 1),
    (r'\boxed{2}, not 3', '3', 0),
    ('nothing', '3', 0),
    ('', '3', 0),
    ('3', '', None),  # no gold answer
  ],
)
def test_values_are_compared_not_strings(completion, gold, reward):
  assert math.accuracy([completion], answer=[gold]) == [reward]


@pytest.fixture(scope='module')
def grader():
  """Where rewards run: time limits are signals, which other code in this
  process may swallow."""
  reward = {'function': 'hybrid_latent.rewards.math:accuracy'}
  with Grader({'accuracy': reward}, workers=1, timeout_s=60) as grader:
    yield grader


@pytest.mark.parametrize(
  'text',
  [
    r'\boxed{9^{9^{9^{9}}}}',
    r'\boxed{((99!)!)!}',
    r'\boxed{' + r'\sqrt{' * 5000 + '2' + '}' * 5001,
    '\\[' * 20_000,
    '(' * 100_000,
    '\x00\ud800' * 1000,
  ],
)
def test_hostile_mathematics_is_wrong_and_not_logged(grader, text, capfd):
  grading = grader.submit([text], {'answer': ['14']}, group=1)
  assert grading.result()['accuracy'] == [0]
  assert text[:20] not in ''.join(capfd.readouterr())


def test_format_matches_the_whole_completion():
  texts = ['so\n\\boxed{3}.', '3', '<think>a</think>b', 'a<think>b</think>']
  boxed = math.format(texts, pattern=r'.*\\boxed\{.+\}.*')
  assert boxed == [1, 0, 0, 0]
  thought = math.format(texts, pattern=r'<think>(?!.*<think>).*?</think>.*')
  assert thought == [0, 0, 1, 0]


def test_an_answer_that_completions_repeat_is_compared_once():
  before = math._compared.cache_info()
  texts = [rf'{i}, so \boxed{{7\sqrt{{11}} + 13}}' for i in range(5)]
  assert math.accuracy(texts, answer=[r'13 + \sqrt{539}'] * 5) == [1.0] * 5
  after = math._compared.cache_info()
  assert (after.misses - before.misses, after.hits - before.hits) == (1, 4)
