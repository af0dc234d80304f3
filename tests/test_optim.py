"""AdamW in groups against its formulas in numpy, and gradients of slices."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from hybrid_latent.objectives.accumulators import RunningMax, RunningMean
from hybrid_latent.objectives.base import LossInputs
from hybrid_latent.objectives.policy_gradient import policy_gradient
from hybrid_latent.ops.sampling import sampling
from hybrid_latent.optim import adamw, is_trained, mean_gradient, slice_of
from hybrid_latent.rescoring import rescore
from tests import tiny

GROUPS = {
  'slow': {'pattern': r'\.lora\.', 'lr': 1e-3, 'weight_decay': 0.1},
  'fast': {'pattern': '^gate', 'lr': 0.1, 'weight_decay': 0.0},
}
PARAMS = {
  'gate': jnp.array([0.5, -2.0]),
  'layers': {'q': {'lora': {'a': jnp.array([[1.0, 2.0, -3.0]])}}},
}


def updates(groups, gradients, params=PARAMS, **settings):
  """The parameters after each gradient."""
  tx = adamw(params, groups, **settings)
  state, after = tx.init(params), []
  for gradient in gradients:
    change, state = tx.update(gradient, state, params)
    params = optax.apply_updates(params, change)
    after.append(params)
  return after


def test_groups_have_their_own_rate_and_decay_under_one_clip():
  rng = np.random.default_rng(0)
  scales = [3.0, 0.01, 1.0, 0.2, 2.0]  # of the gradients: some are clipped
  gradients = [
    jax.tree.map(
      lambda x, s=s: jnp.asarray(s * rng.normal(size=x.shape), jnp.float32),
      PARAMS,
    )
    for s in scales
  ]
  after = updates(
    GROUPS,
    gradients,
    steps=5,
    schedule='constant',
    warmup_ratio=0.4,
    max_grad_norm=0.5,
  )
  leaves = [np.asarray(x, float) for x in jax.tree.leaves(PARAMS)]
  rates, decays = (0.1, 1e-3), (0.0, 0.1)  # the gate comes first
  m, v, clipped = [0.0, 0.0], [0.0, 0.0], []
  for t, shape in enumerate([0.0, 0.5, 1.0, 1.0, 1.0]):
    gs = [np.asarray(g, float) for g in jax.tree.leaves(gradients[t])]
    norm = np.sqrt(sum((g**2).sum() for g in gs))
    clipped.append(norm > 0.5)
    for i, g in enumerate(gs):
      g = g * min(1, 0.5 / norm)
      m[i] = 0.9 * m[i] + 0.1 * g
      v[i] = 0.99 * v[i] + 0.01 * g**2
      direction = (m[i] / (1 - 0.9 ** (t + 1))) / (
        np.sqrt(v[i] / (1 - 0.99 ** (t + 1))) + 1e-8
      )
      leaves[i] = leaves[i] - shape * rates[i] * (
        direction + decays[i] * leaves[i]
      )
    for got, want in zip(jax.tree.leaves(after[t]), leaves, strict=True):
      np.testing.assert_allclose(got, want, rtol=2e-6)
  assert set(clipped) == {True, False}


def test_the_clip_sees_all_groups_together():
  """3 and 4 make 5: each alone is below the bound of 4.5."""
  params = {'gate': jnp.zeros(1), 'x.lora.': jnp.zeros(1)}
  gradient = {'gate': jnp.array([3.0]), 'x.lora.': jnp.array([4.0])}
  moments = {}
  for clip in (4.5, 9.0):
    tx = adamw(params, GROUPS, steps=9, max_grad_norm=clip)
    _, state = tx.update(gradient, tx.init(params), params)
    moments[clip] = {
      path[-1].key: float(x[0])
      for path, x in jax.tree.leaves_with_path(state)
      if any(getattr(k, 'name', '') == 'mu' for k in path)
    }
  assert moments[9.0] == pytest.approx({'gate': 0.3, 'x.lora.': 0.4})
  assert moments[4.5] == pytest.approx({'gate': 0.27, 'x.lora.': 0.36})


def shape(steps, count, **settings):
  """The schedule: under a constant gradient Adam's step is the rate."""
  params = {'x': jnp.zeros(1)}
  groups = {'all': {'pattern': '', 'lr': 2.0, 'weight_decay': 0.0}}
  gradients = [{'x': jnp.ones(1)}] * count
  after = updates(
    groups, gradients, params, steps=steps, max_grad_norm=10.0, **settings
  )
  path = np.concatenate([[0], *(p['x'] for p in after)])
  return -np.diff(path) / 2.0


