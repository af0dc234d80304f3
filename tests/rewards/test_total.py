"""One number for each completion, of several rewards."""

import numpy as np
import pytest

from hybrid_latent.rewards.grader import Grader, total

NAN = np.nan
TOTALS = [  # rewards with their weights, samples of a prompt, totals
  ({'a': (10, [1, NAN, NAN, 0]), 'b': (0.5, [2, 2, NAN, 1])}, 1,
   [11, 1, NAN, 0.5]),
  # A metric decides nothing.
  ({'a': (1, [NAN, 1]), 'b': (0, [1, 1])}, 1, [NAN, 1]),
  ({'a': (1, [NAN, 1]), 'b': (0, [1, 1])}, 2, [NAN, 1]),
  ({'a': (1, [2, 1]), 'b': (0, [NAN, NAN])}, 2, [2, 1]),
  ({'a': (-1, [NAN, NAN]), 'b': (0, [5, 5]), 'c': (0, [NAN, 5])}, 2,
   [NAN, NAN]),
  # Samples of a prompt are compared by the same rewards.
  ({'a': (1, [NAN, 1]), 'b': (1, [1, 1])}, 2, [NAN, 2]),
  ({'a': (1, [NAN, NAN, 1, 0]), 'b': (1, [1, 0, 1, 1])}, 2, [1, 0, 2, 1]),
  ({'a': (1, [NAN, 1, NAN, NAN]), 'b': (2, [1, NAN, NAN, NAN])}, 2, [NAN] * 4),
]  # fmt: skip


@pytest.mark.parametrize(('rewards', 'group', 'expected'), TOTALS)
def test_total_weighs_what_could_be_graded(rewards, group, expected):
  results = {k: np.array(x, np.float32) for k, (_, x) in rewards.items()}
  summed = total(results, {k: w for k, (w, _) in rewards.items()}, group)
  assert summed.dtype == np.float32
  np.testing.assert_array_equal(summed, expected)


def test_rewards_without_a_weight_are_refused():
  results = {'a': np.zeros(2, np.float32), 'b': np.zeros(2, np.float32)}
  with pytest.raises(ValueError, match=r"no weight for the rewards \['b'\]"):
    total(results, {'a': 1})
  with pytest.raises(
    ValueError, match=r"the weights of \['a', 'b'\] are all 0"
  ):
    total(results, {'a': 0, 'b': 0})
  with pytest.raises(
    ValueError, match=r"the weights of \['length'\] are all 0"
  ):
    Grader({'length': {'function': 'hostile:length', 'weight': 0}})
