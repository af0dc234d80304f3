"""TRL's own losses, run on the same numbers: values, gradients and metrics."""

from collections import defaultdict
from functools import partial
from types import MethodType, SimpleNamespace

import numpy as np
import pytest

from tests.objectives.by_hand import loss_and_gradients, loss_inputs

torch = pytest.importorskip('torch')
pytest.importorskip('trl', reason='TRL is in the dev extra')
from trl.trainer.grpo_trainer import GRPOTrainer  # noqa: E402
from trl.trainer.rloo_trainer import RLOOTrainer  # noqa: E402
from trl.trainer.utils import nanstd  # noqa: E402

LONGEST = 9


class Trainer(SimpleNamespace):
  """The little of a TRL trainer that its loss reads, on one process."""

  def __init__(self, e, **settings):
    tensor = lambda x: torch.tensor(x, requires_grad=True)
    self.log_probs, self.entropy = tensor(e.log_probs), tensor(e.entropy)
    same = lambda x, *args, **kwargs: x
    self.accelerator = SimpleNamespace(
      num_processes=1,
      sync_gradients=True,
      reduce=same,
      gather=same,
      pad_across_processes=same,
    )
    self.args = SimpleNamespace(
      delta=settings.pop('delta', None),
      use_bias_correction_kl=settings.pop('use_bias_correction_kl', False),
      steps_per_generation=1,
      **settings.pop('args', {}),
    )
    self.model = SimpleNamespace(training=True)
    self._metrics = defaultdict(partial(defaultdict, list))
    self.get_high_entropy_mask = MethodType(
      GRPOTrainer.get_high_entropy_mask, self
    )
    defaults = dict(
      aux_loss_enabled=False,
      beta=0.0,
      current_gradient_accumulation_steps=1,
      entropy_coef=0.0,
      epsilon_low=0.2,
      epsilon_high=0.2,
      importance_sampling_level='token',
      loss_type='dapo',
      max_completion_length=LONGEST,
      off_policy_mask_threshold=None,
      top_entropy_quantile=1.0,
      use_adaptive_entropy=False,
      use_vllm=False,
      vllm_importance_sampling_correction=True,
    )
    super().__init__(**defaults | settings)
    self._entropy_bonus_enabled = bool(self.entropy_coef)

  def _get_per_token_logps_and_entropies(self, *args, **kwargs):
    return self.log_probs, self.entropy, None


def trl(loss, e, trainer, **inputs):
  """Its loss, gradients by field and the metrics of one step."""
  shape = e.loss_mask.shape
  value = loss(
    trainer,
    None,
    {
      'prompt_ids': torch.zeros(shape, dtype=torch.long),
      'prompt_mask': torch.ones(shape, dtype=torch.long),
      'completion_ids': torch.zeros(shape, dtype=torch.long),
      'completion_mask': torch.tensor(e.loss_mask).long(),
      'advantages': torch.tensor(e.advantages[:, 0]),
      'num_items_in_batch': torch.tensor(e.loss_mask.sum()),
      **inputs,
    },
  )
  value.backward()
  gradients = {
    name: np.zeros(shape) if x.grad is None else x.grad.numpy()
    for name in ('log_probs', 'entropy')
    for x in [getattr(trainer, name)]
  }
  metrics = {k: v for k, (v,) in trainer._metrics['train'].items()}
  return value.item(), gradients, metrics


def grpo(e, **settings):
  inputs = {'ref_per_token_logps': torch.tensor(e.ref_log_probs)}
  if e.old_log_probs is not None:
    inputs['old_per_token_logps'] = torch.tensor(e.old_log_probs)
  weights = settings.pop('weights', None)
  if weights is not None:
    inputs['importance_sampling_ratio'] = torch.tensor(weights)
    settings['use_vllm'] = True
  return trl(GRPOTrainer._compute_loss, e, Trainer(e, **settings), **inputs)


def assert_same(ours, theirs, counted=()):
  """`counted`: metrics that both have to report, and not as nothing."""
  value, gradients, metrics = ours
  expected, slopes, figures = theirs
  np.testing.assert_allclose(value, expected, rtol=1e-12)
  for name, slope in slopes.items():
    np.testing.assert_allclose(gradients[name], slope, rtol=0, atol=1e-12)
  for name in metrics.keys() & figures.keys():
    # TRL counts in float32.
    assert metrics[name] == pytest.approx(figures[name], rel=1e-6), name
  for name in counted:
    assert metrics[name] and figures[name]


CLIPPED = [f'clip_ratio/{side}_mean' for side in ('low', 'high', 'region')]


