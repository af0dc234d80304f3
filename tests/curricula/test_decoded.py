"""Spans that open a completion, in training and in decoding."""

import dataclasses
import random
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hybrid_latent import latents
from hybrid_latent.curricula.coconut import coconut
from hybrid_latent.data import states
from hybrid_latent.feedback.discrete import discrete
from hybrid_latent.feedback.switching import spans, switching
from hybrid_latent.models.transformer import Transformer
from hybrid_latent.ops.padding import left_padded
from hybrid_latent.ops.sampling import sampling
from hybrid_latent.ops.thinking import stopping_rule
from hybrid_latent.policy import Policy, positions_and_mask
from hybrid_latent.types import TokenBatch
from tests import tiny
from tests.tiny import QUICK

STEPS, STAGE = 9, 3


@pytest.fixture(scope='module')
def tokenizer():
  made = states.tokenizer()
  made.add_tokens(['<start-latent>', '<latent>', '<end-latent>'])
  return made


@pytest.fixture(scope='module')
def model(tokenizer):
  size = dataclasses.replace(tiny.CONFIG, vocab=len(tokenizer))
  return jax.jit(Transformer, static_argnums=0)(size, jax.random.key(0))


@partial(
  jax.jit, static_argnames=('feedback', 'passes'), compiler_options=QUICK
)
def scored(policy, feedback, texts, passes):
  """What is read, and the scores of the words."""
  x = latents.inputs_with_latents(
    policy, texts, feedback.latent_from_hidden, passes=passes
  )
  hidden, _ = policy.forward(
    x, None, *positions_and_mask(policy, texts.segments)
  )
  return x, latents.score_tokens(policy, texts, hidden)


@pytest.mark.parametrize('pause', [False, True])
@pytest.mark.parametrize('delimiters', [False, True])
def test_inputs_are_the_same(delimiters, pause, tokenizer, model):
  """Of the latents, of pause tokens and of the words after them, and so are
  the probabilities."""
  feedback = switching(discrete()) if pause else switching()
  curriculum = coconut(tokenizer, delimiters=delimiters, pause=pause)
  settings = spans(None, model, tokenizer, opening=True, num_latents=9)
  settings = settings._replace(
    **jax.tree.map(jnp.asarray, curriculum.spans(STAGE))
  )
  policy = Policy(model, settings)
  row = states.problems('train', count=1)[0]
  prompt = tokenizer(row['question'])['input_ids']
  example = curriculum.document(prompt, row, STAGE, random.Random(0))
  span = np.argmax(example.weights > 0)  # where the targets begin

  out = tiny.sample(
    policy,
    feedback,
    left_padded([prompt]),
    jax.random.key(1),
    group=1,
    max_steps=STEPS,
    sampling=sampling(),
    stop=stopping_rule([], STEPS),
  )
  tokens = np.concatenate([prompt, out.tokens[0]])
  np.testing.assert_array_equal(tokens[:span], example.tokens[:span])
  latent = np.arange(len(tokens)) < span
  latent[:span] = example.latent[:span]
  assert latent.sum() == curriculum.num_latents(STAGE) == STAGE * (not pause)
  one = lambda x: jnp.asarray(x)[None]
  texts = TokenBatch(
    tokens=one(tokens),
    segments=one(np.ones_like(tokens)),
    view=one(np.zeros_like(tokens)),
    weights=one(np.ones(len(tokens))),
    latent=one(latent),
    align_position=one(np.zeros(len(tokens), bool)),
  )
  x, scores = scored(policy, feedback, texts, curriculum.num_latents(STAGE))
  decoded = feedback.recompute_inputs(policy, out.record, out.tokens)
  close = lambda a, b: np.testing.assert_allclose(a, b, atol=1e-4, rtol=0)
  close(x[0, len(prompt) :], decoded[0])
  close(scores.log_probs[0, len(prompt) :], out.log_probs[0])
  assert np.flatnonzero(~out.policy_mask[0]).tolist() == [
    *range(span - len(prompt))
  ]
