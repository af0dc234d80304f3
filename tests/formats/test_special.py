"""New tokens: their ids, their rows, and that they are added once."""

import copy
import dataclasses
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.sharding import AxisType
from tokenizers import Tokenizer, models
from transformers import (
  AutoConfig,
  AutoModelForCausalLM,
  AutoTokenizer,
  PreTrainedTokenizerFast,
)

from hybrid_latent import sharding
from hybrid_latent.data import arithmetic
from hybrid_latent.formats.export import new_folder, write_folder
from hybrid_latent.formats.gguf import gguf_tokenizer
from hybrid_latent.formats.parsed import read_json
from hybrid_latent.formats.pretrained import Pretrained, pretrained
from hybrid_latent.formats.special import with_tokens
from hybrid_latent.formats.tokenizer import token_bytes
from hybrid_latent.models.param_axes import param_axes
from hybrid_latent.models.transformer import (
  Transformer,
  TransformerConfig,
)
from hybrid_latent.trees import named_leaves
from tests.formats.test_tokenizer import write_vocabulary

TOKENS = ['<start-latent>', '<latent>', '<end-latent>']
TEXT = 'Tom <start-latent><latent> 1<end-latent>'
USED = 364  # ids of the tokenizer
LLAMA = TransformerConfig(
  family='llama',
  vocab=USED,
  width=16,
  layers=2,
  heads=4,
  kv_heads=2,
  head_dim=4,
  mlp=24,
  rope_theta=1e4,
)
QWEN2 = dataclasses.replace(LLAMA, family='qwen2', qkv_bias=True)
TABLES = pytest.mark.parametrize('tied', [True, False])
# Rows of the table -> rows it has with three tokens more.
ROWS = pytest.mark.parametrize(('vocab', 'rows'), [(364, 384), (400, 400)])


tokenizer = cache(arithmetic.tokenizer)


def tiny(key, **fields):
  config = dataclasses.replace(LLAMA, **fields)
  return Pretrained(Transformer(config, key), tokenizer(), {'eos_token_id': 1})


def tables(model):
  """The embedding and the head, where there is one."""
  named = named_leaves(model)
  return [named[name] for name in ('embedding', 'head') if name in named]


@TABLES
@ROWS
def test_new_tokens_get_the_mean_row_and_the_old_keep_theirs(
  tied, vocab, rows, key
):
  source = tiny(key, tied=tied, vocab=vocab)
  out = with_tokens(source, TOKENS)
  ids = out.tokenizer.convert_tokens_to_ids(TOKENS)
  assert ids == [364, 365, 366]
  assert out.model.config.vocab == out.model.layers.config.vocab == rows
  for old, new in zip(tables(source.model), tables(out.model), strict=True):
    assert new.shape == (rows, 16)
    mean = np.asarray(old[:USED], np.float64).mean(0)
    np.testing.assert_allclose(new[jnp.array(ids)], [mean] * 3, atol=1e-7)
    rest = np.delete(new, ids, axis=0)
    np.testing.assert_array_equal(rest[:USED], old[:USED])
    if rows == vocab:  # spare rows that no token took
      np.testing.assert_array_equal(rest[USED:], old[USED + 3 :])
    else:  # padding, which must not be likelier than a token
      np.testing.assert_allclose(rest[USED:], [mean] * 17, atol=1e-7)
  assert len(tables(out.model)) == (1 if tied else 2)


@TABLES
def test_new_tokens_can_be_like_another(tied, key):
  source = tiny(key, tied=tied)
  (like,) = source.tokenizer.encode(' ####')
  out = with_tokens(source, TOKENS, like=' ####')
  for old, new in zip(tables(source.model), tables(out.model), strict=True):
    np.testing.assert_array_equal(new[364:367], [old[like]] * 3)
    assert not np.array_equal(new[367], old[like])


def test_they_are_one_token_each_and_show_in_text(key):
  out = with_tokens(tiny(key), TOKENS)
  ids = out.tokenizer.encode(TEXT)
  assert [i for i in ids if i >= USED] == [364, 365, 366]
  assert out.tokenizer.decode(ids, skip_special_tokens=True) == TEXT
  table = token_bytes(out.tokenizer)
  assert b''.join(table[i] for i in ids) == TEXT.encode()
  assert table[364:] == [token.encode() for token in TOKENS]


def test_the_caller_keeps_model_and_tokenizer(key):
  source = tiny(key)
  with_tokens(source, TOKENS)
  assert len(source.tokenizer) == source.model.config.vocab == USED
  assert source.model.layers.config.vocab == len(source.model.table) == USED
  assert source.tokenizer.decode(source.tokenizer.encode(TEXT)) == TEXT


@pytest.mark.parametrize('config', [LLAMA, QWEN2], ids=lambda c: c.family)
@pytest.mark.parametrize(
  ('tied', 'vocab', 'rows'), [(True, 364, 384), (False, 400, 400)]
)
def test_a_written_folder_comes_back_bit_for_bit(
  config, tied, vocab, rows, key, tmp_path
):
  fields = dataclasses.asdict(config) | {'tied': tied, 'vocab': vocab}
  out = with_tokens(tiny(key, **fields), TOKENS)
  with new_folder(tmp_path / 'm') as draft:
    write_folder(out, draft)
  assert read_json(tmp_path / 'm' / 'config.json')['vocab_size'] == rows
  again = pretrained(tmp_path / 'm')
  assert again.model.config == out.model.config
  assert jax.tree.structure(again.model) == jax.tree.structure(out.model)
  jax.tree.map(np.testing.assert_array_equal, again.model, out.model)
  assert again.tokenizer.encode(TEXT) == out.tokenizer.encode(TEXT)
  # To a Qwen folder's tokenizer transformers adds its '<|endoftext|>'.
  assert token_bytes(again.tokenizer)[:367] == token_bytes(out.tokenizer)
  assert again.generation == out.generation
  assert with_tokens(again, TOKENS) is again


