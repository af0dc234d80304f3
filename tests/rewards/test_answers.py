import pytest

from experiments.benchmarks.hostile_texts import REPEATED, SMALL, repeated
from hybrid_latent.rewards import answers


@pytest.mark.parametrize(
  ('text', 'boxed', 'behind'),
  [
    (r'so \boxed{14}.', '14', ''),
    (r'\boxed{1}, no, \boxed{ \frac{1}{2} }', r'\frac{1}{2}', ''),
    (r'\boxed{14} #### 15', '14', '15'),
    ('#### 1 #### 2\n', '', '2'),
    (r'\boxed{14', '', ''),  # never closed
    (r'\boxed{1} \boxed{14', '', ''),
    (r'\boxed 14', '', ''),
    (r'\boxed{}', '', ''),
    (r'\boxed{  }', '', ''),
    ('boxed{14}', '', ''),
    ('14', '', ''),
    ('14 ####', '', ''),
    ('', '', ''),
  ],
)
def test_an_answer_is_in_the_last_box_or_behind_the_last_marker(
  text, boxed, behind
):
  assert answers.final_answer(text) == boxed
  assert answers.final_answer(text, '####') == behind


def test_exact_compares_letter_by_letter_with_one_gold_answer_or_several():
  texts = ['#### B', '#### b', 'B', '####B\n', '#### B.']
  assert answers.exact(texts, answer=['B'] * 5) == [1, 0, 0, 1, 0]
  assert answers.exact(texts, answer=[['A', 'B ']] * 5) == [1, 0, 0, 1, 0]
  assert answers.exact([r'\boxed{B}'], answer=['B'], marker=r'\boxed') == [1]


def test_a_blank_gold_answer_equals_nothing_and_is_not_judged():
  golds = [' ', [], [''], ['', 'B']]
  assert answers.exact(['####'] * 4, answer=golds) == [None, None, None, 0]


@pytest.mark.parametrize(
  ('kind', 'text', 'gold'),
  [
    ('math', r'\boxed{0.5}', r'\frac{1}{2}'),
    ('number', 'x #### 1,000', '1000'),
    ('letter', '(b)', 'B'),
    ('latex', r'\boxed{\tfrac12}', r'\frac{1}{2}'),
  ],
)
def test_each_kind_has_its_judge(kind, text, gold):
  texts, golds = [text, 'nothing'], [gold, gold]
  assert answers.correct(texts, answer=golds, kind=kind) == [1, 0]


def test_an_unknown_kind_is_refused_and_the_known_ones_listed():
  with pytest.raises(ValueError, match=r"'exact'.*'latex', 'letter', 'math'"):
    answers.correct(['1'], answer=['1'], kind='exact')


@pytest.mark.parametrize(
  ('kind', 'text', 'expected'),
  [
    ('number', 'He has 1,000.50 dollars', '1000.5'),
    ('number', r'3 and \boxed{-\frac{2}{6}}', '-1/3'),
    ('number', '#### 18446744073709551617', '18446744073709551617'),
    ('number', '#### 1e30', '1e30'),
    ('number', 'none', None),
    ('letter', r'A or B: \boxed{\text{(C)}}', 'C'),
    ('letter', 'The answer is (B).', 'B'),
    ('letter', '12', None),
    ('latex', r'#### \frac12', r'\frac{1}{2}'),
    ('latex', '', None),
    ('math', r'\boxed{1} so $\boxed{x+\frac{1}{2}}$', r'x+\frac{1}{2}'),
    ('math', r'\boxed{$\dfrac12$}', '0.5'),
    ('math', r'\boxed{\text{Evelyn}}', 'Evelyn'),
    ('math', 'So $x^2$. The answer is: 2n.', '2n'),
    ('math', r'It is $x$. So $2\sqrt{2}$.', r'2\sqrt{2}'),
    ('math', 'It is 7.50', '7.5'),
    ('math', r'\boxed{}', None),
    ('math', 'none', None),
  ],
)
def test_the_answer_is_read_in_one_spelling(kind, text, expected):
  assert answers.parse(text, kind) == expected
  if expected:
    assert answers.correct([text], answer=[expected], kind=kind) == [1]


@pytest.mark.parametrize('kind', ['number', 'letter', 'latex', 'math'])
def test_an_answer_of_hostile_text_is_a_text_or_none(kind):
  texts = [*SMALL.values(), *(repeated(x, 1000) for x in REPEATED.values())]
  for text in texts:
    for whole in (text, rf'\boxed{{{text}}}', f'#### {text}'):
      answer = answers.parse(whole, kind)
      assert answer is None or 0 < len(answer) <= 1000
