"""The text of a range in `help` of a function."""

import pytest

from hybrid_latent.ranges import Range


@pytest.mark.parametrize(
  ('accepted', 'text'),
  [
    (Range(gt=0, lt=1), '0 < x < 1'),
    (Range(ge=0, le=1), '0 <= x <= 1'),
    (Range(ge=1), '1 <= x'),
    (Range(infinite=True), 'x or -inf'),
  ],
)
def test_a_range_is_an_inequality(accepted, text):
  assert repr(accepted) == text