def test_cosine_rises_for_a_tenth_and_falls_to_zero():
  expected = {
    0: 0.0,
    1: 0.5,
    2: 1.0,
    5: 0.933013,
    8: 0.75,
    11: 0.5,
    17: 0.066987,
  }
  got = shape(20, 22)
  for step, value in expected.items():
    assert got[step] == pytest.approx(value, abs=2e-5), step
  assert (np.diff(got[2:21]) < 0).all()
  np.testing.assert_allclose(got[20:], 0, atol=2e-5)


def test_a_warmup_of_all_steps_ends_with_the_last():
  got = shape(4, 5, warmup_ratio=1.0)
  np.testing.assert_allclose(got, [0, 1 / 3, 2 / 3, 1, 0], atol=2e-5)


def test_constant_stays_up_after_its_warmup():
  got = shape(10, 12, schedule='constant', warmup_ratio=0.4)
  np.testing.assert_allclose(got[:5], [0, 0.25, 0.5, 0.75, 1], atol=2e-5)
  np.testing.assert_allclose(got[5:], 1, atol=2e-5)
  # A run too short for a warmup begins at once.
  np.testing.assert_allclose(shape(4, 2, schedule='constant'), 1, atol=2e-5)
  np.testing.assert_allclose(shape(4, 1), 1, atol=2e-5)


def test_an_unknown_schedule_is_refused():
  with pytest.raises(ValueError, match="'linear': write 'cosine' or 'constant"):
    adamw(PARAMS, GROUPS, steps=3, schedule='linear')


@pytest.mark.parametrize(
  ('pattern', 'told'),
  [
    ('gat', r"'layers.q.lora.a' is in the optimizer groups \[\] of"),
    ('', r"'layers.q.lora.a' is in the optimizer groups \['slow', 'fast'\]"),
  ],
)
def test_a_parameter_belongs_to_one_group(pattern, told):
  groups = {
    'slow': GROUPS['slow'],
    'fast': GROUPS['fast'] | {'pattern': pattern},
  }
  if pattern:
    groups['slow'] = groups['slow'] | {'pattern': 'gate_of_nothing'}
  with pytest.raises(ValueError, match=told):
    adamw(PARAMS, groups, steps=3)


def test_what_no_group_names_is_not_trained():
  params = PARAMS | {'embedding': jnp.zeros(1)}
  trained = is_trained(params, GROUPS)
  assert trained('layers.q.lora.a') and trained('gate')
  assert not trained('embedding')


def test_a_pattern_that_finds_nothing_is_refused():
  groups = GROUPS | {'typo': {'pattern': 'lorra', 'lr': 1, 'weight_decay': 0}}
  with pytest.raises(ValueError) as error:
    is_trained(PARAMS, groups)
  told = str(error.value)
  assert told.startswith("optimizer group 'typo': pattern 'lorra' is found in ")
  assert "'layers.q.lora.a'" in told


