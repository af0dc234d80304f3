"""The files of examples/ run as they stand."""

import dataclasses
import runpy
from functools import partial
from importlib import import_module
from pathlib import Path

import jax
import numpy as np
import optax
import pytest

import hybrid_latent as hl
from experiments.fields.overrides import load_config
from experiments.new_model import SMALL, new_model
from hybrid_latent.data.arithmetic import tokenizer
from hybrid_latent.feedback.base import token_log_prob
from hybrid_latent.rewards.grader import Grader
from tests import tiny

EXAMPLES = Path(__file__).parents[1] / 'examples'


def example(name: str) -> dict:
  return runpy.run_path(str(EXAMPLES / name))


@partial(
  jax.jit,
  static_argnames=('feedback', 'group', 'max_steps'),
  compiler_options=tiny.QUICK,
)
def scored(policy, feedback, prompt, **settings):
  """A rollout, and how far its log-probs are from those of a rescoring."""
  out = hl.rollout(policy, feedback, prompt, jax.random.key(1), **settings)
  scores = hl.rescore(policy, feedback, prompt, out)
  return out, abs(scores.log_probs - out.log_probs).max()


def test_a_model_of_ones_own_is_trained():
  names = example('rollout_in_your_project.py')
  assert names['reward'] > 0.5  # a random model: 1 / 32
  names['settings']['sampling'] = hl.sampling(temperature=0.5, top_k=4)
  out, gap = scored(
    names['policy'], hl.gated(), names['prompt'], **names['settings']
  )
  assert gap < 1e-5
  assert 0 < out.latent_share.max() < 1


@jax.numpy_rank_promotion('allow')  # a user's code, with JAX's defaults
def test_a_feedback_of_ones_own_is_trained(key):
  """At 0 it is the discrete feedback; a step changes what the model reads."""
  names = example('new_feedback.py')
  model, feedback = tiny.policy().model, names['residual']()
  policy = hl.Policy(model, names['scale'](key, model))
  prompt, settings = tiny.prompts(), {'max_steps': 6, 'sampling': hl.sampling()}
  settings['stop'] = hl.stopping_rule([], 6)
  out, gap = scored(policy, feedback, prompt, **settings)
  same, _ = scored(hl.Policy(model), hl.discrete(), prompt, **settings)
  assert gap < 1e-4
  np.testing.assert_array_equal(out.tokens, same.tokens)

  @partial(jax.jit, compiler_options=tiny.QUICK)
  @jax.value_and_grad
  def loss(scale):
    policy = hl.Policy(model, scale)
    return -hl.rescore(policy, feedback, prompt, out).log_probs.mean()

  before, slope = loss(policy.feedback)
  after = optax.apply_updates(policy.feedback, {'scale': -slope['scale']})
  assert loss(after)[0] < before
  policy = policy._replace(feedback=after)
  out, gap = scored(policy, feedback, prompt, **settings)
  assert gap < 1e-4
  assert (out.log_probs != same.log_probs).any()


@jax.numpy_rank_promotion('allow')
def test_a_method_of_one_file_is_scored(key):
  """Its choices are: their log-probs are those of the router's shares. With no
  latents it is the discrete feedback but for the score of choosing words."""
  names = example('routed.py')
  model, feedback = tiny.policy().model, names['routed']()
  prompt, settings = tiny.prompts(), {'max_steps': 6, 'sampling': hl.sampling()}
  settings['stop'] = hl.stopping_rule([], 6)
  router = partial(names['router'], key, model)
  policy = hl.Policy(model, router(latent=0.5))
  out, gap = scored(policy, feedback, prompt, **settings)
  assert gap < 1e-4
  fed = np.asarray(out.record['fed'])
  assert 0.2 < fed.mean() < 0.8
  words, _ = scored(hl.Policy(model), hl.discrete(), prompt, **settings)
  rare = hl.Policy(model, router(latent=1e-9))
  same, gap = scored(rare, feedback, prompt, **settings)
  assert gap < 1e-4
  np.testing.assert_array_equal(same.tokens, words.tokens)
  np.testing.assert_allclose(same.log_probs, words.log_probs, atol=1e-5)
  before = np.argmax(fed[:, :-1].any(1) & ~fed[:, 0])  # a row not fed at first
  first = out.log_probs[before, 0] - words.log_probs[before, 0]
  np.testing.assert_allclose(first, np.log(0.5), atol=1e-5)


@jax.numpy_rank_promotion('allow')
def test_a_method_of_one_file_is_checked(tmp_path, monkeypatch, capsys):
  """A choice without a score leaves the log-probs equal, and is found."""
  monkeypatch.syspath_prepend(EXAMPLES)
  monkeypatch.chdir(tmp_path)
  config = dataclasses.replace(SMALL, layers=1)
  new_model(tmp_path / 'runs/start', tokenizer(), config)
  example('check_routed.py')
  assert capsys.readouterr().out.startswith('ok: ')
  unscored = import_module('routed').routed()._replace(log_prob=token_log_prob)
  monkeypatch.setattr('routed.routed', lambda: unscored)
  with pytest.raises(AssertionError, match='gradient of 0'):
    example('check_routed.py')


def test_a_method_of_one_file_has_a_config(tmp_path):
  code = (EXAMPLES / 'my_config.py').read_text()
  file = tmp_path / 'my_config.py'  # `experiments`, where nothing is installed
  file.write_text(code.replace('hybrid_latent.experiments', 'experiments'))
  config = load_config(f'{file}:MODEL')
  assert config.feedback.function == 'routed:routed'
  assert config.model.source == 'MODEL'
  assert (
    load_config(f'{file}:MODEL,grpo').feedback.function == 'discrete:discrete'
  )


def test_a_reward_of_ones_own_is_graded(monkeypatch):
  monkeypatch.syspath_prepend(EXAMPLES)
  rewards = {'mine': {'function': 'custom_reward:right_and_short'}}
  columns = {'answer': ['7', '7', None], 'completion_ids': [[1], [1, 2], [3]]}
  with Grader(rewards, workers=1) as grader:
    graded = grader.submit(['it is 7', '7 or 8', '7'], columns, 3).result()
  np.testing.assert_allclose(graded['mine'], [0.999, -0.002, np.nan], rtol=1e-6)
