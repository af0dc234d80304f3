"""Both stages of Latent Reasoning Tuning: what is trained, and on what."""

import dataclasses
import hashlib
import re
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from transformers import AutoModelForCausalLM

from experiments.training.sampler import Sampler
from hybrid_latent.formats.export import write_folder
from hybrid_latent.formats.pretrained import pretrained
from hybrid_latent.models.transformer import Transformer
from hybrid_latent.trees import map_named
from tests.experiments import lrt_tiny
from tests.experiments.conftest import ENDS, MODEL
from tests.experiments.rewards import tied_digits
from tests.experiments.runs import (
  Tuning,
  arrays,
  column,
  lines,
  saved,
  steps,
  timeless,
  tuned,
)

LATENTS, ANSWERS, PROMPTS = 3, 4, 4
GAP = 'sampling/sampling_logp_difference/mean'


@pytest.fixture(scope='module')
def backbone(model_folder, tmp_path_factory):
  """Another model, of another width."""
  folder = tmp_path_factory.mktemp('models') / 'backbone'
  folder.mkdir()
  config = dataclasses.replace(MODEL, width=24, heads=2, kv_heads=1, mlp=40)
  model = jax.jit(Transformer, static_argnums=0)(config, jax.random.key(1))
  model = jax.tree.map(lambda x: 5 * x if x.ndim > 1 else x, model)
  write_folder(pretrained(model_folder)._replace(model=model), folder)
  return folder


@pytest.fixture(scope='module')
def base(model_folder):
  return AutoModelForCausalLM.from_pretrained(model_folder).eval()


@pytest.fixture(scope='module')
def made(model_folder, backbone):
  """The config of a stage with these changes."""

  def made(stage, **changes):
    argument = f'{model_folder},{stage},{backbone}'
    config = lrt_tiny.get_config(argument).unlock()
    config.eval.num_prompts = 3
    named = {name.replace('__', '.'): x for name, x in changes.items()}
    config.update_from_flattened_dict(named)
    return config.lock()

  return made


@pytest.fixture(scope='module')
def files(model_folder):
  """A hash of every file of the base, before anything is trained."""
  return hashes(model_folder)


@pytest.fixture(scope='module')
def sft(made, files, tmp_path_factory):
  return tuned(made('sft', max_steps=6), tmp_path_factory.mktemp('sft'))


@pytest.fixture(scope='module')
def rl(made, sft, tmp_path_factory):
  """It goes on with what the first stage wrote."""
  return tuned(after(sft, made), tmp_path_factory.mktemp('rl'))


def after(sft: Tuning, made, **changes):
  changes['feedback__init_kwargs__source'] = str(sft.folder / 'reasoner')
  return made('rl', objective__kwargs__beta=0.1, **changes)


def hashes(folder):
  return {path.name: hashlib.sha256(path.read_bytes()).hexdigest()
          for path in folder.iterdir()}  # fmt: skip


@pytest.fixture(params=['sft', 'rl'])
def either(request):
  return request.getfixturevalue(request.param)


def test_the_base_stays_what_it_was(either, model_folder, files):
  """Every bit of it, in memory and on disk; the reasoner does not."""
  policy = either.actor.policy
  frozen = arrays(policy.model) | {'closing': np.array(policy.feedback.closing)}
  loaded = arrays(pretrained(model_folder).model)
  assert frozen.keys() == loaded.keys() | {'closing'}
  for name, x in loaded.items():
    np.testing.assert_array_equal(frozen[name], x)
  np.testing.assert_array_equal(
    frozen['closing'], either.before['feedback.closing']
  )
  assert hashes(model_folder) == files
  state = saved(either.folder, len(steps(either.folder)))
  trained = {n[2:]: x for n, x in state.items() if n.startswith('0.')}
  reasoner = {n for n in either.before if n.startswith('feedback.reasoner.')}
  assert trained.keys() == reasoner
  same = [n for n, x in trained.items() if np.array_equal(x, either.before[n])]
  assert not same
  folder = either.folder / 'reasoner'
  written = load_file(folder / 'model.safetensors')
  assert {f'feedback.{name}' for name in written} == reasoner | {
    'feedback.closing'
  }
  for name in reasoner:
    np.testing.assert_array_equal(
      written[name.removeprefix('feedback.')], trained[name]
    )