@pytest.mark.parametrize('micro_batches', [1, 2, 4])
def test_slices_are_summed_and_divided_once(micro_batches):
  """Rows with unequal counts, one of them with none."""
  x = jnp.array([[1.0, 2.0], [3.0, 5.0], [7.0, 11.0], [13.0, 17.0]])
  mask = jnp.array([[1.0, 1.0], [1.0, 0.0], [0.0, 0.0], [1.0, 1.0]])
  batch = {'x': x, 'mask': mask, 'nothing': None}

  def loss(p, part):
    total, count = (part['mask'] * part['x']).sum(), part['mask'].sum()
    return RunningMean(p * total, count), {
      'rows': RunningMean(total, jnp.float32(len(part['x']))),
      'most': RunningMax(part['x'].max()),
    }

  gradient, figures = mean_gradient(
    loss, jnp.float32(3.0), batch, gradient_accumulation_steps=micro_batches
  )
  assert gradient == pytest.approx(36 / 5)
  assert {name: float(x) for name, x in figures.items()} == pytest.approx(
    {'loss': 3 * 36 / 5, 'rows': 36 / 4, 'most': 17}
  )


def test_a_batch_without_a_single_position_has_no_gradient():
  loss = lambda p, part: (RunningMean((0 * p * part).sum(), jnp.float32(0)), {})
  gradient, figures = mean_gradient(
    loss, jnp.float32(1.0), jnp.ones(4), gradient_accumulation_steps=2
  )
  assert float(gradient) == float(figures['loss']) == 0


def test_slices_must_be_equal():
  told = r'8 rows \(prompts \* group\) cannot be cut into 3 equal parts'
  with pytest.raises(ValueError, match=told):
    mean_gradient(
      lambda p, x: None, 1.0, jnp.zeros(8), gradient_accumulation_steps=3
    )
  with pytest.raises(ValueError, match=told):
    slice_of(jnp.zeros(8), 3, 0)


def test_slices_share_out_the_rows():
  batch = {'x': jnp.arange(12).reshape(6, 2), 'nothing': None}
  parts = [jax.jit(slice_of, static_argnums=1)(batch, 3, i) for i in range(3)]
  rows = [row for part in parts for row in part['x'].tolist()]
  assert sorted(rows) == batch['x'].tolist()
  assert {part['x'].shape for part in parts} == {(2, 2)}


@pytest.mark.slow
def test_slicing_changes_no_update_of_a_policy(key):
  """HRPO's, with rows of unequal lengths."""
  actor, feedback = tiny.policy(), tiny.FEEDBACKS['gated']
  prompt = tiny.prompts((6, 3, 1, 5))
  how = {'sampling': sampling(), 'stop': tiny.stop(tiny.STOPS)}
  out = tiny.sample(actor, feedback, prompt, key, **how)
  assert len(set(np.asarray(out.lengths).tolist())) > 2
  rng = np.random.default_rng(0)
  noise = rng.normal(size=out.mask.shape).astype(np.float32)
  batch = (
    jax.tree.map(lambda x: jnp.repeat(x, tiny.GROUP, axis=0), prompt),
    out._replace(steps=None),
    out.log_probs + 0.1 * noise,
    jnp.asarray(rng.normal(size=out.mask.shape).astype(np.float32)),
  )

  def loss(policy, rows):
    prompt, trajectory, reference, advantages = rows
    scores = rescore(policy, feedback, prompt, trajectory)
    experience = LossInputs(
      log_probs=scores.log_probs,
      entropy=scores.entropy,
      values=None,
      loss_mask=trajectory.mask & trajectory.policy_mask,
      advantages=advantages,
      old_log_probs=None,
      rollout_log_probs=trajectory.log_probs,
      behavior_log_probs=trajectory.behavior_log_probs,
      ref_log_probs=reference,
    )
    return policy_gradient(
      experience, aggregation='sequence', clip_range=None, beta=0.1
    )

  def update(micro_batches):
    gradient = jax.jit(
      partial(mean_gradient, loss, gradient_accumulation_steps=micro_batches),
      compiler_options=tiny.QUICK,
    )
    return gradient(actor, batch)

  whole, figures = update(1)
  norm = optax.tree.norm(whole)
  assert norm > 0.01
  for micro_batches in (2, 4):
    sliced, others = update(micro_batches)
    difference = jax.tree.map(jnp.subtract, sliced, whole)
    assert optax.tree.norm(difference) < 1e-6 * norm
    for name, value in figures.items():
      assert float(others[name]) == pytest.approx(
        float(value), rel=1e-6, abs=1e-7
      )
