"""Settings that no loss has are refused by name."""

import re

import jax
import jax.numpy as jnp
import pytest

from hybrid_latent.objectives.policy_gradient import policy_gradient
from tests.objectives.by_hand import loss_inputs


@pytest.mark.parametrize(
  ('how', 'message'),
  [
    ({'aggregation': 'mean'}, "aggregation 'mean': write one of ['token', "),
    ({'level': 'row'}, "level 'row': write one of ['token', 'sequence', "),
    ({'kl': 'k4'}, "kl 'k4': write one of ['k1', 'k2', 'k3', "),
    (
      {'importance_sampling_mode': 'mask'},
      "importance_sampling_mode 'mask': write one of ['none', 'token",
    ),
    (
      {
        'importance_sampling_mode': 'token_mask',
        'importance_sampling_target': 'old',
      },
      "importance_sampling_target 'old': write",
    ),
    (
      {'importance_sampling_mode': 'token_mask', 'importance_sampling_cap': 0},
      'importance_sampling_cap 0: write the largest',
    ),
    ({'aggregation': 'constant'}, 'length None with aggregation'),
    ({'length': 7}, "length 7 with aggregation 'token': write"),
    (
      {'clip_range': (0.2, 0)},
      'clip_range (0.2, 0): write (low, high) with 0 < low',
    ),
    (
      {'clip_range': (1.0, 0.2)},
      'clip_range (1.0, 0.2): write (low, high) with',
    ),
    ({'delta': 1.2}, 'delta 1.2: write a ratio above 1 + high'),
    ({'delta': 3.0, 'clip_range': None}, 'delta 3.0 and no clip_range: write'),
    ({'surrogate': 'ppo'}, "surrogate 'ppo': write one of ['clip', 'cispo', "),
    (
      {'surrogate': 'sapo'},
      "clip_range (0.2, 0.2) with surrogate 'sapo': write (low, high) with",
    ),
    (
      {'surrogate': 'cispo', 'clip_range': None},
      "clip_range None with surrogate 'cispo': write",
    ),
    (
      {'surrogate': 'cispo', 'delta': 3.0},
      'delta 3.0 and no clip_range: write',
    ),
    (
      {'surrogate': 'cispo', 'clip_range': (2.0, 4.0)},
      'clip_range (2.0, 4.0): write (low, high) with 0 < low <= 1',
    ),
    (
      {'surrogate': 'sapo', 'clip_range': None, 'temperatures': (1.0, 0.0)},
      'temperatures (1.0, 0.0): write two numbers above 0',
    ),
    ({'top_entropy': 20}, 'top_entropy 20: write a share from 0 to 1'),
    ({'beta': 0.1}, 'beta 0.1 and no inputs.ref_log_probs: write 0'),
  ],
)
def test_what_no_loss_is_is_refused(how, message):
  e = loss_inputs(ref_log_probs=None)
  with pytest.raises(ValueError, match=re.escape(message)):
    policy_gradient(jax.tree.map(jnp.asarray, e), **how)


def test_a_critic_needs_returns():
  e = loss_inputs(critic=True)._replace(returns=None)
  with pytest.raises(ValueError, match='values without returns: write the adv'):
    policy_gradient(jax.tree.map(jnp.asarray, e))
