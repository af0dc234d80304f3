r"""Answers as people and models spell them: right is 1, and wrong is 0."""

from functools import partial

import numpy as np
import pytest

from hybrid_latent.rewards import (
  answers,
  hrpo,
  knowledge,
  lengths,
  math,
  soft_tokens,
)
from hybrid_latent.rewards.grader import Grader
from tests.faults.test_a_grading import importable  # noqa: F401

PARSERS = 'official', 'fixed'
NUMBERS = {
  '-5': 'minus 5;negative 5;x = - 5;-(5);-{5};-\\text{5};-**5**;**-5**;1 + -5',
  '-1/2': r'x = -\frac{1}{2};\frac{1}{-2};\frac{-1}{2};1/-2;(-1)/(2);-½;-.5',
  '1/2': r'-\frac{-1}{2};-1/-2;{1 \over 2};1 ÷ 2;(1)/(2);**1/2**;\frac 1 2',
  '1000': "1'000;1’000;1٬000;10**3;10^(3);1*10**3;USD1,000;`1000`;𝟏𝟎𝟎𝟎",
  '1234567': "12,34,567;Rs. 12,34,567;1'234'567;₹12,34,567.00;1 234 567",
  '1': '2^0;10^0;①;<answer>1</answer>;1<|im_end|>;1</s>',
  '7/2': '٣٫٥;3{.}5;$3.50;-\\frac{7}{-2}',
  '1/3': r'0.\overline{3};\frac{2}{6};0.\bar{3}',
  '5': r'5 H2O;5 m/s^2;\boxed{5} in 2 steps;5^\circ;5 \mathrm{cm}^2',
  '': r'\sqrt{2};5\sqrt2;√16;\log_2 8;2\pi;5 \pm 1;2x;x^2;3+4i;2^{1/2};2^0.5',
}


@pytest.mark.parametrize('value', NUMBERS)
def test_numbers(value, now):
  texts = NUMBERS[value].split(';')
  read = {text: hrpo.parsed_answer(f'#### {text}', 'fixed') for text in texts}
  now('a number judge', NUMBERS[value], f'reads {set(read.values())}')
  assert read == dict.fromkeys(texts, value)


LETTERS = {
  'A': 'A) Vitamin C;A. Hepatitis B;**A.** Plan B;option a;Answer: (a);Ⓐ',
  'B': 'B, not A;(B) A and C;b) The cat;(b) a cat;The answer is b.;'
  'The correct option is B: vitamin A;\\boxed{B} since A is not;𝐁',
  'D': 'D. 10 J;D. None of A, B, C;(D) $F = ma$;\\textbf{(D)} A;not C but D',
}


@pytest.mark.parametrize('letter', LETTERS)
def test_letters(letter, now):
  texts = LETTERS[letter].split(';')
  graded = hrpo.choice(
    [f'#### {text}' for text in texts],
    answer=[letter] * len(texts),
    parser='fixed',
  )
  now('a letter judge', f'{LETTERS[letter]} for {letter}', graded)
  assert graded == [1] * len(texts)


@pytest.mark.parametrize(
  ('gold', 'right', 'wrong'),
  [
    ('2e-7', r'2\times 10^{-7};0.0000002', '1e-7;0;2e-8'),
    (r'6.02\times 10^{23}', '6.02 x 10^23;6.02×10²³', '6.02e22;6.02'),
    ('1,00,000', '100000;1,00,000', '1;0;100'),
    ('1000', r"1'000;\text{1,000};x = 1,000;\(1,000\);\$1,000", '1;1.000'),
    (r'\[5\]', r'5;\fbox{5};= 5;5 \\;**5**;\boxed{5};𝟓', '-5'),
    ('5', '5 cm^2;5 m/s;5 km/h;5 cm²;5 \\text{ cm}^2', '25;5 x;5 n'),
    ('2 n', '2n;2 n', '2'),
    ('2xy', '2 x y;2yx', '2;2 units'),
    ('14', '14 units^2;14 square cm;14cm', '14 xyz;15'),
    (r'12.5\%', '12.5;0.125;12.5%', '1.25'),
    (r'\frac{1}{3}', r'0.\overline{3};0.3333333;0.\overline{33}', '0.3;0.33'),
    (r'0.1\overline{6}', r'\frac16', r'0.1\overline{7}'),
    (r'2\pi', '2pi;2*pi;2π', '2'),
    (r'(0,1]', r'0 < x \le 1;(0, 1];\left(0,1\right]', '[0,1];0 < x < 1'),
    (r'(-\infty, 0)', 'x < 0', r'x \le 0;x > 0'),
    (r'\{1,2\}', r'\{2, 1\};2, 1', '(1,2);1'),
    ('(0,1)', '(0, 1)', r'\{0,1\};(1,0)'),
    (r'\emptyset', r'\varnothing;∅', '0'),
    (r'\text{(I)}', r'\text{I};I;(I)', 'J;\\text{(J)}'),
  ],
)
def test_values(gold, right, wrong, now):
  graded = {
    text: math.accuracy([rf'\boxed{{{text}}}'], answer=[gold])[0]
    for text in [*right.split(';'), *wrong.split(';')]
  }
  now('a judge of values', f'{list(graded)} for {gold}', [*graded.values()])
  assert graded == {
    **dict.fromkeys(right.split(';'), 1),
    **dict.fromkeys(wrong.split(';'), 0),
  }


