"""CoLaR's latents: their draws and their density; its loss and its examples."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from hybrid_latent import latents
from hybrid_latent.curricula.colar import colar as examples
from hybrid_latent.objectives.colar import colar as colar_loss
from hybrid_latent.objectives.supervised import (
  SupervisedInputs,
  loss_weights,
  weighted_cross_entropy,
)
from hybrid_latent.policy import positions_and_mask
from hybrid_latent.types import ScoreInputs, TokenBatch
from tests import tiny
from tests.tiny import FEEDBACKS, quick

FEEDBACK = FEEDBACKS['colar']
POLICY = tiny.policy(feedback=FEEDBACK)
DRAWS = 2000
program = quick(FEEDBACK.step)
forward = quick(type(POLICY).forward)


def by_hand(head, hidden):
  """Mean and log-deviation, in float64."""
  linear = lambda p, x: x @ np.float64(p.weight).T + np.float64(p.bias)
  y = linear(head.expand, np.float64(hidden))
  y = linear(head.within, y * stats.norm.cdf(y))
  y = (y - y.mean(-1, keepdims=True)) / np.sqrt(y.var(-1, keepdims=True) + 1e-5)
  return linear(head.mean, y), linear(head.log_std, y)


def step(hidden, greedy=False, thinking=True):
  b = len(hidden)
  out = tiny.step_out(
    np.zeros((b, tiny.CONFIG.vocab)),
    hidden=hidden,
    greedy=np.full(b, greedy),
    thinking_continues=np.full(b, thinking),
  )
  keys = jax.random.split(jax.random.key(3), b)
  return program(POLICY, (), keys, out)


def test_latents_are_drawn_from_the_head_and_scored_by_it():
  state = np.random.default_rng(0).normal(size=(1, tiny.CONFIG.width))
  made = step(np.repeat(state, DRAWS, axis=0))
  mean, log_std = by_hand(POLICY.feedback, state)
  scale = np.std(np.asarray(POLICY.table))
  x = np.asarray(made.next_input, np.float64) / scale
  z = (x - mean) / np.exp(log_std)
  for channel in z.T[:4]:
    assert stats.kstest(channel, 'norm').pvalue > 1e-3
  inputs = ScoreInputs(
    jnp.repeat(jnp.float32(state), DRAWS, axis=0),
    *[jnp.zeros((DRAWS, 2))] * 2,
    jnp.full(DRAWS, -9.0),
  )
  log_prob = quick(FEEDBACK.log_prob)
  found = log_prob(POLICY, inputs, made.record)
  expected = stats.norm(mean, np.exp(log_std)).logpdf(x).mean(-1)
  np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
  words = made.record | {'fed': jnp.zeros(DRAWS, bool)}
  assert (log_prob(POLICY, inputs, words) == -9).all()


def test_greedy_reads_the_mean_and_an_answer_its_tokens():
  state = np.random.default_rng(1).normal(size=(2, tiny.CONFIG.width))
  mean, _ = by_hand(POLICY.feedback, state)
  scale = np.std(np.asarray(POLICY.table))
  found = step(state, greedy=True).next_input
  np.testing.assert_allclose(found, scale * mean, rtol=1e-4, atol=1e-5)
  words = step(state, thinking=False)
  np.testing.assert_array_equal(
    words.next_input, POLICY.table[jnp.zeros(2, int)]
  )
  assert not words.latent_share.any()


class Letters:
  """A tokenizer of letters."""

  eos_token_id = 1

  def encode(self, text, add_special_tokens):
    return [2 + (ord(letter) - ord('#')) % 80 for letter in text]


def example():
  row = {'steps': ['1+2=3', ' 3+4=7'], 'ending': '#7'}
  curriculum = examples(Letters(), compression=3, delimiter='#')
  return curriculum.document([50, 51], row, 0, None)


def test_three_tokens_are_one_input_and_one_target():
  made, ids = example(), Letters().encode('1+2=3 3+4=7', False)
  assert made.targets[2:6].tolist() == [
    *(ids[0:3], ids[3:6], ids[6:9]),
    [*ids[9:11], 0],
  ]
  thirds, halves = [3**-0.5] * 3, [2**-0.5] * 2 + [0]
  np.testing.assert_allclose(made.shares[2:6], [thirds] * 3 + [halves])
  assert made.align_position.tolist() == [False] * 2 + [True] * 5 + [False] * 2
  assert made.weights.tolist() == [0] * 2 + [1] * 7
  assert made.tokens[6:].tolist() == [*Letters().encode('#7', False), 1]
  assert made.shares[6:].tolist() == [[1, 0, 0]] * 3


def texts() -> TokenBatch:
  made = example()
  one = {name: jnp.asarray(x)[None] for name, x in made._asdict().items()}
  return TokenBatch(segments=jnp.ones_like(one['tokens']), **one)


TEXTS = texts()


@pytest.fixture(scope='module')
def x():
  read = partial(latents.inputs_with_latents, passes=0)
  return quick(read, static_argnums=2)(POLICY, TEXTS, None)


@partial(jax.jit, static_argnames='loss_type')
def losses(policy, x, loss_type):
  """The cross-entropy, the whole with half of the head's loss, the latter."""
  given = SupervisedInputs(
    policy,
    TEXTS,
    x,
    positions_and_mask(policy, TEXTS.segments),
    loss_weights(TEXTS),
    1,
    lambda model, states: latents.score_tokens(model, TEXTS, states),
  )
  base, _ = weighted_cross_entropy(given)
  loss, metrics = colar_loss(given, weight=0.5, loss_type=loss_type)
  return base.value, loss.value, metrics['embedding_loss'].value


