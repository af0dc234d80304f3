"""The tokenizer of a GGUF file, id by id."""

import gguf
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from hybrid_latent.formats.gguf import gguf_tokenizer
from hybrid_latent.formats.pretrained import local_path
from hybrid_latent.formats.tokenizer import stop_ids, token_bytes

TEXTS = [
  "What is 12 + 345? It's 357.\n\n1 apple\n\n2 pears",
  'naïve 日本 🙂 \x00 ½ x²\t  <|im_start|>user\nhi<|im_end|>',
]


@pytest.fixture(scope='module')
def smollm2():
  return gguf_tokenizer(local_path('smollm2-135m'))


def test_smollm_splits_off_every_digit_before_the_merges(smollm2):
  pieces = smollm2.tokenize('\n1\n\n23, a  4')
  assert pieces == ['Ċ', '1', 'ĊĊ', '2', '3', ',', 'Ġa', 'ĠĠ', '4']
  ids = smollm2('What is 12 + 345?')['input_ids']
  assert ids == [1780, 314, 216, 33, 34, 1232, 216, 35, 36, 37, 47]


def test_smollm_special_tokens_and_chat(smollm2):
  assert len(smollm2) == 49152
  assert (smollm2.bos_token_id, smollm2.eos_token_id) == (1, 2)
  assert smollm2.padding_side == 'left'
  chat = [{'role': 'user', 'content': 'hi 12'}]
  text = smollm2.apply_chat_template(
    chat, tokenize=False, add_generation_prompt=True
  )
  assert text == (
    '<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained '
    'by Hugging Face<|im_end|>\n<|im_start|>user\nhi 12<|im_end|>\n'
    '<|im_start|>assistant\n'
  )
  ids = smollm2.encode(text)
  assert ids.count(1) == 3
  assert ids.count(2) == 2


@pytest.mark.parametrize('text', TEXTS)
def test_token_bytes_spell_the_text(smollm2, text):
  table = token_bytes(smollm2)
  assert len(table) == 49152
  plain = text.replace('<|im_start|>', '').replace('<|im_end|>', '')
  assert b''.join(table[i] for i in smollm2.encode(text)) == plain.encode()
  assert smollm2.decode(smollm2.encode(text)) == text


def test_a_saved_tokenizer_is_the_same(smollm2, tmp_path):
  smollm2.save_pretrained(tmp_path)
  again = AutoTokenizer.from_pretrained(tmp_path)
  assert [again.encode(t) for t in TEXTS] == [smollm2.encode(t) for t in TEXTS]
  assert again.chat_template == smollm2.chat_template
  assert token_bytes(again) == token_bytes(smollm2)


@pytest.mark.parametrize(
  ('pre', 'pieces'),
  [
    ('smollm', ['1', '2', '3', '4', 'ĠI', "'", 'LL']),
    ('qwen2', ['1', '2', '3', '4', 'ĠI', "'LL"]),
    ('llama-bpe', ['<b>', '123', '4', 'ĠI', "'LL"]),
  ],
)
def test_text_is_cut_as_each_release_cuts_it(pre, pieces, tmp_path):
  tokenizer = gguf_tokenizer(write_vocabulary(tmp_path / 'x.gguf', pre))
  ids = tokenizer.encode("1234 I'LL")
  assert tokenizer.convert_ids_to_tokens(ids) == pieces


def test_added_text_counts_and_control_does_not(tmp_path):
  tokenizer = gguf_tokenizer(write_vocabulary(tmp_path / 'x.gguf', 'qwen2'))
  table = token_bytes(tokenizer)
  ids = tokenizer.encode('</think>1<b>')
  assert [table[i] for i in ids] == [b'</think>', b'1', b'']
  assert '[PAD0]' not in tokenizer.get_vocab()


@pytest.mark.parametrize(
  ('model', 'pre'), [('llama', 'default'), ('gpt2', 'tekken')]
)
def test_other_tokenizers_are_refused(model, pre, tmp_path):
  path = write_vocabulary(tmp_path / 'x.gguf', pre, model)
  with pytest.raises(
    ValueError, match=rf"'{model}' with pre = '{pre}'.*smollm"
  ):
    gguf_tokenizer(path)


def test_token_bytes_refuses_what_is_not_byte_level():
  words = Tokenizer(models.WordLevel({'a': 0, '?': 1}, unk_token='?'))
  words.pre_tokenizer = pre_tokenizers.Whitespace()
  with pytest.raises(ValueError, match='byte-level BPE'):
    token_bytes(PreTrainedTokenizerFast(tokenizer_object=words))


def test_stop_ids_join_the_config_and_the_tokenizer(smollm2):
  assert stop_ids(smollm2, {}) == [2]
  assert stop_ids(smollm2, {'eos_token_id': 0}) == [0, 2]
  assert stop_ids(smollm2, {'eos_token_id': [9, 2]}) == [2, 9]


def write_vocabulary(path, pre, model='gpt2'):
  """A GGUF file that holds nothing but a small tokenizer."""
  merges = ['1 2', '12 3', '123 4', 'Ġ I', "' L", "'L L", 'L L']
  tokens = sorted(pre_tokenizers.ByteLevel.alphabet())
  tokens += [merge.replace(' ', '') for merge in merges]
  kinds = [gguf.TokenType.NORMAL] * len(tokens)
  tokens += ['<b>', '</think>', '[PAD0]']
  kinds += [
    gguf.TokenType.CONTROL,
    gguf.TokenType.USER_DEFINED,
    gguf.TokenType.UNUSED,
  ]
  writer = gguf.GGUFWriter(path, 'llama')
  writer.add_tokenizer_model(model)
  writer.add_tokenizer_pre(pre)
  writer.add_token_list(tokens)
  writer.add_token_types(kinds)
  writer.add_token_merges(merges)
  writer.add_bos_token_id(tokens.index('<b>'))
  writer.add_eos_token_id(tokens.index('<b>'))
  writer.write_header_to_file()
  writer.write_kv_data_to_file()
  writer.close()
  return path