@pytest.mark.parametrize(
  ('text', 'gold'),
  [
    ('Answer: **5**', '5'),
    ('The answer is **$1,000**.', '1000'),
    ('<answer>\\frac{1}{2}</answer> \\boxed {0.5}', '1/2'),
    ('The answer is: (1,2).', '(1,2)'),
    ('The answer is Monday.', r'\text{Monday}'),
    ('**Answer:** (A)', 'A'),
    (r'#### 2\pi', r'$2\pi$'),
  ],
)
def test_answers_without_a_box(text, gold, now):
  graded = math.accuracy(
    [text, text.replace('5', '6') + '?'], answer=[gold] * 2
  )
  now('a judge of values', f'{text} for {gold}', graded)
  assert graded[0] == 1


@pytest.mark.parametrize(
  ('text', 'gold', 'reward'),
  [
    *[('0.50', r'\frac{1}{2}', 1), ('7.00', '7', 1), (r'\[5\]', '5', 1)],
    *[("1'000", '1000', 1), ('5 m/s', '5', 1), ('-7', '7', 0), ('2 n', '2', 0)],
    *[('2 xy', '2', 0), ('5', r'5 \text{ or } 6', 0), ('14 cm', '14', 1)],
  ],
)
def test_latex_by_spelling(text, gold, reward, now):
  graded = hrpo.boxed_math([f'#### {text}'], answer=[gold], parser='fixed')
  now('a LaTeX judge', f'#### {text} for {gold}', graded)
  assert graded == [reward]


JUDGES = {
  **{f'gsm8k {p}': partial(hrpo.gsm8k, parser=p) for p in PARSERS},
  **{f'choice {p}': partial(hrpo.choice, parser=p) for p in PARSERS},
  **{f'boxed_math {p}': partial(hrpo.boxed_math, parser=p) for p in PARSERS},
  'math': math.accuracy,
  'soft_tokens': partial(soft_tokens.soft_tokens, marker='####', right=1),
  'exact': answers.exact,
  'knowledge': knowledge.knowledge,
  'lc_r1': lambda texts, answer: [
    float(x > 0) if x is not None else None
    for x in lengths.lc_r1(
      [f'{text}</think>{text}' for text in texts],
      answer=answer,
      completion_ids=[[1]],
    )
  ],
}


@pytest.mark.parametrize('name', JUDGES)
def test_several_golds_and_numbers(name, now):
  """Any of several is right; a number is as good as its text; none is None."""
  right = 'A' if name.startswith('choice') else '5'
  golds = [[right, '7'], ['7', right], (right,), right, []]
  expected = [1, 1, 1, 1, None]
  if right == '5':
    golds, expected = [*golds, 5, [7, 5]], [*expected, 1, 1]
  graded = [JUDGES[name]([f'#### {right}'], answer=[gold])[0] for gold in golds]
  now('several golds', f'{name}: {golds}', graded)
  assert graded == expected


@pytest.mark.parametrize(
  ('text', 'gold', 'reward'),
  [
    *[
      ('Beyonce\u0301', 'Beyoncé', 1),
      ('O’Brien', "O'Brien", 1),
      ('', 'Beatles', 0),
    ],
  ],
)
def test_knowledge(text, gold, reward, now):
  graded = knowledge.knowledge([f'#### {text}'], answer=[gold])
  now('gold against gold', f'{text} for {gold}', graded)
  assert graded == [reward]


@pytest.mark.parametrize(
  ('name', 'expected'),
  [
    ('above_float32', [np.nan, np.nan, 1, 1]),
    ('another_answer', [np.nan, np.nan, 1, 1]),
    ('breaks_json', [1, 1, 1, 1]),
    ('changes_its_columns', [1, 1, 1, 1]),
  ],
)
def test_what_a_reward_does_to_its_arguments_and_pipes(name, expected, now):
  rewards = {
    one: {'function': f'reaching_rewards:{one}', 'kwargs': kwargs}
    for one, kwargs in ((name, {'seen': []}), ('unchanged', {}))
  }
  with Grader(rewards, workers=1) as grader:
    columns = {'answer': ['a'] * 4}
    found = grader.submit(['x', 'a', 'b', 'c'], columns, 2).result()
  now('hostile rewards', name, found[name])
  np.testing.assert_array_equal(found[name], expected)
  other = [np.nan] * 2 + [1] * 2 if name == 'another_answer' else [1] * 4
  np.testing.assert_array_equal(found['unchanged'], other)