def test_the_first_loss_is_that_of_transformers(sft, base):
  """The mean over the answers' tokens and their ends, after latents that are
  made of transformers' own states."""
  owned = map_named(
    lambda name, _: jnp.asarray(sft.before[f'feedback.{name}']),
    sft.actor.policy.feedback,
  )
  batch, words, scores = sft.batches[0], base.get_input_embeddings(), []
  tensor = lambda x: torch.tensor(np.asarray(x))
  for i in range(PROMPTS):
    text = tensor(batch.prompt.tokens[i][batch.prompt.mask[i]])
    answer = tensor(batch.trajectory.tokens[i, 0][batch.loss_mask[i, 0]]).long()
    with torch.no_grad():
      states = base.model(text[None]).last_hidden_state
      z = owned.reasoner(jnp.asarray(states), jnp.ones((1, len(text)), bool))
      x = [words(text), tensor(z)[0], words(tensor(owned.closing)),
           words(answer)]  # fmt: skip
      logits = base(inputs_embeds=torch.cat(x)[None]).logits[0]
    said = logits[-len(answer) - 1 : -1].log_softmax(-1)
    scores.append(said.gather(1, answer[:, None])[:, 0])
  expected = -float(torch.cat(scores).mean())
  assert steps(sft.folder)[0]['loss'] == pytest.approx(expected, abs=1e-4)
  assert z.shape[1] == LATENTS


def test_the_answers_are_those_of_the_triples(sft):
  tokenizer, batch = sft.actor.tokenizer, sft.batches[0]
  rows = {row['question']: row for row in lines(lrt_tiny.TRIPLES)}
  for text, kept, answer, mask in zip(
    *(batch.prompt.tokens, batch.prompt.mask),
    *(batch.trajectory.tokens, batch.loss_mask),
    strict=True,
  ):
    prompt = tokenizer.decode(text[kept])
    (row,) = [row for question, row in rows.items() if question in prompt]
    assert prompt.endswith('<think>')
    *said, end = answer[0][mask[0]]
    assert tokenizer.decode(said) == row['response']
    assert end == tokenizer.eos_token_id
  assert batch.trajectory.tokens.shape == (PROMPTS, 1, 8)


def test_the_loss_of_given_answers_falls(sft):
  """From the first epoch to the last one."""
  losses = column(sft, 'loss')
  assert len(losses) == 6 and losses[4:].mean() < losses[:2].mean()
  assert (column(sft, 'grad_norm') > 0).all()


def test_the_learner_scores_what_was_sampled(rl):
  gap = column(rl, GAP)
  assert (gap < 1e-4).all() and (gap > 0).all()
  for batch in rl.batches:
    assert batch.old_log_probs is None  # one update


def test_answers_share_the_latents_of_their_prompt(rl):
  """One row of it, and several of them."""
  for batch in rl.batches:
    assert batch.prompt.tokens.shape == (PROMPTS, 64)
    assert batch.trajectory.tokens.shape[:2] == (PROMPTS, ANSWERS)
    assert len({bytes(row) for row in batch.trajectory.tokens[0]}) > 1


def test_answers_of_equal_reward_teach_nothing(rl):
  ties, tokenizer = [], rl.actor.tokenizer
  decode = lambda text, mask: tokenizer.decode(
    text[mask], skip_special_tokens=True
  )
  for batch in rl.batches:
    for u, (text, mask) in enumerate(
      zip(batch.prompt.tokens, batch.prompt.mask, strict=True)
    ):
      (question,) = re.findall(r'\w+ has .* have\?', decode(text, mask))
      sampled = batch.trajectory.tokens[u], batch.trajectory.mask[u]
      answers = [*map(decode, *sampled)]
      rewards = tied_digits(answers, [question] * ANSWERS)
      ties.append(len({*rewards}) == 1)
      assert batch.advantages[u][batch.loss_mask[u]].any() != ties[-1]
  assert 0 < sum(ties) < len(ties) == 4 * PROMPTS


