"""What is left of a reasoning of which tokens or steps are deleted."""

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.studies.cot_ablation import KINDS, ablate, step_ids
from hybrid_latent.curricula.steps import split_steps
from hybrid_latent.data import arithmetic

STEPS = st.lists(st.lists(st.integers(0, 99), max_size=5), max_size=20)
shares = st.floats(0, 1)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(steps=STEPS, p=shares, q=shares, row=st.integers(0, 2**31))
def test_what_is_left_keeps_its_order_and_only_shrinks(steps, p, q, row):
  flat = [i for step in steps for i in step]
  for kind in KINDS:
    left = partial(ablate, steps, kind, seed=3, row=row)
    assert left(0.0) == flat
    assert left(1.0) == []
    more, less = left(min(p, q)), left(max(p, q))
    assert is_part(more, flat) and is_part(less, more)
    assert left(p) == left(p)
  # Every id of its own: a step is there as a whole, or not at all.
  own = [[(i, j) for j, _ in enumerate(step)] for i, step in enumerate(steps)]
  left = ablate(own, 'step', p, seed=3, row=row)
  assert all({*step} <= {*left} or not {*step} & {*left} for step in own)


def is_part(some: list, of: list) -> bool:
  """Whether `some` are in `of`, in this order."""
  rest = iter(of)
  return all(x in rest for x in some)


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('share', [0.1, 0.5, 0.9])
def test_the_expected_share_is_left(kind, share):
  """Over rows and over the tokens of one; and independently of the others."""
  steps = [[i] for i in range(200)]
  kept = np.array(
    [
      np.isin(range(200), ablate(steps, kind, share, seed=1, row=row))
      for row in range(500)
    ]
  )
  sigma = np.sqrt(share * (1 - share))
  assert abs(kept.mean() - (1 - share)) < 4 * sigma / np.sqrt(kept.size)
  assert np.abs(kept.mean(0) - (1 - share)).max() < 5 * sigma / np.sqrt(500)
  assert np.abs(kept.mean(1) - (1 - share)).max() < 5 * sigma / np.sqrt(200)
  both = (kept[:, 1:] & kept[:, :-1]).mean()
  assert abs(both - (1 - share) ** 2) < 0.01


def test_rows_and_seeds_delete_differently():
  steps = [[*range(100)]]
  found = {
    (*ablate(steps, 'token', 0.5, seed=seed, row=row),)
    for seed in range(3)
    for row in range(3)
  }
  assert len(found) == 9


def test_steps_joined_are_the_reasoning():
  tokenizer = arithmetic.tokenizer()
  for text in ['', 'So 1+1=2.\n\nNow it is. Then', '12+7=19 19-5=14 ' * 2]:
    steps = step_ids(tokenizer, text)
    assert len(steps) == len(split_steps(text))
    assert tokenizer.decode([i for step in steps for i in step]) == text
