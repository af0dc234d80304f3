"""Tokenizers: from a GGUF file, as bytes of each id, how an answer begins and
where text ends."""

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from itertools import takewhile
from operator import eq
from pathlib import Path
from typing import Any

from gguf import GGUFReader, TokenType
from jinja2 import TemplateError
from tokenizers import (
  AddedToken,
  Regex,
  Tokenizer,
  decoders,
  models,
  normalizers,
  pre_tokenizers,
  processors,
)
from tokenizers.pre_tokenizers import ByteLevel, Digits, Split
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast
from transformers.convert_slow_tokenizer import bytes_to_unicode

from hybrid_latent.formats.gguf import open_gguf, value

# The pattern of GPT-4, with the digits that one token may hold left open.
_WORDS = (
  r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}{digits}"
  r'| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+'
)

# What marks thinking in a chat template: <think>, </think>, <seed:think>, ..
_TAG = r'<[^<>]*(?:think|thought|reason)[^<>]*>'
_ANSWER = 'Forty-two.'


def _words(digits: str) -> list:
  pattern = Regex(_WORDS.format(digits=digits))
  return [
    Split(pattern, 'isolated'),
    ByteLevel(add_prefix_space=False, use_regex=False),
  ]


# tokenizer.ggml.pre -> how text is cut before the merges, as released.
PRE = {
  'smollm': [Digits(individual_digits=True), ByteLevel(add_prefix_space=False)],
  'qwen2': _words(''),
  'deepseek-r1-qwen': _words(''),
  'llama-bpe': _words('{1,3}'),
}


def gguf_tokenizer(file: str | Path | GGUFReader) -> PreTrainedTokenizerFast:
  """The tokenizer and the chat template that a GGUF file carries."""
  reader = file if isinstance(file, GGUFReader) else open_gguf(file)
  entry = lambda name, default=None: value(
    reader, f'tokenizer.ggml.{name}', default
  )
  if entry('model') != 'gpt2' or entry('pre') not in PRE:
    raise ValueError(
      f'tokenizer.ggml.model = {entry("model")!r} with pre = '
      f"{entry('pre')!r}: accepted is 'gpt2' (byte-level BPE) with one of "
      f'{sorted(PRE)}'
    )
  tokens = entry('tokens')
  token = lambda name: _token(tokens, entry(f'{name}_token_id'))
  return PreTrainedTokenizerFast(
    tokenizer_object=_byte_level_bpe(tokens, entry),
    bos_token=token('bos'),
    eos_token=token('eos'),
    unk_token=token('unknown'),
    pad_token=token('padding') or token('eos'),
    padding_side='left',
    clean_up_tokenization_spaces=False,
    chat_template=value(reader, 'tokenizer.chat_template'),
  )


def token_bytes(tokenizer: PreTrainedTokenizerBase) -> list[bytes]:
  """What each id adds to the text, `b''` for special tokens and unused ids.

  Raises ValueError unless the tokenizer is a byte-level BPE.
  """
  backend = getattr(tokenizer, 'backend_tokenizer', None)
  if backend is None or '"ByteLevel"' not in json.dumps(
    json.loads(backend.to_str())['decoder']
  ):
    raise ValueError(
      f'tokenizer {type(tokenizer).__name__}: accepted is a byte-level BPE '
      '(Qwen, Llama 3 and SmolLM2 have one)'
    )
  byte = {char: i for i, char in bytes_to_unicode().items()}
  vocabulary = tokenizer.get_vocab()
  table = [b''] * (max(vocabulary.values()) + 1)
  added = tokenizer.added_tokens_decoder
  for text, i in vocabulary.items():
    if i not in added:
      table[i] = bytes(byte[char] for char in text)
    elif not added[i].special:
      table[i] = text.encode()
  return table


def answer_opening(
  tokenizer: PreTrainedTokenizerBase,
  *,
  system: str = '',
  template: str = '',
  prefill: str = '',
  **switches: Any,
) -> str:
  """What a prompt puts into the model's mouth: the beginning of its answer that
  is not for it to write, without special tokens.

  That is what the chat template asks for an answer with, behind the header that
  it gives to every answer: `<think>` for R1-Distill, an empty thinking for
  Qwen3 with enable_thinking=False; then `prefill`. Of a plain `template` it is
  the tags of thinking that it ends with.
  """
  asked = re.search(rf'(?:{_TAG}\s*)*\Z', template)
  begun = asked.group() if asked else ''
  if not template:
    begun = _begun_by_chat_template(tokenizer, system, switches)
  begun += prefill
  for token in tokenizer.added_tokens_decoder.values():
    begun = begun.replace(token.content, '') if token.special else begun
  return begun


def _begun_by_chat_template(tokenizer, system: str, switches) -> str:
  def rendered(*messages, **more) -> str:
    turns = [('system', system)] * bool(system) + [('user', 'Six by seven?')]
    return tokenizer.apply_chat_template(
      [{'role': r, 'content': text} for r, text in [*turns, *messages]],
      tokenize=False,
      **switches,
      **more,
    )

  asked = rendered(add_generation_prompt=True)
  before = _shared(asked, rendered())
  begun = turn = asked.removeprefix(before)
  with suppress(TemplateError):  # of a template that wants more of an answer
    answered = rendered(('assistant', _ANSWER))
    if answered.startswith(before):
      turn = answered.removeprefix(before)
  header = re.split(f'{_TAG}|{_ANSWER}', turn)[0]
  return begun.removeprefix(_shared(begun, header))


def _shared(text: str, other: str) -> str:
  pairs = zip(text, other, strict=False)
  return text[: sum(1 for _ in takewhile(lambda pair: eq(*pair), pairs))]


def stop_ids(
  tokenizer: PreTrainedTokenizerBase, generation: Mapping[str, Any]
) -> list[int]:
  """The ids that end a completion, ascending: those of the generation config
  and the tokenizer's own."""
  ends = generation.get('eos_token_id')
  ends = ends if isinstance(ends, list) else [ends]
  ends = [*ends, tokenizer.eos_token_id]
  return sorted({i for i in ends if isinstance(i, int)})


def _byte_level_bpe(tokens: list[str], entry) -> Tokenizer:
  types = entry('token_type', [TokenType.NORMAL] * len(tokens))
  used = [i for i, t in enumerate(types) if t != TokenType.UNUSED]
  pre = entry('pre')
  tokenizer = Tokenizer(
    models.BPE(
      vocab={tokens[i]: i for i in used},
      merges=[tuple(merge.split(' ')) for merge in entry('merges')],
      ignore_merges=pre == 'llama-bpe',
    )
  )
  if pre != 'smollm' and pre != 'llama-bpe':
    tokenizer.normalizer = normalizers.NFC()
  tokenizer.pre_tokenizer = pre_tokenizers.Sequence(PRE[pre])
  tokenizer.decoder = decoders.ByteLevel()
  kinds = {TokenType.CONTROL: True, TokenType.USER_DEFINED: False}
  tokenizer.add_tokens(
    [
      AddedToken(tokens[i], special=kinds[types[i]], normalized=False)
      for i in used
      if types[i] in kinds
    ]
  )
  if entry('add_bos_token', pre == 'llama-bpe'):
    bos = entry('bos_token_id')
    tokenizer.post_processor = processors.TemplateProcessing(
      single=f'{tokens[bos]} $A', special_tokens=[(tokens[bos], bos)]
    )
  return tokenizer


def _token(tokens: list[str], i: int | None) -> str | None:
  return None if i is None else tokens[i]
