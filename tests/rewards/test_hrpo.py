import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybrid_latent.rewards import hrpo

DATA = Path(os.environ.get('HYBRID_LATENT_DATA', '../shared/data'))
PARSERS = ['official', 'fixed']


@pytest.mark.parametrize('parser', PARSERS)
@pytest.mark.parametrize(
  ('completion', 'reward'),
  [
    ('12+7=19 19-5=14 #### 14', 1),
    ('#### 14.', 1),
    ('#### 14.00', 1),
    ('####14\n', 1),
    ('#### $14 apples', 1),
    ('#### 15', 0),
    ('14', 0),  # no delimiter
    ('#### 14 #### 14', 0),  # two
    ('#####14', 1),  # one, and a #
    ('########14', 0),  # two
    ('', 0),
  ],
)
def test_gsm8k_asks_for_the_number_and_exactly_one_delimiter(
  completion, reward, parser
):
  assert hrpo.gsm8k([completion], answer=['14'], parser=parser) == [reward]


@pytest.mark.parametrize(
  ('text', 'official', 'fixed'),
  [
    ('1,000', '0', '1000'),
    ('2,125', '125', '2125'),
    ('1,234,567.50', '567.5', '2469135/2'),
    ('2, 3', '3', '3'),
    ('7.50', '7.5', '15/2'),
    ('3/4', '0.75', '3/4'),
    ('0.75', '0.75', '3/4'),
    ('4/2', '2', '2'),
    ('3/', '3', '3'),
    ('1/0', '1/0', ''),
    ('03/4', '03/4', '3/4'),
    ('-7', '-7', '-7'),
    ('9-5', '-5', '5'),
    ('100000000000000000000', '100.0', '100000000000000000000'),
    ('9007199254740993', '9007199254740992', '9007199254740993'),
    ('a lot', '', ''),
    ('the answer is 3 #### or 4', '4', '4'),
    ('the answer is 3 or 4', '4', '4'),  # no delimiter: all of the text
  ],
)
def test_numbers_as_the_release_reads_them_and_as_they_are(
  text, official, fixed
):
  assert hrpo.parsed_answer(text) == official
  assert hrpo.parsed_answer(text, 'fixed') == fixed


def test_commas_are_right_or_wrong_as_in_the_release():
  texts = ['#### 1000', '#### 2,000', '#### 1,000']
  gold = ['1,000'] * 3
  assert hrpo.gsm8k(texts, answer=gold) == [0, 1, 1]
  assert hrpo.gsm8k(texts, answer=gold, parser='fixed') == [1, 0, 1]


def test_every_gold_answer_with_a_comma_is_misread():
  if not DATA.is_dir():
    pytest.skip('no GSM8K here: set HYBRID_LATENT_DATA to its parent folder')
  misread = {}
  for split in ('train', 'test'):
    lines = (DATA / f'gsm8k/{split}.jsonl').read_text().splitlines()
    golds = [json.loads(line)['answer'].split('####')[1] for line in lines]
    commas = [gold for gold in golds if ',' in gold]
    for gold in golds:
      exact = hrpo.parsed_answer(gold, 'fixed')
      assert exact == gold.replace(',', '').strip()
      assert (hrpo.parsed_answer(gold) == exact) == (gold not in commas)
    misread[split] = len(commas)
  assert misread == {'train': 79, 'test': 14}


@pytest.mark.parametrize(
  ('text', 'official', 'fixed'),
  [
    ('B', 'B', 'B'),
    ('(c)', 'C', 'C'),
    ('A or J', 'J', 'J'),
    ('B, as a rule', 'A', 'B'),
    ('K', 'K', ''),
    ('Apple', 'Apple', ''),
  ],
)
def test_letters(text, official, fixed):
  assert hrpo.parsed_answer(text, 'official', 'letter') == official
  assert hrpo.parsed_answer(text, 'fixed', 'letter') == fixed


