"""From a config to a policy."""

import json
import shutil

import jax
import numpy as np
import pytest

from experiments.policies import (
  STOP_IDS,
  chat_ids,
  checked_resume,
  stop_rule,
  subject,
)
from hybrid_latent import sharding
from hybrid_latent.data import arithmetic
from hybrid_latent.trees import named_leaves
from tests.experiments import rl_tiny


@pytest.fixture(scope='module')
def tokenizer():
  return arithmetic.tokenizer()


def actor(model_folder, key, method='hrpo', **changes):
  config = rl_tiny.get_config(f'{model_folder},{method}')
  config.update_from_flattened_dict(changes)
  return subject(config, sharding.mesh(fsdp=2, tensor=2), key)


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
  assert cut['feedback.w_r'] == cut['model.norm'] == jax.P()


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
  assert sorted(stop.tokens.tolist()) == [1, *range(20, 160, 20)]
  assert (int(stop.limit), int(stop.pad)) == (8, 0)
  assert stop.delimiter.shape == (len('####') + 1, 384)


def test_a_model_without_a_tokenizer_is_refused(model_folder, tmp_path, key):
  folder = tmp_path / 'bare'
  shutil.copytree(model_folder, folder)
  for path in folder.glob('tokenizer*'):
    path.unlink()
  with pytest.raises(ValueError, match=r'bare.*put tokenizer\.json beside'):
    actor(folder, key)


def test_there_is_room_for_other_stop_ids(tokenizer):
  """Fewer or more of them are the same program."""
  stops = [
    stop_rule(tokenizer, 384, '####', 5, {'eos_token_id': ids})
    for ids in (1, [1, 7], list(range(1, 9)))
  ]
  assert [(stop.tokens >= 0).sum() for stop in stops] == [1, 2, 8]
  assert {stop.tokens.shape for stop in stops} == {(STOP_IDS,)}
  with pytest.raises(ValueError, match='9 stop ids: at most 8'):
    stop_rule(tokenizer, 384, '####', 5, {'eos_token_id': list(range(1, 10))})


def test_a_prompt_ends_where_the_model_begins(tokenizer):
  alone = tokenizer.decode(chat_ids(tokenizer, '', 'Hi?'))
  assert alone == '<|user|>Hi?<|assistant|>'
  told = tokenizer.decode(chat_ids(tokenizer, 'Add.', 'Hi?'))
  assert told == '<|system|>Add.<|user|>Hi?<|assistant|>'


def test_some_fields_may_change_when_a_run_resumes():
  old = rl_tiny.get_config('x,hrpo')
  notes = {'config': old.to_json(), 'num_tokens': 7}
  free = rl_tiny.get_config('x,hrpo')
  free.update(steps=99, micro_batches=4, completions=1, checkpoint_every=7)
  free.eval.every = 1
  free.grader.workers = 3
  free.mesh.data = 8
  assert checked_resume(notes, free, 'w') == notes
  fixed = rl_tiny.get_config('x,hrpo')
  fixed.optimizer.groups.lora.lr = 0.5
  fixed.unlock().extra = 3
  with pytest.raises(ValueError) as error:
    checked_resume(notes, fixed, 'w')
  assert str(error.value).splitlines()[1:-1] == [
    '  config.extra: None then, 3 now',
    '  config.optimizer.groups.lora.lr: 0.01 then, 0.5 now',
  ]
  assert json.loads(notes['config'])['steps'] == 4
