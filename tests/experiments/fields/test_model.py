"""What a config asks of a model, before its weights are read."""

import re
from dataclasses import replace

import jax.numpy as jnp
import pytest

from experiments.fields.check import check
from experiments.fields.model import (
  check_attention,
  check_model,
  warn_of_untrained,
)
from experiments.fields.overrides import resolved
from experiments.training import actor
from hybrid_latent import sharding
from hybrid_latent.data import arithmetic
from tests.experiments.conftest import MODEL

WRONG = [
  (
    'rl:M',
    ['rollout.max_prompt_length=100', 'rollout.max_completion_length=29'],
    "config.rollout.max_prompt_length + config.rollout.max_completion_length "
    "is 129 and 'M' "
    'has 128 positions: write at most as many',
  ),
  (
    'lrt:M,rl',
    ['rollout.max_prompt_length=64', 'rollout.max_completion_length=48',
     'feedback.init_kwargs.latents=17'],
    'config.rollout.max_completion_length + '
    'config.feedback.init_kwargs.latents is 129',
  ),
  ('sft:M', ['max_length=129'],
   "config.max_length is 129 and 'M' has 128 positions"),
  (
    'sft:M',
    ['max_length=128', 'eval.num_prompts=1',
     'rollout.max_completion_length=128'],
    'config.rollout.max_completion_length is 640',
  ),
  (
    'rl:M',
    ['rollout.end_of_thinking=<|end|>', 'rollout.max_prompt_length=64',
     'rollout.max_completion_length=64'],
    "config.rollout.end_of_thinking is '<|end|>', which no tokens of 'M' enc",
  ),
  (
    'rl:M',
    [f'rollout.forced_text.on_truncation={"x" * 33}',
     'rollout.max_prompt_length=64',
     'rollout.max_completion_length=64'],
    "config.rollout.forced_text.on_truncation is "
    "'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx', 33 "
    'tokens: write at most 32',
  ),
]  # fmt: skip
FITS = 'rollout.max_prompt_length=64', 'rollout.max_completion_length=64'


def config_of(path, overrides):
  return resolved(path, [f'--config.{x}' for x in overrides])


@pytest.fixture(scope='module')
def tokenizer():
  return arithmetic.tokenizer()


@pytest.mark.parametrize(('path', 'overrides', 'told'), WRONG)
def test_a_model_that_cannot_do_it(path, overrides, told, tokenizer):
  with pytest.raises(ValueError, match=re.escape(told)):
    check_model(config_of(path, overrides), MODEL, tokenizer)


def test_attention_of_another_platform_or_dtype():
  for name in (None, 'xla', 'xla_chunked', 'splash'):
    check_attention(name, 'tpu')
  check_attention('cudnn', 'gpu')
  for name, platform, kind in ('splash', 'gpu', 'TPU'), ('cudnn', 'cpu', 'GPU'):
    told = f"model.attention is '{name}', a kernel for {kind}s, .* {platform}s"
    with pytest.raises(ValueError, match=told):
      check_attention(name, platform)
  wide = ['model.attention=cudnn', 'model.dtype=float32']
  told = "model.attention='cudnn', config.model.dtype='float32': write model"
  with pytest.raises(ValueError, match=told):
    check(config_of('rl:M', wide), 'grpo')


def test_what_fits_is_accepted(tokenizer):
  check_model(config_of('rl:M', FITS), MODEL, tokenizer)
  check_model(config_of('sft:M', ['max_length=128']), MODEL, tokenizer)
  longer = replace(MODEL, max_positions=1024)
  check_model(config_of('rl:M', []), longer, tokenizer)


@pytest.mark.parametrize(
  ('options', 'feedback', 'pattern'),
  [
    ([], {'scale': jnp.ones(3)}, '^feedback'),
    ([], jnp.ones(3), '^feedback'),
    (
      [
        'optimizer.groups.mine.pattern=^feedback.w',
        'optimizer.groups.mine.lr=1e-3',
      ],
      {'w': jnp.ones(3), 'b': jnp.ones(3)},
      '^feedback.b$',
    ),
    ([], {'tau': jnp.float32(0.5), 'ids': jnp.arange(3)}, ''),
    (['max_steps=0', 'eval.num_prompts=1'], {'scale': jnp.ones(3)}, ''),
    ([], None, ''),
  ],
)
def test_untrained_arrays_of_a_feedback(options, feedback, pattern, caplog):
  warn_of_untrained(config_of('rl:M', options), feedback)
  advice = f"write --config.optimizer.groups.feedback.pattern='{pattern}' "
  assert advice in caplog.text if pattern else not caplog.text


def test_the_weights_are_not_read_for_it(model_folder, monkeypatch):
  def unread(*_, **__):
    raise AssertionError('the weights were read')

  monkeypatch.setattr(actor, 'pretrained', unread)
  config = config_of(f'rl:{model_folder}', ['data.prompt_template={question}'])
  with pytest.raises(ValueError, match=r'is 1024 and .* has 128 positions'):
    actor.load_model(config, sharding.mesh())
