r"""One answer in many notations: read as what it says, or not judged."""

import pytest

from hybrid_latent.rewards import hrpo, soft_tokens


@pytest.mark.parametrize(
  ('text', 'value'),
  [
    *[(f'{sign}5', '-5') for sign in '-−‐‒–—－'],
    *[(text, '1000') for text in ('1e3', '1E+3', '1,000.00', '1_000', '10^3')],
    *[(f'1{blank}000', '1000') for blank in ' \xa0\u202f\u2009'],
    *[(text, '1000') for text in (r'1\,000', '1{,}000', '１，０００')],
    *[(text, '1000') for text in ('$1,000', r'\$1,000', '€1,000', '1.000e3')],
    *[(text, '2000') for text in (r'2\times 10^3', '2×10³', '2*10^{3}')],
    *[(text, '7/2') for text in ('3 1/2', '3½', r'3\frac{1}{2}', '3.5')],
    *[(text, '-5') for text in ('-$5', '$-5', r'−\$5', '- 5', '(-5)')],
    *[(text, '5') for text in ('5.', '+5', '5 km', '5 cm^2', '5 m2', '**5**')],
    *[(text, '5') for text in ('x=5', '9-5', '9 - 5', 'No.5', '5元', '(5)')],
    *[(text, '50') for text in ('50%', r'50\%', '50 percent', 'US$50')],
    *[('.5', '1/2'), ('½', '1/2'), (r'\dfrac12', '1/2'), ('5e-1', '1/2')],
    *[('1.5e-3', '3/2000'), (r'-\frac{14}{3}', '-14/3'), ('٣', '3')],
    # A dot is that of decimals; what is neither one notation nor another, or
    # too large, cannot be read.
    *[('1.000', '1'), ('1.000,5', ''), ('1,00', ''), ('10^{99999}', '')],
    *[('9' * 5000, ''), ('1/0', ''), ('a lot', '')],
  ],
)
def test_the_number_is_read_or_not_judged(text, value, now):
  read = hrpo.parsed_answer(f'#### {text}', 'fixed')
  now('a number judge', f'#### {text[:20]}', f'reads {read!r}')
  assert read == value
  graded = hrpo.gsm8k(['#### 7'], answer=[text], parser='fixed')
  assert graded == [0 if value else None]


@pytest.mark.parametrize(
  ('text', 'letter'),
  [
    *[(text, 'B') for text in ('(B)', '**B**', 'B.', 'b', '(b)', '$B$', 'Ｂ')],
    *[(text, 'B') for text in (r'\text{B}', r'\boxed{b}', 'B. A triangle')],
    *[('A is right', 'A'), ('B: I think', 'B'), ('A or J', 'J')],
  ],
)
def test_the_letter_is_read(text, letter, now):
  read = hrpo.parsed_answer(f'#### {text}', 'fixed', 'letter')
  now('a letter judge', text, f'reads {read!r}')
  assert read == letter


@pytest.mark.parametrize(
  ('text', 'gold', 'reward'),
  [
    (r'\frac{14}{3}', r'\frac{14}{3}', 1),
    (r'\frac{14}{3}', '3', 0),
    (r'\dfrac{1}{2}', r'\frac12', 1),
    ('½', r'\frac{1}{2}', 1),
    ('The answer is 14 apples.', '14', 1),
    ('12+7=19', '19', 1),
    ('so $x$ is $7$', '7', 1),
    ('$69$, $84$', '$69$,$84$', 1),
    ('3, 5, 7', '7', 0),
    ('3:1', '1', 0),
    ('2k', '2', 0),
    ('even', r'\text{even}', 1),
    ('90°', r'90^\circ', 1),
    (r'\$18.90', '18.90', 1),
    ('−5', '-5', 1),
    ('-5', '5', 0),
  ],
)
def test_latex_behind_the_delimiter_needs_no_box(text, gold, reward, now):
  texts = [f'#### {text}']
  graded = hrpo.boxed_math(texts, answer=[gold], parser='fixed')
  now('a LaTeX judge', f'#### {text} for {gold}', graded)
  assert graded == [reward]


@pytest.mark.parametrize(
  ('answer', 'gold', 'reward'),
  [
    ('18.90', r'\$18.90', 1),
    ('5', '€5', 1),
    (r'4.5\times 10^{33}', '4.5e33', 1),
    ('0.0015', '1.5e-3', 1),
    (r'1\,000', '1,000', 1),
    ('1 000', '1000', 1),
    ('½', '0.5', 1),
    ('3 1/2', '3.5', 1),
    ('５', '5', 1),
    ('x²', 'x^2', 1),
    ('√2', r'\sqrt{2}', 1),
    ('90°', '90', 1),
    ('−5', '5', 0),
    ('5 dollars', '5', 1),
    ('14.', '14', 1),
    ('x=5', '5', 1),
    (r'50\%', '50', 1),
    ('2k', '2', 0),
    (r'\text{(B)}', 'B', 1),
    ('3, 2', ['4', '$2$, $3$'], 1),
    ('3', '$$', None),
  ],
)
@pytest.mark.parametrize('form', [r'\boxed{%s}', '#### %s'])
def test_values_are_read_in_every_notation(answer, gold, reward, form, now):
  text = form % answer
  marker = form.partition('{')[0].removesuffix(' %s')
  graded = soft_tokens.soft_tokens(
    [text], answer=[gold], marker=marker, right=1, boxed=0
  )
  now('a judge of values', f'{text} for {gold}', graded)
  assert graded == [reward]
