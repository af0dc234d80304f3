"""The loss of every paper: its formula, its gradient, and what must hold."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hybrid_latent.objectives.advantages import group_relative, leave_one_out
from hybrid_latent.objectives.base import AdvantageInputs, LossInputs
from hybrid_latent.objectives.policy_gradient import policy_gradient
from hybrid_latent.optim import mean_gradient
from tests.objectives.by_hand import (
  PAPERS,
  carriers,
  finite_differences,
  loss_and_gradients,
  loss_by_hand,
  loss_inputs,
  one_token,
)
from tests.tiny import QUICK

OTHERS = {
  'k1': {'beta': 0.1, 'kl': 'k1'},
  'k2': {'beta': 0.1, 'kl': 'k2'},
  'entropy': {'entropy_coef': 0.1, 'aggregation': 'sequence'},
  'top entropy': {'top_entropy': 0.3, 'entropy_coef': 0.1, 'beta': 0.1},
  'critic': {'value_clip': None, 'clip_range': None},
}
# Each aggregation, each level, and a critic.
VARIED = ('PPO', 'GSPO', 'Dr. GRPO', 'RLOO', 'Soft Tokens')
ON_POLICY = {'old_log_probs': None, 'ref_log_probs': None}


@pytest.mark.parametrize('name', PAPERS | OTHERS)
def test_loss_is_the_formula_and_gradients_its_finite_differences(name):
  how = (PAPERS | OTHERS)[name]
  e = loss_inputs(critic='value_clip' in how)
  value, gradients, metrics = loss_and_gradients(e, **how)
  np.testing.assert_allclose(value, loss_by_hand(e, **how), rtol=1e-12)
  # Each bound is reached.
  assert all(x for name, x in metrics.items() if name.endswith('_mean'))
  expected = finite_differences(e, **how)
  assert gradients.keys() == expected.keys()
  for field, gradient in gradients.items():
    np.testing.assert_allclose(gradient, expected[field], rtol=0, atol=1e-8)


@pytest.mark.parametrize('beta', [0.005, 0.3])
def test_hrpo_is_its_released_gradient(beta):
  """mask / length / rows * (-A + beta (1 - exp(reference - log_probs)))."""
  how = PAPERS['HRPO'] | {'beta': beta}
  e = loss_inputs(old_log_probs=None)
  value, gradients, _ = loss_and_gradients(e, **how)
  np.testing.assert_allclose(
    value,
    loss_by_hand(e._replace(old_log_probs=e.log_probs), **how),
    rtol=1e-12,
  )
  slope = -e.advantages + beta * (1 - np.exp(e.ref_log_probs - e.log_probs))
  weight = e.loss_mask / e.loss_mask.sum(-1, keepdims=True) / len(e.loss_mask)
  np.testing.assert_allclose(gradients['log_probs'], weight * slope, rtol=1e-12)


def test_soft_tokens_is_the_rows_log_probability_times_its_advantage():
  """-1 / rows sum_i A_i sum_t log_probs, by its gradient."""
  e = loss_inputs(**ON_POLICY)
  _, gradients, _ = loss_and_gradients(e, **PAPERS['Soft Tokens'])
  np.testing.assert_allclose(
    gradients['log_probs'], -e.advantages * e.loss_mask / 4, rtol=1e-12
  )


def test_in_expectation_it_climbs_the_reward():
  """Over all actions of a one-step policy: minus the gradient of E[reward]."""
  logits, rewards = np.random.default_rng(0).normal(size=(2, 5))

  def weighted_loss(logits):
    log_probs = jax.nn.log_softmax(logits)[:, None]
    chance = jax.lax.stop_gradient(jnp.exp(log_probs))
    actions = LossInputs(
      log_probs,
      entropy=jnp.zeros((5, 1)),
      values=None,
      loss_mask=jnp.ones((5, 1), bool),
      # Five rows share the mean: each counts as often as it is drawn.
      advantages=5 * chance * rewards[:, None],
      old_log_probs=None,
      rollout_log_probs=log_probs,
      behavior_log_probs=log_probs,
    )
    return policy_gradient(actions, **PAPERS['Soft Tokens'])[0].value

  p = np.exp(logits) / np.exp(logits).sum()
  expected = -p * (rewards - (p * rewards).sum())
  slope = jax.jit(jax.grad(weighted_loss), compiler_options=QUICK)
  actual = slope(jnp.asarray(logits))
  np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize('level', ['token', 'sequence', 'sequence-sum'])
def test_on_policy_no_clip_matters(level):
  e = loss_inputs(**ON_POLICY)
  free = loss_and_gradients(e, level=level, clip_range=None)
  given, near = (
    e._replace(old_log_probs=e.log_probs),
    {'clip_range': (1e-3,) * 2, 'delta': 1.01},
  )
  for same, how in ((e, {}), (given, near)):
    value, gradients, metrics = loss_and_gradients(same, level=level, **how)
    assert value == free[0]
    for name, gradient in gradients.items():
      np.testing.assert_array_equal(gradient, free[1][name])
    assert not any(metrics.values())


@pytest.mark.parametrize(
  ('ratio', 'advantage', 'loss', 'slope', 'clipped'),
  [
    (1.1, 2.0, -2.2, -2.2, ''),
    (1.5, 2.0, -2.4, 0, 'high'),
    (0.5, 2.0, -1.0, -1.0, ''),
    (0.5, -2.0, 1.6, 0, 'low'),
    (1.5, -2.0, 3.0, 3.0, ''),
    (5.0, -1.0, 3.0, 0, ''),  # the dual clip
  ],
)
def test_a_clipped_token_has_no_gradient_at_all(
  ratio, advantage, loss, slope, clipped
):
  value, gradient, metrics = one_token(np.log(ratio), advantage, delta=3)
  np.testing.assert_allclose(value, loss, rtol=1e-12)
  np.testing.assert_allclose(gradient, slope, rtol=1e-12)
  for side in ('low', 'high', 'region'):
    expected = (
      clipped in (side, 'low', 'high')
      if side == 'region'
      else (clipped == side)
    )
    assert metrics[f'clip_ratio/{side}_mean'] == expected


def test_a_ratio_beyond_floats_is_clipped_as_any_other():
  value, gradient, _ = one_token(1000.0, 1.0, level='sequence-sum')
  np.testing.assert_allclose(value, -1.2)
  assert gradient == 0


@pytest.mark.parametrize('advantages_of', [group_relative, leave_one_out])
def test_equal_rewards_teach_nothing(advantages_of):
  e = loss_inputs()
  made = jax.jit(partial(advantages_of, group=2), compiler_options=QUICK)
  values = made(AdvantageInputs(jnp.full(4, 0.3), e.loss_mask)).values
  e = e._replace(advantages=np.asarray(values))
  assert not loss_and_gradients(e)[1]['log_probs'].any()
  assert loss_and_gradients(e, beta=0.1)[1]['log_probs'].any()


@pytest.mark.parametrize('name', VARIED)
def test_what_is_not_counted_does_not_exist(name):
  """Appended padding, and a row without a grade, whatever stands there."""
  how = PAPERS[name]
  e = loss_inputs(critic=name == 'PPO')
  dirty = np.full_like(e.log_probs, np.nan)
  grown = jax.tree.map(
    lambda x: np.block(
      [[np.where(e.loss_mask, x, np.nan), dirty], [dirty, dirty]]
    ),
    e._replace(loss_mask=None),
  )
  grown = grown._replace(loss_mask=np.zeros((8, 10), bool))
  grown.loss_mask[:4, :5] = e.loss_mask
  value, gradients, metrics = loss_and_gradients(e, **how)
  same, others, figures = loss_and_gradients(grown, **how)
  np.testing.assert_allclose(same, value, rtol=1e-12)
  assert figures == pytest.approx(metrics, rel=1e-12)
  for field, gradient in others.items():
    np.testing.assert_allclose(gradient[:4, :5], gradients[field], rtol=1e-12)
    assert not gradient[4:].any()
    assert not gradient[:, 5:].any()


@pytest.mark.parametrize('name', ['PPO', 'RLOO', 'top entropy'])
def test_nothing_at_all_is_a_loss_of_zero(name):
  e = loss_inputs(critic=True)
  e = e._replace(loss_mask=np.zeros_like(e.loss_mask))
  how = (PAPERS | OTHERS)[name] | {'importance_sampling_mode': 'sequence_mask'}
  value, gradients, metrics = loss_and_gradients(e, **how)
  assert value == 0
  assert not any(gradient.any() for gradient in gradients.values())
  assert not any(metrics.values())


@pytest.mark.parametrize('name', VARIED)
def test_no_cut_into_micro_batches_changes_the_update(name):
  e = loss_inputs(lengths=[5, 1, 4, 3, 2, 0, 5, 5], critic=name == 'PPO')
  how = {
    'entropy_coef': 0.01,
    'importance_sampling_mode': 'sequence_truncate',
  } | PAPERS[name]

  def loss(fields, rows):
    fields = {k: x * rows.loss_mask for k, x in fields.items()}
    moved = {k: getattr(rows, k) + x for k, x in fields.items()}
    return policy_gradient(rows._replace(**moved), **how)

  with jax.enable_x64(True):
    shifts = {k: np.zeros((1, x.shape[1])) for k, x in carriers(e).items()}
    whole, cut = (
      jax.jit(
        partial(mean_gradient, loss, gradient_accumulation_steps=parts),
        compiler_options=QUICK,
      )(shifts, e)
      for parts in (1, 4)
    )
  for name, gradient in whole[0].items():
    assert gradient.any()
    np.testing.assert_allclose(cut[0][name], gradient, rtol=1e-9, atol=1e-15)
  for name, figure in whole[1].items():
    assert float(cut[1][name]) == pytest.approx(float(figure), rel=1e-6)


def test_without_reference_there_is_no_kl():
  assert 'kl' not in loss_and_gradients(loss_inputs(ref_log_probs=None))[2]
  e = loss_inputs()
  d = (e.ref_log_probs - e.log_probs)[e.loss_mask]
  kl = loss_and_gradients(e)[2]['kl']
  np.testing.assert_allclose(kl, (np.exp(d) - d - 1).mean(), rtol=1e-12)


@pytest.mark.parametrize('aggregation', ['token', 'sum'])
def test_the_entropy_bonus_is_averaged_as_the_rest(aggregation):
  e, how = loss_inputs(), {'aggregation': aggregation, 'clip_range': None}
  without, _, _ = loss_and_gradients(e, **how)
  value, _, _ = loss_and_gradients(e, **how, entropy_coef=0.1)
  e = e._replace(advantages=-e.entropy, old_log_probs=e.log_probs)
  mean, _, _ = loss_and_gradients(e, **how)
  np.testing.assert_allclose(value, without - 0.1 * mean, rtol=1e-12)


def test_the_critic_is_measured():
  e = loss_inputs(critic=True)
  metrics = loss_and_gradients(e, value_clip=0.5)[2]
  v, r, old = (x[e.loss_mask] for x in (e.values, e.returns, e.old_values))
  plain = (v - r) ** 2
  near = (np.clip(v, old - 0.5, old + 0.5) - r) ** 2
  share = (near > plain).mean()
  assert 0 < share < 1
  assert metrics['clip_ratio/value'] == pytest.approx(share)
  loss = np.maximum(plain, near).mean() / 2
  assert metrics['value_loss'] == pytest.approx(loss)
  # Its first update starts from the very values that it predicts.
  first = loss_and_gradients(e._replace(old_values=None))
  given = loss_and_gradients(e._replace(old_values=e.values))
  assert first[0] == given[0]
  assert first[2]['clip_ratio/value'] == 0