def test_transformers_reads_the_folder(key, tmp_path):
  out = with_tokens(tiny(key, tied=False), TOKENS)
  write_folder(out, tmp_path)
  tokenizer = AutoTokenizer.from_pretrained(tmp_path)
  ids = tokenizer.encode(TEXT)
  assert ids == out.tokenizer.encode(TEXT)
  assert tokenizer.decode(ids, skip_special_tokens=True) == TEXT
  assert AutoConfig.from_pretrained(tmp_path).vocab_size == 384
  model = AutoModelForCausalLM.from_pretrained(tmp_path)
  theirs = model.lm_head.weight.detach().numpy()
  np.testing.assert_array_equal(theirs, out.model.unembedding)


def test_more_tokens_later_take_the_padding_that_is_left(key):
  once = with_tokens(tiny(key), TOKENS[:2])
  again = with_tokens(once, TOKENS)
  assert again.tokenizer.convert_tokens_to_ids(TOKENS) == [364, 365, 366]
  assert again.model.table.shape == (384, 16)
  np.testing.assert_array_equal(again.model.table[:366], once.model.table[:366])
  repeated = with_tokens(tiny(key), ['<a>', '<a>'])
  assert len(repeated.tokenizer) == 365
  assert with_tokens(once, []) is once
  assert with_tokens(once, ['<|end|>']) is once


@pytest.mark.parametrize('dtype', ['bfloat16', 'float16'])
def test_tables_keep_their_dtype(dtype, key):
  source = tiny(key)
  model = jax.tree.map(lambda x: x.astype(dtype), source.model)
  out = with_tokens(source._replace(model=model), TOKENS)
  assert out.model.table.dtype == dtype
  mean = np.asarray(model.table[:USED], np.float64).mean(0)
  np.testing.assert_allclose(
    np.asarray(out.model.table[365], np.float64), mean, rtol=2**-8
  )


@pytest.mark.parametrize(
  ('axes', 'vocab', 'rows'),
  [
    ({'data': 2, 'fsdp': 2, 'tensor': 2}, 364, 384),
    ({'fsdp': 4, 'tensor': 2}, 400, 400),
    ({'fsdp': 2, 'tensor': 4}, 366, 384),  # did not divide, was a copy each
  ],
)
def test_tables_keep_their_sharding(axes, vocab, rows, key):
  source = tiny(key, tied=False, vocab=vocab)
  plain = with_tokens(source, TOKENS)
  mesh = sharding.mesh(**axes)
  places = sharding.shardings(source.model, param_axes, mesh)
  model = jax.device_put(source.model, places)
  out = with_tokens(source._replace(model=model), TOKENS)
  for old, new, same in zip(
    *map(tables, (model, out.model, plain.model)), strict=True
  ):
    assert new.shape == (rows, 16)
    assert new.sharding == old.sharding
    np.testing.assert_allclose(new, same, atol=1e-7)


def test_a_table_cut_in_five_still_divides(key):
  """365 rows are; 384 would not be."""
  source = tiny(key, vocab=365)
  mesh = jax.make_mesh(
    (5,), ('tensor',), devices=jax.devices()[:5], axis_types=(AxisType.Auto,)
  )
  place = jax.NamedSharding(mesh, jax.P('tensor'))
  cut = jax.device_put(source.model.table, place)
  source.model.embedding = nnx.Param(cut)
  out = with_tokens(source, TOKENS)
  assert out.model.table.shape == (640, 16)
  assert out.model.table.sharding == place


def test_mistakes_are_named(key):
  source = tiny(key)
  with pytest.raises(ValueError, match=r"tokens = \['<a>', ''\].*not empty"):
    with_tokens(source, ['<a>', ''])
  with pytest.raises(ValueError, match=r"like = '12'.*\['1', '2'\].*one token"):
    with_tokens(source, TOKENS, like='12')
  wide = copy.deepcopy(source.tokenizer)
  wide.add_tokens(TOKENS)
  with pytest.raises(
    ValueError, match=r"tokens = .*'<latent>'.*embedding of 364"
  ):
    with_tokens(source._replace(tokenizer=wide), TOKENS)


def test_unused_ids_of_a_file_are_used(key, tmp_path):
  """A GGUF file lists the padding rows of its model as unused tokens."""
  padded = gguf_tokenizer(write_vocabulary(tmp_path / 'x.gguf', 'qwen2'))
  source = tiny(key)._replace(tokenizer=padded)
  out = with_tokens(source, TOKENS)
  assert sorted(out.tokenizer.get_vocab().values()) == list(range(268))
  assert out.model.table.shape == source.model.table.shape


def test_no_id_stands_for_two_tokens(key):
  gap = Tokenizer(models.BPE(vocab={'a': 0, 'b': 2}, merges=[]))
  source = tiny(key)._replace(
    tokenizer=PreTrainedTokenizerFast(tokenizer_object=gap)
  )
  with pytest.raises(ValueError, match=r'ids \[2\].*without such gaps'):
    with_tokens(source, TOKENS)
