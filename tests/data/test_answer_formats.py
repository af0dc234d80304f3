"""A parser for each reward that grades an answer."""

import pytest

from hybrid_latent.data.answer_formats import parser


@pytest.mark.parametrize(
  ('reward', 'kwargs', 'expected'),
  [
    ('hybrid_latent.rewards.hrpo:gsm8k', {}, '1/3'),
    ('hrpo:correct', {'kind': 'letter'}, 'B'),
    ('hrpo:choice', {}, 'B'),
    ('hrpo:boxed_math', {}, r'b:\frac{1}{3}'),
    ('answers:correct', {}, r'\text{B}: \frac13'),
    ('answers:exact', {}, r'The \boxed{\text{B}: \frac13}.'),
    ('answers:exact', {'marker': r'\boxed'}, r'\text{B}: \frac13'),
    ('knowledge:knowledge', {}, 'boxedtextb frac13'),
    ('hyrea:latent', {}, r'\text{B}: \frac13'),
  ],
)
def test_it_reads_what_the_reward_grades(reward, kwargs, expected):
  text = r'So A. #### The \boxed{\text{B}: \frac13}.'
  assert parser({'function': reward, 'kwargs': kwargs})(text) == expected
