"""From a config to a policy."""

import shutil
from pathlib import Path

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from experiments.training.actor import load_actor
from experiments.training.prompts import prompt_ids
from hybrid_latent import sharding
from hybrid_latent.data import arithmetic
from hybrid_latent.formats.export import write_json
from hybrid_latent.formats.parsed import read_json
from hybrid_latent.formats.tokenizer import chat_ids
from hybrid_latent.trees import named_leaves
from tests.experiments import rl_tiny


@pytest.fixture(scope='module')
def tokenizer():
  return arithmetic.tokenizer()


def actor(model_folder, key, method='hrpo', **changes):
  config = rl_tiny.get_config(f'{model_folder},{method}')
  config.update_from_flattened_dict(changes)
  return load_actor(config, sharding.mesh(fsdp=2, tensor=2), key)


def buffers(x):
  return [s.data.unsafe_buffer_pointer() for s in x.addressable_shards]


def shared(ours):
  policy = named_leaves(ours.policy.model)
  base = named_leaves(ours.base)
  return {buffers(x) == buffers(policy[name]) for name, x in base.items()}


def test_the_base_is_a_copy_only_where_it_must_be(model_folder, key):
  assert shared(actor(model_folder, key)) == {True}
  whole = {'lora.rank': 0, 'optimizer.groups.lora.pattern': '^model'}
  assert shared(actor(model_folder, key, **whole)) == {False}
  no_kl = whole | {'objective.kwargs.beta': 0.0}
  assert shared(actor(model_folder, key, **no_kl)) == {True}


def test_a_policy_lies_on_the_mesh(model_folder, key):
  policy = actor(model_folder, key).policy
  assert policy.feedback.w_r.shape == (32, 32)
  cut = {n: x.sharding.spec for n, x in named_leaves(policy).items()}
  assert cut['model.embedding'] == jax.P('tensor', 'fsdp')
  assert cut['model.layers.q.weight'] == jax.P(None, 'tensor', 'fsdp')
  assert cut['model.layers.q.lora.a'] == jax.P(None, None, 'fsdp')
  assert cut['model.layers.down.lora.b'] == jax.P(None, 'fsdp', None)
  assert cut['feedback.w_r'] == jax.P(None, 'fsdp')
  assert cut['feedback.decay'] == cut['model.norm'] == jax.P()


def test_a_key_gives_the_same_policy(model_folder, key):
  first = named_leaves(actor(model_folder, key).policy)
  again = named_leaves(actor(model_folder, key).policy)
  other = named_leaves(actor(model_folder, jax.random.key(1)).policy)
  for name, x in first.items():
    np.testing.assert_array_equal(x, again[name])
  drawn = {n for n, x in first.items() if not np.array_equal(x, other[n])}
  assert drawn == {
    *(f'feedback.{n}' for n in ('w_r', 'w_i', 'decay')),
    *(n for n in first if n.endswith('.lora.a')),
  }


def test_plain_tokens_own_no_parameters(model_folder, key):
  assert actor(model_folder, key, 'grpo').policy.feedback is None


def test_the_models_ends_and_the_delimiter_stop_it(model_folder, key):
  stop = actor(model_folder, key).stop
  assert sorted(stop.stop_ids.tolist()) == [1, *range(20, 160, 20)]
  assert (int(stop.max_tokens), int(stop.pad_id)) == (8, 0)
  assert stop.delimiter.shape == (len('####') + 1, 384)


def test_a_model_without_a_tokenizer_is_refused(model_folder, tmp_path, key):
  folder = tmp_path / 'bare'
  shutil.copytree(model_folder, folder)
  for path in folder.glob('tokenizer*'):
    path.unlink()
  with pytest.raises(ValueError, match=r'bare.*put tokenizer\.json beside'):
    actor(folder, key)