def test_the_reference_is_the_reasoner_at_the_start(rl):
  kl = column(rl, 'kl')
  assert kl[0] < 1e-9 and (kl[1:] > 1e-6).all()
  first, *others = [
    np.where(x.loss_mask, x.ref_log_probs - x.trajectory.log_probs, 0)
    for x in rl.batches
  ]
  np.testing.assert_allclose(first, 0, atol=1e-4)
  assert all(np.abs(gap).max() > 1e-3 for gap in others)


@pytest.mark.slow
def test_updates_of_one_batch_compare_with_what_was_before_them(
  rl, sft, made, tmp_path
):
  changes = dict.fromkeys(('num_iterations', 'num_mini_batches'), 2)
  changes |= {'max_steps': 1, 'eval__num_prompts': 0,
              'objective__kwargs__clip_range': (1e-3, 1e-3)}  # fmt: skip
  run = tuned(after(sft, made, **changes), tmp_path)
  first, *others = run.batches
  assert len(others) == 3
  for batch in others:
    jax.tree.map(np.testing.assert_array_equal, batch, first)
  np.testing.assert_allclose(
    np.where(
      first.loss_mask, first.old_log_probs - first.trajectory.log_probs, 0
    ),
    0,
    atol=1e-4,
  )
  (row,) = steps(tmp_path)
  # The mean over four updates, before the first of which nothing has moved.
  clipped = 'clip_ratio/region_mean'
  assert column(rl, clipped).max() == 0 < row[clipped] <= 0.75


def test_what_is_written_is_what_was_evaluated(sft, rl):
  """The second stage begins where the first one ended."""
  *_, last = sft.evaluations
  assert (len(sft.evaluations), len(rl.evaluations)) == (4, 3)
  assert rl.evaluations[0] == pytest.approx(last, rel=1e-6)
  written, after = saved(sft.folder, 6), saved(rl.folder, 4)
  for name, x in rl.before.items():
    if name.startswith('feedback.reasoner.'):
      np.testing.assert_array_equal(x, written[f'0.{name}'])
      assert not np.array_equal(x, after[f'0.{name}']), name


def test_without_its_prefix_it_says_what_the_base_says(
  sft, made, base, tmp_path, monkeypatch
):
  batches, collect = [], Sampler.collect

  def watched(*args):
    batches.append(collect(*args))
    return batches[-1]

  monkeypatch.setattr(Sampler, 'collect', watched)
  for mode in 'no_thinking', 'latent':
    config = after(sft, made, max_steps=0, rollout__mode=mode)
    tuned(config, tmp_path / mode)
  plain, latent = batches
  assert (plain.out.tokens != latent.out.tokens).any(axis=1).all()
  prompt = jax.device_get(plain.prompt)
  for i in range(3):
    text = torch.tensor(prompt.tokens[i][prompt.mask[i]])[None].long()
    expected = base.generate(
      text, max_new_tokens=8, do_sample=False, eos_token_id=ENDS, pad_token_id=0
    )
    said = plain.out.tokens[i][plain.out.mask[i]]
    np.testing.assert_array_equal(said, expected[0, text.shape[1] :])


@pytest.mark.slow  # test_grpo_resume.py has the same loop
def test_a_resumed_run_equals_one_never_stopped(sft, rl, made, tmp_path):
  tuned(after(sft, made, max_steps=2), tmp_path)
  shutil.rmtree(tmp_path / 'reasoner')
  tuned(after(sft, made), tmp_path)
  for name in ('metrics.jsonl', 'completions.jsonl'):
    ours, theirs = lines(tmp_path / name), lines(rl.folder / name)
    assert timeless(ours) == timeless(theirs)
  after_it, expected = saved(tmp_path, 4), saved(rl.folder, 4)
  assert after_it.keys() == expected.keys()
  for name, x in expected.items():
    np.testing.assert_array_equal(after_it[name], x)
  assert hashes(tmp_path / 'reasoner') == hashes(rl.folder / 'reasoner')
