"""A policy is a language model."""

import pytest

from hybrid_latent.policy import Policy


def test_a_model_without_table_is_told_so():
  class Other:
    pass

  with pytest.raises(AttributeError, match=r'Other has no `table`.*\[v d\]'):
    _ = Policy(Other()).table