@pytest.mark.parametrize(
  ('name', 'told'),
  [
    (
      'chat_template.jinja',
      r'chat template: there is none: .*data\.prompt_template',
    ),
    ('tokenizer_config.json', r'has no pad_token and no eos_token'),
    ('tokenizer.json', r'accepted is a byte-level BPE'),
  ],
)
def test_a_tokenizer_is_refused_before_the_weights_are_read(
  name, told, model_folder, tmp_path, key
):
  folder = Path(shutil.copytree(model_folder, tmp_path / 'model'))
  weights = load_file(folder / 'model.safetensors')
  weights['model.norm.weight'][0] = np.nan
  save_file(weights, folder / 'model.safetensors')
  with pytest.raises(ValueError, match='not finite'):
    actor(folder, key)
  if name == 'chat_template.jinja':
    (folder / name).unlink()
  else:
    fields = read_json(folder / name)
    if name == 'tokenizer.json':
      fields |= {'decoder': None}
    else:
      fields.pop('eos_token')
      fields.pop('pad_token')
      (folder / 'generation_config.json').unlink()
    write_json(folder / name, fields)
  with pytest.raises(ValueError, match=told):
    actor(folder, key)


def test_thinking_is_cut_and_closed_as_the_config_says(model_folder, key):
  stop = actor(
    model_folder,
    key,
    **{
      'rollout.max_thinking_tokens': 5,
      'rollout.max_answer_tokens': 2,
      'rollout.forced_text.after_thinking': ' 1',
      'rollout.forced_text.on_truncation': ' ####',
      'rollout.forced_text.on_budget': ' 2',
    },
  ).stop
  assert (int(stop.max_thinking_tokens), int(stop.max_answer_tokens)) == (5, 2)
  tokenizer = arithmetic.tokenizer()
  written = [tokenizer.decode(row[row >= 0]) for row in stop.forced_tokens]
  assert written == [' 1', ' ####', ' 2']


def test_new_tokens_begin_as_the_config_says(model_folder, key):
  tokens = '<start-latent>= ####', '<latent>'
  ours = actor(model_folder, key, **{'model.new_tokens': tokens})
  start, slot, hashes = ours.tokenizer.convert_tokens_to_ids(
    ['<start-latent>', '<latent>', 'Ġ####']
  )
  table = np.asarray(ours.base.table)
  np.testing.assert_array_equal(table[start], table[hashes])
  used = len(arithmetic.tokenizer())
  np.testing.assert_allclose(table[slot], table[: used + 1].mean(0), atol=1e-3)
  text = ours.tokenizer.decode([start, slot], skip_special_tokens=True)
  assert text == '<start-latent><latent>'


def test_a_critic_is_a_model_of_its_own(model_folder, key):
  """It shares the base's weights as long as adapters are trained."""
  changes = {'critic.enabled': True}
  critic = actor(model_folder, key, 'grpo', **changes).policy.critic
  assert not critic.value_head.any()
  changes |= {'lora.rank': 0, 'optimizer.groups.lora.pattern': '^model'}
  ours = actor(model_folder, key, 'grpo', **changes)
  mine = named_leaves(ours.policy.critic.model)
  for name, x in named_leaves(ours.policy.model).items():
    assert buffers(mine[name]) != buffers(x)
    np.testing.assert_array_equal(mine[name], x)


def test_a_prompt_ends_where_the_model_begins(tokenizer):
  alone = tokenizer.decode(chat_ids(tokenizer, '', 'Hi?'))
  assert alone == '<|user|>Hi?<|assistant|>'
  told = tokenizer.decode(chat_ids(tokenizer, 'Add.', 'Hi?'))
  assert told == '<|system|>Add.<|user|>Hi?<|assistant|>'


def test_a_prompt_can_be_plain_text(tokenizer):
  data = rl_tiny.get_config('x,grpo').data
  assert prompt_ids(tokenizer, data, {'question': 'Hi?'}) == chat_ids(
    tokenizer, '', 'Hi?'
  )
  data.prefill = ' No.'
  text = tokenizer.decode(prompt_ids(tokenizer, data, {'question': 'Hi?'}))
  assert text == '<|user|>Hi?<|assistant|> No.'
  data.prompt_template = 'A {reader} asks: {question} Say:'
  text = tokenizer.decode(prompt_ids(tokenizer, data, {'question': 'Hi?'}))
  assert text == 'A {reader} asks: Hi? Say: No.'