@pytest.mark.parametrize(
  ('how', 'settings'),
  [
    ({}, {}),
    ({'aggregation': 'sequence'}, {'loss_type': 'grpo'}),
    ({}, {'loss_type': 'bnpo'}),  # of a single micro-batch
    ({'aggregation': 'constant', 'length': LONGEST}, {'loss_type': 'dr_grpo'}),
    ({'aggregation': 'sum'}, {'loss_type': 'luspo'}),
    ({'clip_range': (0.1, 0.28)}, {'epsilon_low': 0.1, 'epsilon_high': 0.28}),
    ({'delta': 1.4}, {'delta': 1.4}),
    ({'top_entropy': 0.6}, {'top_entropy_quantile': 0.6}),
    ({'entropy_coef': 0.1}, {'entropy_coef': 0.1}),
  ],
)
def test_grpo(how, settings):
  e = loss_inputs()
  ours = loss_and_gradients(e, **how, beta=0.3)
  assert_same(ours, grpo(e, **settings, beta=0.3), [*CLIPPED, 'kl'])


@pytest.mark.parametrize(
  ('aggregation', 'loss_type'), [('sequence', 'grpo'), ('sum', 'luspo')]
)
def test_gspo(aggregation, loss_type):
  how = {
    'aggregation': aggregation,
    'level': 'sequence',
    'clip_range': (0.03, 0.04),
  }
  settings = {'loss_type': loss_type, 'importance_sampling_level': 'sequence'}
  settings |= {'epsilon_low': 0.03, 'epsilon_high': 0.04, 'beta': 0.1}
  e = loss_inputs()
  ours = loss_and_gradients(e, **how, beta=0.1)
  assert_same(ours, grpo(e, **settings), [*CLIPPED, 'kl'])


def test_on_policy_its_corrected_divergence_is_k3_straight_through():
  e = loss_inputs(old_log_probs=None)
  theirs = grpo(e, beta=0.3, use_bias_correction_kl=True)
  assert_same(loss_and_gradients(e, beta=0.3, kl='k3+'), theirs, ['kl'])


def test_cispo_whose_upper_bound_is_of_the_ratio():
  how = {'surrogate': 'cispo', 'clip_range': (1.0, 0.25), 'beta': 0.1}
  e = loss_inputs()
  theirs = grpo(e, loss_type='cispo', epsilon_high=1.25, beta=0.1)
  assert_same(loss_and_gradients(e, **how), theirs, ['kl'])


def test_sapo():
  how = {'surrogate': 'sapo', 'aggregation': 'sequence', 'clip_range': None}
  e = loss_inputs()
  temperatures = {'sapo_temperature_pos': 1.0, 'sapo_temperature_neg': 3.0}
  theirs = grpo(e, loss_type='sapo', args=temperatures, beta=0.1)
  ours = loss_and_gradients(e, **how, temperatures=(1.0, 3.0), beta=0.1)
  assert_same(ours, theirs, ['kl'])


@pytest.mark.parametrize('level', ['token', 'sequence'])
@pytest.mark.parametrize('bounded', ['truncate', 'mask'])
def test_sampling_weights(level, bounded):
  """TRL's formula of the weights, which its loss is given."""
  e = loss_inputs()
  drift = np.where(e.loss_mask, e.old_log_probs - e.rollout_log_probs, 0)
  if level == 'sequence':
    drift = drift.sum(-1, keepdims=True)
  weights = np.exp(drift)
  over = 1.3 if bounded == 'truncate' else 0
  weights = np.where(weights > 1.3, over, weights)
  theirs = grpo(e, beta=0.3, weights=weights)
  how = {
    'importance_sampling_mode': f'{level}_{bounded}',
    'importance_sampling_cap': 1.3,
    'beta': 0.3,
  }
  assert_same(loss_and_gradients(e, **how), theirs, CLIPPED)


def test_rloo():
  e = loss_inputs(ref_log_probs=None)
  old = torch.tensor(np.where(e.loss_mask, e.old_log_probs, 0).sum(-1))
  loss = RLOOTrainer._compute_loss
  theirs = trl(loss, e, Trainer(e), old_logps=old)
  how = {'aggregation': 'sequence', 'level': 'sequence-sum'}
  assert_same(loss_and_gradients(e, **how), theirs, CLIPPED)


def test_deviations_leave_out_what_has_no_grade():
  rewards = torch.tensor([[1.0, float('nan'), 0.0, 0.25]])
  expected = np.std([1, 0, 0.25], ddof=1)
  np.testing.assert_allclose(nanstd(rewards, dim=1).item(), expected, rtol=1e-6)
