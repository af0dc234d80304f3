import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybrid_latent.rewards import hyrea, math

SPAN = '<start-latent><latent><latent><end-latent>'
ANSWER = r'\boxed{14}'


def latent(text, **kwargs):
  return hyrea.latent([text], answer=['14'], **kwargs)[0]


@pytest.mark.parametrize(
  ('text', 'reward'),
  [
    (SPAN + ANSWER, 1),
    (f'1+1=2\n{SPAN}\n2+12=14 {SPAN} {ANSWER}', 1),
    ('<start-latent> <latent>\n<end-latent>' + ANSWER, 1),
    (SPAN + r'\boxed{15}', 1),  # accuracy is another reward
    (SPAN, 0),
    (SPAN + '14', 0),
    (SPAN + r'\boxed{14', 0),
    (ANSWER, 0),
    ('', 0),
    (SPAN + '<start-latent>' + ANSWER, 0),
    (SPAN + '<latent>' + ANSWER, 0),
    (SPAN + '<end-latent>' + ANSWER, 0),
    (f'<start-latent>{SPAN}<end-latent>{ANSWER}', 0),  # nested
    ('<start-latent><end-latent>' + ANSWER, 0),
    ('<start-latent><latent> so <end-latent>' + ANSWER, 0),
    ('<end-latent><latent><start-latent>' + ANSWER, 0),
    (f'{ANSWER}<start-latent><latent>', 0),  # cut at the limit
    (f'<start-la{SPAN}tent>{ANSWER}', 1),  # two pieces are no token
  ],
)
def test_one_well_formed_span_and_an_answer(text, reward):
  assert latent(text) == reward


@pytest.mark.parametrize('most', [1, 2, 4])
def test_more_spans_than_the_cap_pay_no_more(most):
  rewards = [
    latent(SPAN * n + ANSWER, max_spans=most) for n in (0, 1, 2, 4, 5, 500)
  ]
  assert rewards == sorted(rewards)
  assert rewards[0] == 0
  assert rewards[1] == 1 / most
  assert rewards[-3:] == [1] * 3


_PIECES = ['<start-latent>', '<latent>', '<end-latent>', SPAN, ANSWER, ' ', 'x']


@given(st.lists(st.sampled_from(_PIECES)).map(''.join), st.integers(1, 5))
def test_no_text_is_paid_more_than_one_or_for_more_spans_than_it_has(
  text, most
):
  reward = latent(text, max_spans=most)
  assert 0 <= reward <= min(1, text.count('<start-latent>') / most)
  assert reward == 0 or latent(text + SPAN, max_spans=most) >= reward


def test_the_tokens_and_the_marker_have_any_name():
  names = {'start': '[', 'slot': '.', 'end': ']', 'marker': '####'}
  assert latent('[..] #### 14', **names) == 1
  assert latent('[] #### 14', **names) == 0
  assert latent('[.] #### 14.', **names) == 0  # a slot outside


def test_nothing_to_pay_for_is_refused():
  with pytest.raises(ValueError, match='max_spans=0'):
    latent(SPAN, max_spans=0)


_THOUGHTS = ['<think>', '</think>', r'\boxed{', '}', 'x', '\n']


@given(st.lists(st.sampled_from(_THOUGHTS)).map(''.join))
def test_the_format_is_that_of_easyr1(text):
  official = re.compile(r'<think>.*</think>.*\\boxed\{.*\}.*', re.DOTALL)
  matched = math.format([text], pattern=hyrea.FORMAT)
  assert matched == [float(bool(official.fullmatch(text)))]


def test_long_texts_are_judged_in_linear_time():
  start = time.monotonic()
  texts = [
    '<think>' + '</think>' * 50_000 + r'\boxed{' * 50_000,
    '<start-latent>' + ' ' * 1_000_000,
    '<start-latent>' + '<latent> ' * 100_000,
    '<start-latent><latent>' * 50_000,
  ]
  assert math.format(texts, pattern=hyrea.FORMAT) == [0] * 4
  assert hyrea.latent(texts) == [0] * 4
  assert time.monotonic() - start < 5
