import pytest
from math_verify import parse

from hybrid_latent.rewards.magnitude import bits


@pytest.mark.parametrize(
  ('latex', 'small'),
  [
    ('14', True),
    ('2^{2023}', True),
    (r'\frac{1}{3^{100}}', True),
    ('x^{2023}', True),
    ('e^{x^{2}}', True),
    ('100!', True),
    (r'\binom{100}{50}', True),
    (r'\sum_{n=1}^{100} n', True),
    ('9^{9^{9}}', False),
    ('((99!)!)!', False),
    ('(10^9)!', False),
    (r'\binom{10^9}{10^8}', False),
    (r'\prod_{n=1}^{10^9} n', False),
    (r'\exp(\exp(\exp(100)))', False),
    (r'\begin{pmatrix}1&2\\3&4\end{pmatrix}^{1000000000}', False),
    ('2' + '!' * 100, False),
    ('2^' * 100 + '2', False),
  ],
)
def test_what_would_be_huge_is_known_before_it_is_worked_out(latex, small):
  read = parse(f'${latex}$', parsing_timeout=None)[0]
  assert (bits(read) <= 10_000) == small
