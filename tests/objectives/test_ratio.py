"""Bounds on ratios, and weights for what another program has sampled."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hybrid_latent.objectives.ratio import (
  clipped_log_ratio,
  importance_log_ratio,
  importance_weights,
)
from hybrid_latent.ops.sampling import distribution, sampling
from tests.objectives.by_hand import (
  finite_differences,
  loss_and_gradients,
  loss_by_hand,
  loss_inputs,
)
from tests.tiny import QUICK

MODES = ('token_truncate', 'token_mask', 'sequence_truncate', 'sequence_mask')


def test_the_ratio_of_a_sequence_is_a_geometric_mean_or_a_product():
  e = loss_inputs()
  x = np.where(e.loss_mask, e.log_probs, np.nan)
  with jax.enable_x64(True):
    token, mean, total = (
      np.asarray(
        importance_log_ratio(*map(jnp.asarray, (x, e.loss_mask)), level)
      )[e.loss_mask]
      for level in ('token', 'sequence', 'sequence-sum')
    )
  np.testing.assert_array_equal(token, x[e.loss_mask])
  lengths = e.loss_mask.sum(-1)
  each = lambda rows: np.repeat(rows, lengths)
  np.testing.assert_allclose(mean, each(np.nanmean(x, -1)), rtol=1e-12)
  np.testing.assert_allclose(total, each(np.nansum(x, -1)), rtol=1e-12)


@pytest.mark.parametrize('advantage', [1.0, -2.0])
def test_the_two_sided_bound_is_the_dual_clip(advantage):
  """verl: min(c |A|, max(-rho A, -clip(rho) A)) where A < 0, and TRL."""
  rho, c = np.linspace(0.05, 6, 200, dtype=np.float32)[None], 3
  advantages = jnp.full(rho.shape, advantage)
  bounded, held = clipped_log_ratio(jnp.log(rho), advantages, (0.2, 0.28), c)
  clipped = np.clip(rho, 0.8, 1.28)
  loss = np.maximum(-rho * advantage, -clipped * advantage)
  if advantage < 0:
    loss = np.minimum(loss, c * -advantage)
  trl = -np.minimum(np.minimum(rho, c) * advantage, clipped * advantage)
  np.testing.assert_array_equal(loss, trl)
  np.testing.assert_allclose(-np.exp(bounded) * advantage, loss, rtol=2e-6)
  side = {1.0: ('high', rho > 1.28), -2.0: ('low', rho < 0.8)}[advantage]
  for name, where in held.items():
    np.testing.assert_array_equal(where, side[1] & (name == side[0]))


@pytest.mark.parametrize('mode', MODES)
@pytest.mark.parametrize(
  ('proposal', 'cap'), [('rollout', 1.2), ('behavior', 0.4)]
)
def test_weights_scale_the_policy_term_alone(mode, proposal, cap):
  how = {
    'importance_sampling_mode': mode,
    'importance_sampling_cap': cap,
    'importance_sampling_target': proposal,
  }
  how |= {'beta': 0.1, 'entropy_coef': 0.1}
  e = loss_inputs()
  value, gradients, metrics = loss_and_gradients(e, **how)
  np.testing.assert_allclose(value, loss_by_hand(e, **how), rtol=1e-12)
  for field, expected in finite_differences(e, **how).items():
    np.testing.assert_allclose(gradients[field], expected, rtol=0, atol=1e-8)
  drift = np.where(
    e.loss_mask, e.old_log_probs - getattr(e, f'{proposal}_log_probs'), 0
  )
  weights = np.exp(drift.sum(-1) if 'sequence' in mode else drift[e.loss_mask])
  assert 0 < (weights > cap).mean() < 1
  weights = np.where(weights > cap, cap * ('truncate' in mode), weights)
  name = 'sampling/importance_sampling_ratio'
  assert metrics[f'{name}/mean'] == pytest.approx(weights.mean())
  assert metrics[f'{name}/max'] == pytest.approx(weights.max())


@pytest.mark.parametrize('mode', MODES)
def test_weights_carry_no_gradient(mode):
  x, mask = jnp.log(jnp.array([[0.5, 1.5, 4.0]])), jnp.ones((1, 3), bool)
  total = lambda x: importance_weights(x, mask, mode, 2.0).sum()
  np.testing.assert_array_equal(jax.grad(total)(x), 0)
  assert total(x) == {MODES[0]: 4, MODES[1]: 2, MODES[2]: 6, MODES[3]: 0}[mode]


def test_on_policy_the_learner_is_still_weighed():
  """`old` is then log_probs themselves."""
  e = loss_inputs(old_log_probs=None, ref_log_probs=None)
  how = {'importance_sampling_mode': 'token_truncate', 'clip_range': None}
  _, gradients, _ = loss_and_gradients(e, **how)
  weights = np.minimum(np.exp(e.log_probs - e.rollout_log_probs), 3)
  expected = -weights * e.advantages * e.loss_mask / e.loss_mask.sum()
  np.testing.assert_allclose(gradients['log_probs'], expected, rtol=1e-12)


@pytest.mark.parametrize(
  'how', [{'top_p': 0.8}, {'top_k': 20}, {'top_p': 0.9, 'temperature': 0.7}]
)
def test_a_filter_does_not_bias_the_weights(how):
  """Drawn from a filtered sampler that is not quite the learner, the mean of
  exp(old - sampler) is 1, that of exp(old - behaviour) the kept mass."""
  temperature = how.get('temperature', 1.0)
  rng = np.random.default_rng(0)
  logits, noise = rng.normal(size=(2, 64))
  normalized = lambda x: x - np.logaddexp.reduce(x)
  # Both are scored at the temperature that tokens are drawn at.
  sampler = normalized(2 * logits / temperature)
  old = normalized((2 * logits + 0.02 * noise) / temperature)
  sampled_from = jax.jit(distribution, compiler_options=QUICK)(
    jnp.float32(2 * logits)[None], sampling(**how)
  )
  behaviour = normalized(np.float64(sampled_from.logits[0]))
  kept = np.exp(sampler)[np.isfinite(behaviour)].sum()
  assert kept < 0.97
  drawn = rng.choice(64, size=(200, 100), p=np.exp(behaviour))
  mask = jnp.ones(drawn.shape, bool)
  mean = lambda log_ratio: importance_weights(
    jnp.float32(log_ratio[drawn]), mask, 'token_truncate', 10.0
  ).mean()
  assert mean(old - sampler) == pytest.approx(1, abs=0.005)
  assert mean(old - behaviour) == pytest.approx(kept, abs=0.005)
  # It is the learner on the sampler's support.
  mass = sampler[drawn] - behaviour[drawn]
  np.testing.assert_allclose(mass, np.log(kept), rtol=1e-5)
  renormalised = (old - np.log(kept))[drawn]
  np.testing.assert_allclose(
    renormalised - behaviour[drawn], (old - sampler)[drawn], atol=1e-6
  )
