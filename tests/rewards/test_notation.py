import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybrid_latent.rewards import notation


@pytest.mark.parametrize(
  ('text', 'plain'),
  [
    ('－５ ½', r'-5 \frac{1}{2}'),
    ('1 000', '1000'),
    ('12 345 678', '12345678'),
    ('2024 100', '2024 100'),
    (r'1\,000', '1000'),
    (r'10,\!080', '10,080'),
    (r'1 \\ 2', r'1 \\ 2'),
    ('1.5e-3', r'1.5\times 10^{-3}'),
    ('2e', '2e'),
    ('3 1/2', r'3\frac{1}{2}'),
    (r'\$5', '5'),
    ('x²', 'x^{2}'),
    (r'\frac{1}{2}', r'\frac{1}{2}'),
  ],
)
def test_notations(text, plain):
  assert notation.plain(text) == plain


@pytest.mark.parametrize(
  ('text', 'bare'),
  [
    ('14 apples', '14'),
    ('The answer is 1/2', '1/2'),
    ('5km', '5'),
    ('2k', '2k'),
    ('2k + 2', '2k + 2'),
    ('3 and 4', '3 and 4'),
    (r'5 \pi', r'5 \pi'),
    ('apples', 'apples'),
  ],
)
def test_words_around_one_number_are_dropped(text, bare):
  assert notation.without_words(text) == bare


@given(st.fractions(max_denominator=1000))
def test_a_number_reads_as_itself(value):
  assert notation.last_number(f'so {value}') == value


@given(st.text())
def test_any_text_has_a_plain_notation_and_a_number_or_none(text):
  assert notation.plain(notation.plain(text)) is not None
  notation.last_number(text)
