"""Advantages of Latent-GRPO, against a loop over groups and rows."""

import jax.numpy as jnp
import numpy as np
import pytest

from hybrid_latent.objectives import advantages
from hybrid_latent.objectives.base import AdvantageInputs
from hybrid_latent.objectives.latent_grpo import group_relative

ROWS, GROUP, T = 12, 4, 6


@pytest.fixture(scope='module')
def inputs():
  rng = np.random.default_rng(0)
  lengths = rng.integers(1, T + 1, ROWS)
  mask = np.arange(T) < lengths[:, None]
  mask[2, 0] = False  # its first token was forced
  rewards = rng.integers(0, 2, ROWS).astype(np.float32)
  rewards[4:8] = [0, 1, 1, 1]
  rewards[8:] = 1  # a group without a positive advantage
  terminated = np.ones(ROWS, bool)
  terminated[[1, 5]] = False
  log_probs = rng.normal(-2, 1, (ROWS, T)).astype(np.float32)
  return AdvantageInputs(
    *map(jnp.asarray, (rewards, mask)),
    log_probs=jnp.asarray(log_probs),
    terminated=jnp.asarray(terminated),
  )


def by_hand(inputs, eps=1e-4):
  rewards, mask, log_probs, terminated = (
    np.float64(x) if x.dtype != bool else np.asarray(x)
    for x in (inputs.rewards, inputs.loss_mask, inputs.log_probs,
              inputs.terminated)
  )  # fmt: skip
  found = np.zeros((ROWS, T))
  for rows in np.arange(ROWS).reshape(-1, GROUP):
    valid = [i for i in rows if terminated[i]]
    scores = rewards[valid]
    for i in valid:
      found[i] = (rewards[i] - scores.mean()) / (scores.std(ddof=1) + eps)
    candidates = [i for i in rows if found[i, 0] > 0]
    if candidates:
      best = max(candidates, key=lambda i: log_probs[i][mask[i]].mean())
      for i in rows:
        if i != best:
          found[i, np.flatnonzero(mask[i])[0]] = 0
  return found


def test_they_are_those_of_the_loop(inputs):
  expected = by_hand(inputs)
  actual = group_relative(inputs, GROUP).values
  mask = np.asarray(inputs.loss_mask)
  np.testing.assert_allclose(
    np.asarray(actual)[mask], expected[mask], rtol=1e-5, atol=1e-6
  )
  zeros = (expected == 0) & mask
  assert zeros[2, 1] and zeros[0:4].any() and (expected != 0)[mask].any()


def test_with_one_right_path_and_all_ended_only_wrong_first_tokens_change(
  inputs,
):
  rewards = jnp.zeros(ROWS).at[::GROUP].set(1.0)
  inputs = inputs._replace(rewards=rewards, terminated=jnp.ones(ROWS, bool))
  plain = np.asarray(advantages.group_relative(inputs, GROUP).values)
  ours = np.asarray(group_relative(inputs, GROUP).values)
  np.testing.assert_array_equal(ours[::GROUP], plain[::GROUP])
  changed = (ours != plain) & np.asarray(inputs.loss_mask)
  assert (changed.sum(1) == (np.arange(ROWS) % GROUP > 0)).all()
