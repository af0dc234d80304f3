import re

from hypothesis import example, given
from hypothesis import strategies as st

from hybrid_latent.rewards.latex import last_span

SPAN = re.compile(
  r'\\\[(?P<display>.+?)\\\]'
  r'|\\\((?P<inline>.+?)\\\)'
  r'|(?P<dollars>\$\$?)(?P<dollar>.+?)(?P=dollars)',
  re.DOTALL,
)
_PIECES = [r'\[', r'\]', r'\(', r'\)', '$', '$$', 'x', ' ', '\\']


@given(st.lists(st.sampled_from(_PIECES)).map(''.join))
@example('$$$')
@example('$$a$b')
@example(r'\(\)\)')
def test_the_last_span_is_that_of_the_quadratic_regular_expression(text):
  spans = [
    m['display'] or m['inline'] or m['dollar'] for m in SPAN.finditer(text)
  ]
  assert last_span(text) == (spans[-1].strip() if spans else '')
