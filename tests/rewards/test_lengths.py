import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybrid_latent.rewards import lengths
from hybrid_latent.rewards.latex import boxed

GROUP = st.lists(
  st.tuples(st.sampled_from(['14', '15']), st.integers(1, 60)), min_size=1
)


def ids(*counts):
  return [[7] * n for n in counts]


def rewards(function, texts, counts, **kwargs):
  kwargs = {'kind': 'number'} | kwargs
  golds = ['14'] * len(texts)
  return function(texts, answer=golds, completion_ids=ids(*counts), **kwargs)


@pytest.mark.parametrize(
  ('answers', 'expected'),
  [
    ([14, 14, 15, 15], [1.6, 2.0, -0.9, -0.2]),  # best: 600
    ([15] * 4, [-0.125, -0.275, -0.625, -0.475]),  # the mean, 875
  ],
)
@pytest.mark.parametrize('kind', ['math', 'number', 'latex'])
def test_shorter_better_as_its_release_computes_it(answers, expected, kind):
  texts = [rf'\boxed{{{n}}}' for n in answers]
  counts = (1000, 600, 1500, 400)
  result = rewards(lengths.shorter_better, texts, counts, kind=kind)
  assert result == pytest.approx(expected)


@given(GROUP)
def test_without_its_penalty_shorter_better_is_accuracy(group):
  texts, counts = zip(*group, strict=True)
  result = rewards(lengths.shorter_better, texts, counts, alpha=1, beta=0)
  assert result == [float(text == '14') for text in texts]


@given(GROUP)
def test_the_shortest_right_completion_is_best(group):
  texts, counts = zip(*group, strict=True)
  result = rewards(lengths.shorter_better, texts, counts)
  assert max(result) <= 2
  right = [n for text, n in group if text == '14']
  if right:
    assert result[group.index(('14', min(right)))] == 2


@given(GROUP, st.randoms())
def test_the_order_of_a_group_does_not_matter(group, random):
  order = list(range(len(group)))
  random.shuffle(order)
  texts = [f'{text}</think> {text}' for text, _ in group]
  counts = [n for _, n in group]
  mixed = ([texts[i] for i in order], [counts[i] for i in order])
  for function in (lengths.shorter_better, lengths.lc_r1):
    result = rewards(function, texts, counts)
    expected = [result[i] for i in order]
    assert rewards(function, *mixed) == pytest.approx(expected)


def test_without_a_gold_answer_nothing_is_judged_and_nothing_compared():
  texts, counts = ['14</think>14', '15</think>15', '16</think>16'], (5, 9, 50)
  kwargs = {'completion_ids': ids(*counts), 'kind': 'number'}
  golds = ['14', '14', '?']
  better = lengths.shorter_better(texts, answer=golds, **kwargs)
  assert better == [2, pytest.approx(-0.004), None]
  ours = lengths.lc_r1(texts, answer=golds, **kwargs)
  assert ours == pytest.approx([0, -0.8, None], abs=1e-4)
  for function in (lengths.shorter_better, lengths.lc_r1):
    assert function(texts, answer=['?'] * 3, **kwargs) == [None] * 3


def test_lc_r1_as_its_release_computes_it():
  """What remains of the thinking is all of it."""
  right = r'Say 14.</think> \boxed{14}'
  texts = [right, right, r'Say 15.</think> \boxed{15}', r'Say \boxed{15}']
  result = rewards(lengths.lc_r1, texts, (300, 500, 700, 900), kind='math')
  total = np.array([2, 2, 1, 0]) + np.array(result)
  np.testing.assert_allclose(total, [2.4, 2.0, 0.6, -0.8], atol=1e-5)
  advantages = total - total.mean()
  np.testing.assert_allclose(advantages, [1.35, 0.95, -0.45, -1.85], atol=1e-5)


def test_lc_r1_rewards_nobody_where_nobody_is_right():
  texts = ['15</think>15', '14', '14</think></think>14']  # no, or two ends
  assert rewards(lengths.lc_r1, texts, (5, 9, 50)) == [0, 0, 0]


@pytest.mark.parametrize(
  ('gold', 'thinking', 'kept'),
  [
    ('14', 'It is 14. Yes.', 'It is 14.'),
    ('14', 'It is 14\nYes.', 'It is 14\n'),
    ('14', '19-5=14! Yes.', '19-5=14!'),
    ('14', 'It is $14.50. So 3,140, 141 and 14.', None),
    ('14', 'It is 14.0 at 14.5. No, 14. Yes.', 'It is 14.0 at 14.5. No, 14.'),
    ('14', 'Who knows. No.', None),
    ('14', 'It is 14 and more', None),  # no end of a sentence
    ('1,000', 'So 1000. Yes.', 'So 1000.'),
    ('1000', 'So 1,000. Yes.', 'So 1,000.'),
    (r'$\frac{1}{2}$', r'So \frac{1}{2}. Yes.', r'So \frac{1}{2}.'),
    (
      r'Half: \boxed{\frac12}.',
      r'So $\frac{1}{2}$. Yes.',
      r'So $\frac{1}{2}$.',
    ),
    (r'\dfrac12', r'So $x=\frac{1}{2}$ s. Yes.', r'So $x=\frac{1}{2}$ s.'),
    ('(x+1)^2', 'So (x+1)^2? Yes.', 'So (x+1)^2?'),
  ],
)
def test_the_thinking_counts_up_to_the_sentence_that_reveals_the_answer(
  gold, thinking, kept
):
  end = rf'</think> \boxed{{{boxed(gold) or gold}}}'
  texts, counts = [thinking + end, end], ids(100, 100)
  result = lengths.lc_r1(
    texts, answer=[gold] * 2, completion_ids=counts, kind='latex'
  )
  share = len((kept or thinking) + end) / len(texts[0])
  assert result == pytest.approx([1 - share, 0], abs=1e-5)


def test_soft_overlong_as_dapo_defines_it():
  counts = (0, 80, 81, 90, 100, 101, 500)
  result = lengths.soft_overlong(
    [''] * 7, completion_ids=ids(*counts), limit=100, buffer=20
  )
  assert result == [0, 0, -0.05, -0.5, -1, -1, -1]
  with pytest.raises(ValueError, match='buffer=0'):
    lengths.soft_overlong([''], completion_ids=ids(1), limit=9, buffer=0)
