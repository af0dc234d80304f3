"""Wrong arguments of a rollout and of rescoring: the error names the right."""

from functools import partial
from typing import Any

import jax
import pytest

import hybrid_latent as hl
from tests.foreign_models import plain

MODEL, KEY = plain(), jax.random.key(0)
POLICY = hl.Policy(MODEL, hl.gate(KEY, MODEL))
GATED = hl.gated()
PROMPT = hl.left_padded([[4, 7, 1], [9]])
SETTINGS = {
  'sampling': hl.sampling(),
  'stop': hl.stopping_rule([], 4),
  'max_steps': 4,
}

pytestmark = pytest.mark.usefixtures('unchecked')


class Model:
  """A model with another forward, and without a cache."""

  def __init__(self, forward=MODEL.forward, init_cache=MODEL.init_cache):
    self.embed, self.unembed = MODEL.embed, MODEL.unembed
    self.forward, self.init_cache = forward, init_cache


def sample(
  model: Any = POLICY, feedback: Any = GATED, prompt: Any = PROMPT, **changed
):
  return hl.rollout(model, feedback, prompt, KEY, **SETTINGS | changed)


@pytest.mark.parametrize(
  ('wrong', 'message'),
  [
    ({'feedback': hl.gated}, r'function gated: write hybrid_latent\.gated\(\)'),
    ({'feedback': None}, r'a NoneType: write hybrid_latent\.discrete\(\)'),
    ({'feedback': hl.soft()}, r'but a Gate: pass .*soft_tokens\(\.\.\.\)\)'),
    ({'prompt': [[1, 2]]}, r'prompt is a list: write .*\.left_padded\('),
    ({'model': hl.Policy(Model(init_cache=None))}, 'Model has no init_cache:'),
    ({'sampling': hl.sampling}, r'write hybrid_latent\.sampling\(\)'),
    ({'stop': [1]}, r'stop is a list: write hybrid_latent\.stopping_rule\('),
    ({'group': 0}, 'group is 0: write an integer >= 1'),
    ({'max_steps': 0}, 'max_steps is 0: write an integer >= 1'),
    ({'cache_stages': 0.5}, r'cache_stages is 0\.5: write an integer >= 1'),
  ],
)
def test_an_argument_of_another_kind_is_refused(wrong, message):
  with pytest.raises(ValueError, match=message):
    sample(**wrong)


@pytest.mark.parametrize(
  ('forward', 'message'),
  [
    (lambda x, *_: x, r'a \w+: write a tuple of hidden states \(2, 3, 8\)'),
    (lambda x, cache, *_: (x[:, 0], cache), r'returned shape \(2, 8\): write'),
    (lambda x, *_: (x, None), r'cache PyTreeDef\(None\): write the structure'),
  ],
)
def test_what_a_forward_pass_returns_is_checked(forward, message):
  with pytest.raises(ValueError, match=message):
    sample(Model(forward), hl.discrete())


def test_a_record_of_another_feedback_is_refused():
  """Where it has another structure; plain tokens are always scored."""
  mixed, plain_tokens = (
    jax.jit(partial(sample, feedback=feedback))()
    for feedback in (GATED, hl.discrete())
  )
  message = 'pass the one that sampled the trajectory'
  for feedback, out in (hl.hidden(), mixed), (hl.gated(), plain_tokens):
    with pytest.raises(ValueError, match=message):
      hl.rescore(POLICY, feedback, PROMPT, out)
  rescore = jax.jit(hl.rescore, static_argnums=1)
  scores = rescore(POLICY, hl.discrete(), PROMPT, mixed)
  assert (scores.log_probs < 0).all()
  maker: Any = hl.gated
  with pytest.raises(ValueError, match=r'hybrid_latent\.gated\(\)'):
    hl.rescore(POLICY, maker, PROMPT, mixed)