@pytest.mark.parametrize('loss_type', ['nll', 'mse'])
def test_the_head_is_trained_towards_the_next_embedding(x, loss_type):
  base, loss, of_head = map(float, losses(POLICY, x, loss_type))
  layout = positions_and_mask(POLICY, TEXTS.segments)
  hidden, _ = forward(POLICY, x, None, *layout)
  mean, log_std = by_hand(POLICY.feedback, hidden[0, 1:6])
  std = np.exp(log_std)
  gold = np.float64(x[0, 2:7]) / np.std(np.asarray(POLICY.table))
  expected = (
    -stats.norm(mean, std).logpdf(gold)
    if loss_type == 'nll'
    else (gold - mean) ** 2 + std**2
  ).mean(-1)
  assert of_head == pytest.approx(expected.mean(), rel=1e-4)
  # Seven targets: five of the head, two words.
  assert loss == pytest.approx(base + 0.5 * expected.sum() / 7, rel=1e-5)


def test_the_gradient_is_that_of_finite_differences(x):
  """Of the head; and of the inputs, which it takes as targets without one."""

  def of_head(head, x):
    return losses(POLICY._replace(feedback=head), x, 'nll')[2]

  head = POLICY.feedback
  slope, reached = quick(jax.grad(of_head, (0, 1)))(head, x)
  assert slope.scale == 0  # a setting
  direction = jax.tree.map(
    lambda x: jax.random.normal(jax.random.key(x.size), x.shape), head
  )
  direction = direction._replace(scale=jnp.float32(0))
  move = lambda eps: jax.tree.map(lambda x, d: x + eps * d, head, direction)
  ends = [float(of_head(move(eps), x)) for eps in (1e-3, -1e-3)]
  dots = jax.tree.map(jnp.vdot, slope, direction)
  assert sum(map(float, jax.tree.leaves(dots))) == pytest.approx(
    (ends[0] - ends[1]) / 2e-3, rel=2e-2
  )
  # What is read last predicts nothing: its embedding is a target alone.
  found = np.abs(reached[0]).sum(-1) > 0
  assert found.tolist() == [True] * 6 + [False] * 3