@pytest.mark.parametrize(
  ('text', 'official', 'fixed'),
  [
    (r'so \boxed{\frac12}', r'\frac{1}{2}', r'\frac{1}{2}'),
    (r'\boxed{\left( 3, \dfrac{\pi}{2} \right)}',)
    + (r'(3,\frac{\pi}{2})',) * 2,
    (r'$x = 5$ and $y = 106^\circ$', '106', '106'),
    (r'\(\sqrt3\)', r'\sqrt{3}', r'\sqrt{3}'),
    (r'\boxed{\text{East}}', 'east', 'east'),
    (r'\boxed{5\text{ cm}}', '5', '5'),
    ('1/2', '2', r'\frac{1}{2}'),
    ('$1/2$', r'\frac{1}{2}', r'\frac{1}{2}'),
    ('10,000', '000', '10000'),
    (r'\boxed{10,000}', '10,000', '10000'),
    (r'\boxed{1,100}', '1,100', '1100'),
    (r'\boxed{(1,100)}', '(1,100)', '(1,100)'),
    (r'\boxed{\frac{1}{2}', r'\frac{1}{2}', r'\frac{1}{2}'),  # never closed
    ('words', '', ''),
  ],
)
def test_latex(text, official, fixed):
  assert hrpo.parsed_answer(text, 'official', 'latex') == official
  assert hrpo.parsed_answer(text, 'fixed', 'latex') == fixed


def test_boxed_math_takes_gold_answers_bare_or_in_a_solution():
  texts = [r'#### $\tfrac12$', r'#### \boxed{\frac{1}{2}}', '#### 1/2']
  for gold in (r'\frac{1}{2}', r'Half of it, \boxed{\frac{1}{2}}.'):
    assert hrpo.boxed_math(texts, answer=[gold] * 3) == [1, 1, 0]
    assert hrpo.boxed_math(texts, answer=[gold] * 3, parser='fixed') == [1] * 3


def test_evaluation_has_no_condition_on_the_delimiter():
  texts = ['14', '#### 3 #### 14', '#### 15']
  assert hrpo.correct(texts, answer=['14'] * 3) == [1, 1, 0]
  assert hrpo.correct(['B'], answer=['B'], kind='letter') == [1]
  assert hrpo.correct(['$x$'], answer=['x'], kind='latex') == [1]


def test_a_gold_answer_that_cannot_be_read_equals_nothing_or_is_not_judged():
  texts = ['#### none', '#### 3']
  assert hrpo.gsm8k(texts, answer=['?', '?']) == [1, 0]  # as the release does
  fixed = hrpo.gsm8k(texts, answer=['?', '?'], parser='fixed')
  assert fixed == [None, None]


def test_an_unknown_parser_is_refused_and_the_known_ones_listed():
  with pytest.raises(ValueError, match=r"parser='exact'.*'fixed'.*'official'"):
    hrpo.gsm8k(['#### 1'], answer=['1'], parser='exact')


_PIECES = '#### 0 1 23 . / - , \\ { } $ boxed \\frac \\sqrt = A b \\[ \\] ٣ ²'
_TEXTS = st.lists(st.sampled_from([*_PIECES.split(), ' ', '\n'])).map(''.join)


@given(st.text(st.characters()) | _TEXTS)
def test_any_text_is_read_and_an_answer_reads_as_itself(text):
  for kind in ('number', 'letter', 'latex'):
    for parser in PARSERS:
      assert isinstance(hrpo.parsed_answer(text, parser, kind), str)
  number = hrpo.parsed_answer(text, 'fixed')
  assert hrpo.parsed_answer(number, 'fixed') == number


@pytest.mark.parametrize('kind', ['number', 'letter', 'latex'])
@pytest.mark.parametrize('parser', PARSERS)
@pytest.mark.parametrize(
  'text', ['9' * 100_000, '1,' * 100_000, '{' * 100_000, '\\boxed{' * 50_000]
)
def test_long_texts_are_read_in_linear_time(text, parser, kind):
  assert isinstance(hrpo.parsed_answer(text, parser, kind), str)
