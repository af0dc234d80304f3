"""A policy is a language model."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hybrid_latent.feedback.gated import gate, gated, interpolated
from hybrid_latent.feedback.projected import projected, projector
from hybrid_latent.feedback.soft import soft, soft_tokens
from hybrid_latent.ops.padding import left_padded
from hybrid_latent.ops.sampling import sampling
from hybrid_latent.ops.thinking import stopping_rule
from hybrid_latent.policy import Policy
from hybrid_latent.rescoring import rescore
from hybrid_latent.rollout import rollout
from tests.foreign_models import VOCAB, WIDTH, plain

PROMPT = left_padded([[4, 7, 1], [9]])


class FourMethods:
  """A model that is no pytree and has no `table`."""

  def __init__(self):
    model = plain()
    self.embed, self.forward = model.embed, model.forward
    self.unembed, self.init_cache = model.unembed, model.init_cache


def sample(model, feedback):
  return rollout(
    model,
    feedback,
    PROMPT,
    jax.random.key(0),
    sampling=sampling(),
    stop=stopping_rule([], 4),
    max_steps=4,
  )


def test_its_table_is_what_the_model_embeds():
  table = Policy(FourMethods()).table
  assert table.shape == (VOCAB, WIDTH)
  np.testing.assert_array_equal(table, plain().table)


@pytest.mark.parametrize('feedback', ['gated', 'projected', 'soft', 'bare'])
def test_four_methods_are_enough(feedback):
  model, key = FourMethods(), jax.random.key(1)
  policy, feedback = {
    'gated': lambda: (Policy(model, gate(key, model)), gated()),
    'projected': lambda: (Policy(model, projector(key, model)), projected()),
    'soft': lambda: (Policy(model, soft_tokens(key, model)), soft()),
    'bare': lambda: (model, interpolated()),
  }[feedback]()

  @jax.jit
  def run():
    out = sample(policy, feedback)
    return out, rescore(policy, feedback, PROMPT, out)

  out, scores = run()
  assert out.latent_share.all()
  assert jnp.abs(scores.log_probs - out.log_probs).max() < 1e-4


@pytest.mark.parametrize('wrap', [lambda model: model, Policy])
def test_an_error_names_the_function_that_makes_the_parameters(wrap):
  message = r'no parameters of this feedback: pass .*Policy\(model, gate\('
  with pytest.raises(ValueError, match=message):
    sample(wrap(FourMethods()), gated())
