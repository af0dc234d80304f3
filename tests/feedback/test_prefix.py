"""Latents that a network puts between prompt and answer, against torch."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from hybrid_latent.feedback.prefix import prefix
from hybrid_latent.formats.pretrained import pretrained
from hybrid_latent.models.families import family
from hybrid_latent.models.reasoner import READS, Prefix
from hybrid_latent.ops.prefix import prompt_mode
from hybrid_latent.ops.sampling import sampling
from hybrid_latent.policy import Policy
from hybrid_latent.prompt_cache import prefill
from hybrid_latent.rescoring import rescore
from hybrid_latent.trees import named_leaves
from hybrid_latent.types import Mode, Prompt, Trajectory
from tests import tiny
from tests.models.test_parity import CASES, left_padded, torch_model
from tests.tiny import FEEDBACKS, STEPS, STOPS
from tests.torch_reasoner import TorchReasoner, in_jax, reading

CLOSING, KEY = [5, 77], jax.random.key(8)
GREEDY = sampling(greedy=True)
close = partial(np.testing.assert_allclose, rtol=0, atol=1e-4)
both = pytest.mark.parametrize('reads', READS)


@pytest.fixture(scope='module')
def base():
  """The model that reads the latents."""
  return torch_model(*CASES['qwen3-gqa-tied']).requires_grad_(False)


@pytest.fixture(scope='module')
def thinker(base):
  return TorchReasoner(base.config.hidden_size)


@pytest.fixture(scope='module')
def actor(base, thinker, tmp_path_factory):
  """Both of them, ours."""
  folder = tmp_path_factory.mktemp('base')
  base.save_pretrained(folder)
  made = in_jax(thinker, tmp_path_factory.mktemp('backbone'))
  return Policy(
    pretrained(folder).model, Prefix(made, jnp.array(CLOSING, jnp.int32))
  )


def that_reads(actor, reads):
  made = reading(actor.feedback.reasoner, reads)
  return actor._replace(feedback=actor.feedback._replace(reasoner=made))


def asked(*modes, lengths=(6, 1, 3)):
  """Prompts of these lengths, left padded, and their texts."""
  texts, tokens, mask = left_padded(*lengths)
  mode = jnp.array(modes * (3 // len(modes)), jnp.int32)
  return Prompt(tokens, mask, jnp.arange(3), mode), texts


def spoken(
  actor, prompt, feedback, stops=(), group=1, how=GREEDY
) -> Trajectory:
  out = tiny.sample(
    actor,
    feedback,
    prompt,
    KEY,
    group=group,
    sampling=how,
    stop=tiny.stop(stops, vocab=actor.model.config.vocab),
  )
  return jax.tree.map(np.asarray, out)


def opening(base, thinker, text, reads):
  """What torch reads before it answers: prompt, latents and closing [s d]."""
  text = torch.from_numpy(text)[None]
  with torch.no_grad():
    states = base.model(text).last_hidden_state[0]
  words = base.get_input_embeddings()
  return torch.cat(
    [words(text)[0], thinker(states, reads), words(torch.tensor(CLOSING))]
  )


@both
def test_an_answer_after_latents_is_that_of_torch_step_by_step(
  reads, base, thinker, actor
):
  prompt, texts = asked(Mode.LATENT)
  out = spoken(that_reads(actor, reads), prompt, prefix())
  assert (
    out.mask.all() and out.policy_mask.all() and not out.thinking_mask.any()
  )
  for text, tokens, scores in zip(
    texts, out.tokens, out.log_probs, strict=True
  ):
    with torch.no_grad():
      x = opening(base, thinker, text, reads)
      for token, score in zip(tokens, scores, strict=True):
        logits = base(inputs_embeds=x[None]).logits[0, -1]
        assert logits.argmax() == token
        close(logits.log_softmax(-1).max(), score)
        word = base.get_input_embeddings()(logits.argmax())
        x = torch.cat([x, word[None]])
  plain = spoken(actor, prompt, FEEDBACKS['discrete'])
  assert (plain.tokens != out.tokens).any(axis=1).all()


def test_modes_side_by_side_are_each_mode_alone(actor):
  """Whatever the others of the batch do."""
  side_by_side, _ = asked(*Mode)
  out = spoken(actor, side_by_side, prefix(), how=sampling())
  assert out.thinking_mask.any(axis=1).tolist() == [True, False, False]
  for row, way in enumerate(Mode):
    alone, _ = asked(way)
    alone = spoken(actor, alone, prefix(), how=sampling())
    np.testing.assert_array_equal(out.tokens[row], alone.tokens[row])
    np.testing.assert_array_equal(out.log_probs[row], alone.log_probs[row])


def test_a_prompt_without_a_mode_has_that_of_the_feedback():
  prompt = asked(Mode.NO_THINKING)[0]._replace(mode=None)
  assert prompt_mode(prefix(), prompt).tolist() == [Mode.LATENT] * 3
  assert (
    prompt_mode(FEEDBACKS['gated'], prompt).tolist()
    == [Mode.CHAIN_OF_THOUGHT] * 3
  )


@pytest.mark.parametrize('way', [Mode.CHAIN_OF_THOUGHT, Mode.NO_THINKING])
def test_without_its_prefix_the_model_is_the_one_it_was(way, actor):
  """Token for token, score for score."""
  prompt, _ = asked(way)
  args = {'group': tiny.GROUP, 'stops': STOPS, 'how': sampling()}
  out = spoken(actor, prompt, prefix(), **args)
  plain = spoken(actor, prompt, FEEDBACKS['discrete'], **args)
  assert out.terminated.any()
  for name in 'tokens', 'mask', 'policy_mask', 'thinking_mask', 'terminated':
    np.testing.assert_array_equal(getattr(out, name), getattr(plain, name))
  close(out.log_probs, plain.log_probs, atol=1e-5)
  assert out.thinking_mask.any() == (way is Mode.CHAIN_OF_THOUGHT)


def test_the_completions_of_a_prompt_share_its_latents(actor):
  made, shapes = prefix().prefix, []

  def watched(model, prompt):
    shapes.append(prompt.hidden.shape)
    return made(model, prompt)

  feedback = prefix()._replace(prefix=watched)
  prompt, _ = asked(Mode.LATENT)
  ready = jax.eval_shape(partial(prefill, feedback=feedback), actor, prompt)
  assert ready.mask.shape == (3, 6 + 8 + len(CLOSING))
  rows = jax.ShapeDtypeStruct((12, STEPS), jnp.int32)
  mask = jax.ShapeDtypeStruct(rows.shape, bool)
  past = Trajectory(*[None] * 10)._replace(tokens=rows, mask=mask, record=())
  jax.eval_shape(partial(rescore, feedback=feedback), actor, prompt=prompt,
                 trajectory=past)  # fmt: skip
  assert shapes == [(3, 6, actor.model.config.width)] * 2
  out = spoken(actor, prompt, prefix(), group=2)
  np.testing.assert_array_equal(out.tokens[1::2], out.tokens[0::2])


def slopes(actor, feedback, prompt, tokens):
  """The sum of the log-probs of these answers, and its gradient."""
  b, t = tokens.shape
  past = Trajectory(*[None] * len(Trajectory._fields))._replace(
    tokens=tokens, mask=jnp.ones((b, t), bool), record=()
  )

  def total(made):
    policy = Policy(actor.model, actor.feedback._replace(reasoner=made))
    return rescore(policy, feedback, prompt, past).log_probs.sum()

  return jax.value_and_grad(total)(actor.feedback.reasoner)


slopes = jax.jit(slopes, static_argnums=1, compiler_options=tiny.QUICK)


@both
def test_the_gradient_is_that_of_torch(reads, base, thinker, actor):
  """Through the model, which learns nothing, to all of the reasoner."""
  prompt, texts = asked(Mode.LATENT)
  tokens = np.random.default_rng(1).integers(0, 131, (3, 5))
  actor = that_reads(actor, reads)
  found, gradient = slopes(actor, prefix(), prompt, tokens)
  total = 0.0
  for text, row in zip(texts, torch.from_numpy(tokens), strict=True):
    x = opening(base, thinker, text, reads)
    words = base.get_input_embeddings()(row)
    logits = base(inputs_embeds=torch.cat([x, words])[None]).logits[0]
    logits = logits[len(x) - 1 : -1].log_softmax(-1)
    total += logits.gather(1, row[:, None]).sum()
  thinker.zero_grad()
  total.backward()
  assert float(found) == pytest.approx(float(total.detach()), abs=1e-3)
  assert all(x.grad is None for x in base.parameters())
  expected = torch_gradients(thinker)
  found = named_leaves(gradient)
  assert found.keys() == expected.keys()
  for name, g in found.items():
    scale = np.abs(expected[name]).max()
    assert scale > 1e-3, name
    np.testing.assert_allclose(
      g / scale, expected[name] / scale, rtol=0, atol=1e-3, err_msg=name
    )


def torch_gradients(thinker):
  """Its gradients by our names."""
  mine = ('f_in.weight', 'f_in.bias', 'f_out.weight', 'f_out.bias', 'r')
  found = {name: thinker.get_parameter(name).grad.numpy() for name in mine}
  for name, key in family('qwen3').KEYS.items():
    if name in ('embedding', 'head'):
      continue
    key = key.removeprefix('model.')
    numbers = range(2 if '{}' in key else 1)
    parts = [thinker.backbone.get_parameter(key.format(i)).grad.numpy()
             for i in numbers]  # fmt: skip
    found[f'backbone.{name}'] = np.stack(parts) if '{}' in key else parts[0]
  return found


@pytest.mark.slow
def test_activations_that_are_made_again_give_the_same_gradient(actor):
  prompt, _ = asked(*Mode)
  tokens = np.random.default_rng(1).integers(0, 131, (6, 5))
  again = jax.tree.map(lambda x: x, actor)
  for model in again.model, again.feedback.reasoner.backbone:
    model.config = dataclasses.replace(model.config, remat='full')
  _, kept = slopes(actor, prefix(), prompt, tokens)
  _, made = slopes(again, prefix(), prompt, tokens)
  for x, y in zip(jax.tree.leaves(made), jax.tree.leaves(kept), strict=True):
    scale = np.abs(y).max()
    np.testing.assert_allclose(x / scale, y / scale, rtol=0, atol=1e-5)
