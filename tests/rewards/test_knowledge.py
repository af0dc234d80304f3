import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybrid_latent.rewards.knowledge import knowledge, normalised, parse


@pytest.mark.parametrize(
  ('text', 'spelling'),
  [
    ('The  U.S.A.!', 'usa'),
    ('an apple, a day\n', 'apple day'),
    ('Theatre of Dreams', 'theatre of dreams'),
    ('twenty-one', 'twentyone'),
    ('A', ''),
    ('Çatal Höyük', 'çatal höyük'),
  ],
)
def test_spelling(text, spelling):
  assert normalised(text) == spelling


@given(st.text())
def test_a_spelling_has_no_case_and_no_outer_spaces(text):
  spelling = normalised(text)
  assert spelling == spelling.strip() == spelling.lower()


@pytest.mark.parametrize(
  ('completion', 'reward'),
  [
    ('He did. #### The Beatles.', 1),
    ('#### beatles', 1),
    ('#### Fab Four', 1),
    ('#### the Beatles or Fab Four', 0),
    ('The Beatles', 0),
    ('#### The Beatles #### The Beatles', 0),
    ('####', 0),
  ],
)
def test_any_gold_answer_behind_the_only_delimiter(completion, reward):
  golds = ['Beatles', 'The Fab Four', 'a']
  assert knowledge([completion], answer=[golds]) == [reward]
  assert (parse(completion) in ('beatles', 'fab four')) == reward


def test_gold_answers_of_which_nothing_is_left_are_not_judged():
  texts = ['#### the'] * 3
  assert knowledge(texts, answer=['The', [], 'Beatles']) == [None, None, 0]
