"""What replaces the clipped ratio: CISPO's weights, SAPO's gate, a divergence
alone."""

import jax.numpy as jnp
import numpy as np
import pytest

from hybrid_latent.objectives.advantages import zero
from hybrid_latent.objectives.base import AdvantageInputs
from tests.objectives.by_hand import (
  loss_and_gradients,
  loss_inputs,
  one_token,
)


@pytest.mark.parametrize('advantage', [2.0, -2.0])
@pytest.mark.parametrize(
  ('ratio', 'weight', 'clipped'),
  [(9.0, 5.0, 'high'), (1.5, 1.5, ''), (1e-3, 1e-3, '')],
)
def test_cispo_keeps_the_gradient_of_every_token(
  ratio, weight, clipped, advantage
):
  """With low = 1 nothing is clipped below, whatever the advantage's sign."""
  how = {'surrogate': 'cispo', 'clip_range': (1.0, 4.0)}
  value, gradient, metrics = one_token(np.log(ratio), advantage, **how)
  np.testing.assert_allclose(gradient, -weight * advantage, rtol=1e-12)
  np.testing.assert_allclose(value, gradient * np.log(ratio), rtol=1e-12)
  assert metrics['clip_ratio/high_mean'] == (clipped == 'high')
  assert not metrics['clip_ratio/low_mean']


@pytest.mark.parametrize('advantage', [2.0, -2.0])
def test_sapo_is_on_policy_reinforce_and_fades_away_from_it(advantage):
  """Paper, equation 8: the weight 4 p (1 - p) rho of the score."""
  how = {'surrogate': 'sapo', 'clip_range': None, 'temperatures': (1.0, 2.0)}
  tau = 1.0 if advantage > 0 else 2.0
  for ratio in (0.2, 1.0, 3.0):
    gate = 1 / (1 + np.exp(-tau * (ratio - 1)))
    expected = -4 * gate * (1 - gate) * ratio * advantage
    gradient = one_token(np.log(ratio), advantage, **how)[1]
    np.testing.assert_allclose(gradient, expected, rtol=1e-12)
    assert ratio != 1 or gradient == -advantage
  value, gradient, _ = one_token(1000.0, advantage, **how)
  assert (value, gradient) == (-4 / tau * advantage, 0)


def test_on_policy_distillation_follows_the_reference_alone():
  """The score times log(policy / reference), in the mean over tokens: that of
  the reverse KL."""
  e = loss_inputs(old_log_probs=None)
  values = zero(AdvantageInputs(jnp.arange(4.0), e.loss_mask), 2).values
  e = e._replace(advantages=np.asarray(values))
  _, gradients, _ = loss_and_gradients(e, beta=1.0, kl='k3+')
  slope = (e.log_probs - e.ref_log_probs) * e.loss_mask / e.loss_mask.sum()
  np.testing.assert_allclose(gradients['log_probs'], slope, rtol=1e-12)
