"""HRPO's gate against the released code's formulas, in float64 numpy."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hybrid_latent.feedback import gated as hrpo
from hybrid_latent.feedback.gated import FORMS, C, Gate, gated, interpolated
from hybrid_latent.ops.sampling import sampling
from hybrid_latent.rescoring import rescore
from tests import tiny
from tests.tiny import FEEDBACKS, STOPS, sample

WIDTH = 16
PARAMETERS = 'w_r', 'w_i', 'b_r', 'b_i', 'decay'
PROMPT = tiny.prompts()
mixture = jax.jit(hrpo.mixture, static_argnames='form')


@pytest.fixture(scope='module')
def actor():
  return tiny.policy()


@pytest.fixture(scope='module')
def inputs():
  """Token embeddings and projected states."""
  rng = np.random.default_rng(0)
  return rng.normal(size=(2, 5, 4, WIDTH)).astype(np.float32)


def by_hand(gate, e, h, eps=0.0):
  """The gate of the released code; `eps` as it adds it."""
  w = {n: np.float64(getattr(gate, n)[...]) for n in PARAMETERS}
  e, h = np.float64(e), np.float64(h)
  sigmoid = lambda x: 1 / (1 + np.exp(-x))
  r = sigmoid(e @ w['w_r'].T + w['b_r'])
  i = sigmoid(e @ w['w_i'].T + w['b_i'])
  x = -C * np.logaddexp(0, -w['decay']) * r
  rest = -np.expm1(2 * x) + eps
  return np.exp(x), i, np.exp(x) * e + np.sqrt(rest) * i * h


def changed(gate, **values):
  gate = jax.tree.map(lambda x: x, gate)
  for name, value in values.items():
    param = getattr(gate, name)
    param[...] = jnp.full(param[...].shape, value)
  return gate


@pytest.mark.parametrize(('form', 'eps'), [('stable', 0), ('published', 1e-8)])
def test_the_mixture_is_the_formula(actor, inputs, form, eps):
  mixed, latent = mixture(actor.feedback, *inputs, form)
  a, _, expected = by_hand(actor.feedback, *inputs, eps)
  np.testing.assert_allclose(mixed, expected, rtol=0, atol=1e-5)
  ratio = np.sqrt(1 - a.mean(-1) ** 2)
  np.testing.assert_allclose(latent, ratio, rtol=1e-5)


@pytest.mark.parametrize('r_min', [0.9, 0.99, 0.999])
def test_the_stable_form_is_exact_where_the_published_is_off(
  key, inputs, r_min
):
  gate = Gate(key, WIDTH, r_min=r_min, r_max=0.999999)
  _, i, expected = by_hand(gate, *inputs)
  scale = np.abs(i * inputs[1])
  stable, _ = mixture(gate, *inputs, 'stable')
  published, _ = mixture(gate, *inputs, 'published')
  rounding = 1e-6  # of a * e in float32
  assert (np.abs(stable - expected) < rounding).all()
  assert (np.abs(published - expected) < 2e-4 * scale + rounding).all()


def test_published_leaks_a_ten_thousandth_of_the_latent(actor, inputs):
  gate = changed(actor.feedback, decay=1e4)
  _, i, _ = by_hand(gate, *inputs)
  stable, latent = mixture(gate, *inputs, 'stable')
  np.testing.assert_array_equal(stable, inputs[0])
  assert not latent.any()
  published, _ = mixture(gate, *inputs, 'published')
  expected = inputs[0] + 1e-4 * i * inputs[1]
  np.testing.assert_allclose(published, expected, rtol=0, atol=1e-6)


def test_no_recurrence_is_no_decay(actor, inputs):
  gate = changed(actor.feedback, w_r=0.0, b_r=-1e4)
  mixed, latent = mixture(gate, *inputs, 'stable')
  np.testing.assert_array_equal(mixed, inputs[0])
  assert not latent.any()


@pytest.mark.parametrize(
  ('u', 'decay'),
  [(0.9, 4.323), (0.95, 5.046), (0.98, 5.98), (0.99, 6.679), (0.999, 8.987)],
)
@pytest.mark.parametrize('logit', [-2.0, 0.0, 3.0])
def test_a_is_u_to_the_power_of_r(key, u, decay, logit):
  gate = changed(Gate(key, WIDTH, r_min=u, r_max=u), w_r=0.0, b_r=logit)
  np.testing.assert_allclose(gate.decay[...], decay, rtol=0, atol=1e-3)
  a, _ = mixture(gate, jnp.ones(WIDTH), jnp.zeros(WIDTH), 'stable')
  r = 1 / (1 + np.exp(-logit))
  np.testing.assert_allclose(a, u**r, rtol=1e-6)
  assert ((a > 0) & (a <= 1)).all()


@pytest.mark.parametrize(
  ('r_min', 'mean_a', 'ratio'),
  [
    (0.99, 0.9973, 0.074),
    (0.98, 0.9947, 0.102),
    (0.95, 0.9872, 0.160),
    (0.9, 0.9743, 0.225),
  ],
)
@pytest.mark.parametrize('dtype', [jnp.float32, jnp.bfloat16])
def test_hidden_ratios_at_the_start(key, r_min, mean_a, ratio, dtype):
  """Those of the release; a bfloat16 `a` could not hold the first."""
  width = 512
  gate = Gate(key, width, r_min=r_min)
  e = 0.02 * jax.random.normal(key, (8, width), dtype)
  mixed, latent = mixture(gate, e, jnp.zeros_like(e), 'stable')
  assert mixed.dtype == dtype and latent.dtype == jnp.float32
  np.testing.assert_allclose(latent, ratio, rtol=0.1)
  a, _, _ = by_hand(gate, e, e)
  np.testing.assert_allclose(a.mean(-1), mean_a, rtol=0, atol=5e-4)
  np.testing.assert_allclose(latent, np.sqrt(1 - a.mean(-1) ** 2), rtol=1e-4)


def test_initial_parameters(key):
  gate = Gate(key, 64, r_min=0.95, r_max=0.99)
  sizes = [getattr(gate, n)[...].size for n in PARAMETERS]
  assert sum(sizes) == 2 * (64**2 + 64) + 64
  assert np.std(gate.w_r[...]) == pytest.approx(0.02, rel=0.05)
  assert not gate.b_r[...].any() and not gate.b_i[...].any()
  assert (gate.w_r[...] != gate.w_i[...]).any()
  u = np.exp(-C * np.logaddexp(0, -np.float64(gate.decay[...])))
  assert (u > 0.95 - 1e-6).all() and (u < 0.99 + 1e-6).all()
  assert np.ptp(u) > 0.03
  gate = Gate(key, 64, initializer='uniform')
  assert 0.12 < np.abs(gate.w_i[...]).max() <= 1 / 8


@pytest.mark.parametrize(
  ('settings', 'message'),
  [
    ({'r_min': 0.0}, 'r_min 0.0, r_max 0.999: need 0 < r_min'),
    ({'r_min': 0.9, 'r_max': 0.8}, 'r_min <= r_max'),
    ({'r_max': 1.0}, 'r_max < 1'),
    ({'initializer': 'zeros'}, "'zeros': write 'normal'.*'uniform'"),
  ],
)
def test_refused_settings_of_the_gate(key, settings, message):
  with pytest.raises(ValueError, match=message):
    Gate(key, WIDTH, **settings)


def test_an_unknown_form_lists_what_exists():
  with pytest.raises(ValueError, match=r"'exact'.*'stable', 'published'"):
    gated('exact')


@pytest.mark.parametrize('width', [0, 8, 64])
@pytest.mark.parametrize('kept', [1, 8, 20, 96])
def test_h_is_the_distribution_projected(actor, kept, width):
  """Whether the kept tokens fit into `width` or not."""
  rng = np.random.default_rng(0)
  z = rng.normal(size=(3, tiny.CONFIG.vocab))
  z[z < np.sort(z, axis=-1)[:, -kept, None]] = -np.inf
  p = np.exp(z) / np.exp(z).sum(-1, keepdims=True)
  l2 = np.linalg.norm(p, axis=-1, keepdims=True)
  assert (l2 > kept**-0.5 - 1e-12).all() and (l2 < 1 + 1e-12).all()
  expected = p @ np.float64(actor.table) / l2
  out = tiny.step_out(z + 3, thinking_continues=[True, True, False])
  fed = step(gated(width=width), actor, out)
  np.testing.assert_allclose(fed.record['h'], expected, rtol=0, atol=1e-5)
  if kept == 1:
    np.testing.assert_allclose(
      fed.record['h'], actor.embed(out.token), rtol=1e-6
    )
  np.testing.assert_array_equal(fed.record['mixed'], out.thinking_continues)
  np.testing.assert_array_equal(fed.next_input[2], actor.embed(out.token)[2])
  assert fed.latent_share[2] == 0 < fed.latent_share[0]
  _, _, mixed = by_hand(actor.feedback, actor.embed(out.token), expected)
  np.testing.assert_allclose(fed.next_input[:2], mixed[:2], rtol=0, atol=1e-5)
  fed = step(interpolated(width), actor, out)
  np.testing.assert_allclose(
    fed.next_input[:2], expected[:2], rtol=0, atol=1e-5
  )
  np.testing.assert_array_equal(fed.next_input[2], actor.embed(out.token)[2])
  assert fed.latent_share.tolist() == [1, 1, 0]


@partial(jax.jit, static_argnums=0)
def step(feedback, policy, out):
  return feedback.step(policy, (), None, out)


def test_gradient_reaches_gate_and_model_but_no_recorded_state(actor):
  out = rolled(actor)

  @partial(jax.jit, compiler_options=tiny.QUICK)
  @jax.grad
  def gradient(trained):
    policy, h = trained
    record = {**out.record, 'h': h}
    trajectory = out._replace(record=record)
    return rescore(
      policy, FEEDBACKS['gated'], PROMPT, trajectory
    ).log_probs.sum()

  policy, h = gradient((actor, out.record['h']))
  assert out.record['h'].any() and not h.any()
  leaves = jax.tree.leaves(policy)
  assert all(np.isfinite(x).all() and np.any(x) for x in leaves)


@pytest.mark.parametrize('form', FORMS)
def test_gradients_of_the_mixture_are_those_of_the_formula(actor, inputs, form):
  weigh = np.random.default_rng(1).normal(size=inputs.shape[1:])
  eps = 1e-8 if form == 'published' else 0.0
  total = lambda gate: (mixture(gate, *inputs, form)[0] * weigh).sum()
  gradient = jax.jit(jax.grad(total))(actor.feedback)
  for name in PARAMETERS:
    where = (1,) * getattr(gradient, name)[...].ndim
    at = lambda x: (by_hand(x, *inputs, eps)[2] * weigh).sum()
    step = 1e-2  # exact to step**2 in float64
    up, down = (
      at(nudged(actor.feedback, name, where, by)) for by in (step, -step)
    )
    slope = getattr(gradient, name)[...][where]
    expected = (up - down) / (2 * step)
    assert slope == pytest.approx(expected, rel=1e-3, abs=1e-4)


def nudged(gate, name, where, by):
  gate = jax.tree.map(np.float64, gate)
  getattr(gate, name)[...][where] += by
  return gate


def test_unmixed_positions_score_as_discrete(actor):
  """Loss and gradient of HRPO are then GRPO's."""
  out = rolled(actor)
  unmixed = jax.tree.map(jnp.zeros_like, out.record['mixed'])
  out = out._replace(record={**out.record, 'mixed': unmixed})
  plain = out._replace(record=())
  expected = tiny.scores(actor, FEEDBACKS['discrete'], PROMPT, plain)
  actual = tiny.scores(actor, FEEDBACKS['gated'], PROMPT, out)
  np.testing.assert_allclose(
    actual.log_probs, expected.log_probs, rtol=0, atol=1e-6
  )


def test_without_a_gate_h_itself_is_read(actor):
  """While it thinks, and as a constant."""
  feedback = FEEDBACKS['interpolated']
  out = rolled(actor, feedback)
  logits = np.float64(tiny.logits(actor, feedback, PROMPT, out))
  p = np.exp(logits - logits.max(-1, keepdims=True))
  p[p < np.sort(p, axis=-1)[..., -40, None]] = 0
  h = p @ np.float64(actor.table) / np.linalg.norm(p, axis=-1, keepdims=True)
  read = feedback.recompute_inputs(actor, out.record, out.tokens)
  thinking = np.asarray(out.thinking_mask)
  close = partial(np.testing.assert_allclose, rtol=0, atol=1e-4)
  close(np.asarray(read)[thinking], h[thinking])
  words = actor.embed(out.tokens)[~thinking]
  np.testing.assert_array_equal(np.asarray(read)[~thinking], words)
  assert thinking.any() and (out.mask & ~thinking).any()


def rolled(actor, feedback=FEEDBACKS['gated']):
  return sample(
    actor,
    feedback,
    PROMPT,
    jax.random.key(2),
    sampling=sampling(top_k=40),
    stop=tiny.stop(STOPS),
  )
