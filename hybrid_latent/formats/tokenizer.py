"""Tokenizers: from a folder, as bytes of each id, as a chat, how an answer
begins and where text ends."""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import takewhile
from operator import eq
from pathlib import Path
from typing import Any

from jinja2 import TemplateError, TemplateSyntaxError
from transformers import AutoTokenizer, PreTrainedTokenizerBase
from transformers.convert_slow_tokenizer import bytes_to_unicode

from hybrid_latent.formats.files import read_json, read_text, reading

FILE = 'tokenizer.json'
# What transformers reads beside it, and how we read it to check it.
_OBJECTS = (
  *(FILE, 'tokenizer_config.json', 'special_tokens_map.json'),
  *('added_tokens.json', 'vocab.json'),
)
_TEXTS = 'merges.txt', 'chat_template.jinja'

# What marks thinking: <think>, <seed:think>, Mistral's [THINK], Kimi's ◁think▷.
_TAG = r'(?:<[^<>]*(?:think|thought|reason)[^<>]*>|\[/?THINK\]|◁/?think▷)'
_ANSWER = 'Forty-two.'


def folder_tokenizer(folder: Path) -> PreTrainedTokenizerBase | None:
  """The tokenizer of a Hugging Face folder; None where it has none. ValueError,
  with the file, for one that cannot be read, and for a token whose id would not
  be the one in its file."""
  there = [name for name in _OBJECTS if (folder / name).exists()]
  objects = {name: read_json(folder / name) for name in there}
  for name in _TEXTS:
    if (folder / name).exists():
      read_text(folder / name)
  if not objects.keys() & {FILE, 'vocab.json'}:
    return None
  path = folder / (FILE if FILE in objects else 'vocab.json')
  with reading(path, ': accepted is a tokenizer that transformers reads'):
    tokenizer = AutoTokenizer.from_pretrained(
      folder, local_files_only=True, trust_remote_code=False
    )
    vocabulary = tokenizer.get_vocab()
  if not isinstance(longest := tokenizer.model_max_length, int | float):
    raise ValueError(
      f'{folder}/tokenizer_config.json: model_max_length = {longest!r:.80}: '
      'accepted is a number, or none'
    )
  declared = [*_declared(folder, objects)]
  _check_special(folder, objects, {text for _, text, _ in declared})
  for file, text, i in declared:
    if (got := vocabulary.get(text)) != i:
      raise ValueError(
        f'{folder / file}: token {text!r} has the id {i}, and transformers '
        f'makes that {got}: accepted is one id per token, without gaps below '
        'those of added tokens'
      )
  return tokenizer


def check_ids(tokenizer: PreTrainedTokenizerBase, rows: int) -> None:
  """ValueError where an id stands for two tokens, or is none of the `rows` of
  the embedding."""
  owner = {}
  for text, i in tokenizer.get_vocab().items():
    if i in owner:
      raise ValueError(
        f'the tokens {owner[i]!r} and {text!r} have both the id {i}: accepted '
        'is one token per id'
      )
    owner[i] = text
  if max(owner, default=-1) >= rows:
    raise ValueError(
      f'token {owner[max(owner)]!r} has the id {max(owner)}, and the model '
      f'vocab_size = {rows}: accepted is the tokenizer of this model'
    )


def check_byte_level(tokenizer: PreTrainedTokenizerBase) -> None:
  """ValueError unless the tokenizer is a byte-level BPE."""
  backend = getattr(tokenizer, 'backend_tokenizer', None)
  if backend is None or '"ByteLevel"' not in json.dumps(
    json.loads(backend.to_str())['decoder']
  ):
    raise ValueError(
      f'tokenizer {type(tokenizer).__name__}: accepted is a byte-level BPE '
      '(Qwen, Llama 3 and SmolLM2 have one)'
    )


def chat_ids(
  tokenizer, system: str, user: str, prefill: str = '', **switches: Any
) -> list[int]:
  """A prompt in the model's chat template, up to where it answers; `switches`
  are variables of the template. ValueError where there is no template, or one
  that cannot be rendered with these messages."""
  messages = [{'role': 'user', 'content': user}]
  if system:
    messages.insert(0, {'role': 'system', 'content': system})
  name = f'{tokenizer.name_or_path or "the tokenizer"}: chat template'
  if not tokenizer.chat_template:
    raise ValueError(
      f"{name}: there is none: write config.data.template='{{question}}' (or "
      'other text around the question), or put chat_template.jinja beside the '
      'tokenizer'
    )
  try:
    text = tokenizer.apply_chat_template(
      messages, tokenize=False, add_generation_prompt=True, **switches
    )
  except TemplateSyntaxError as error:
    raise ValueError(
      f'{name}, line {error.lineno}: {error.message}: mend it, or write '
      'config.data.template instead'
    ) from error
  except Exception as error:  # a template is a program, whatever it raises
    without = "config.data.system='', or " if system else ''
    raise ValueError(
      f'{name}: it cannot render the roles {[m["role"] for m in messages]}: '
      f'{error!s:.200}: write {without}config.data.template instead'
    ) from error
  return tokenizer(text + prefill, add_special_tokens=False)['input_ids']


def token_bytes(tokenizer: PreTrainedTokenizerBase) -> list[bytes]:
  """What each id adds to the text, `b''` for special tokens and unused ids.

  Raises ValueError unless the tokenizer is a byte-level BPE.
  """
  check_byte_level(tokenizer)
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
  if template:
    begun = _tags_at_the_end(template)
  else:
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
  if not begun:  # it asks for an answer in any case
    return _tags_at_the_end(asked)
  with suppress(TemplateError):  # of a template that wants more of an answer
    answered = rendered(('assistant', _ANSWER))
    if answered.startswith(before):
      turn = answered.removeprefix(before)
  header = re.split(f'{_TAG}|{_ANSWER}', turn)[0]
  return begun.removeprefix(_shared(begun, header))


def _tags_at_the_end(text: str) -> str:
  found = re.search(rf'(?:{_TAG}\s*)*\Z', text)
  return found.group() if found else ''


def _shared(text: str, other: str) -> str:
  pairs = zip(text, other, strict=False)
  return text[: sum(1 for _ in takewhile(lambda pair: eq(*pair), pairs))]


def stop_ids(
  tokenizer: PreTrainedTokenizerBase, generation: Mapping[str, Any]
) -> list[int]:
  """The ids that end a completion, ascending: those of the generation config
  and the tokenizer's own."""
  ends = [*_ids(generation.get('eos_token_id')), tokenizer.eos_token_id]
  return sorted({i for i in ends if isinstance(i, int)})


def pad_id(tokenizer: PreTrainedTokenizerBase) -> int:
  """What fills a row; never read, so the end of text will do. ValueError where
  there is neither."""
  for i in tokenizer.pad_token_id, tokenizer.eos_token_id:
    if isinstance(i, int):
      return i
  raise ValueError(
    f'{tokenizer.name_or_path or "the tokenizer"} has no pad_token and no '
    'eos_token: write one into tokenizer_config.json, or eos_token_id into '
    'generation_config.json'
  )


def check_ends(generation: Mapping[str, Any], rows: int) -> None:
  """ValueError where what begins, ends or pads is no id of `rows`."""
  # Not isinstance: in Python True is a whole number.
  valid = lambda i: type(i) is int and 0 <= i < rows
  for name in 'bos_token_id', 'eos_token_id', 'pad_token_id':
    ids, several = generation.get(name), name == 'eos_token_id'
    if not all(map(valid, _ids(ids))) or (isinstance(ids, list) > several):
      raise ValueError(
        f'{name} = {ids!r:.80}: accepted is null or an id below vocab_size = '
        f'{rows}{", or a list of such ids" if several else ""}'
      )


def with_ends(
  tokenizer: PreTrainedTokenizerBase, generation: Mapping[str, Any]
) -> PreTrainedTokenizerBase:
  """The tokenizer; one that does not say what ends a text ends and pads it with
  the first ids of the generation config."""
  if tokenizer.eos_token_id is None:
    for name in 'eos', 'pad':
      ids = _ids(generation.get(f'{name}_token_id'))
      if ids and getattr(tokenizer, f'{name}_token_id') is None:
        text = tokenizer.convert_ids_to_tokens(ids[0])
        setattr(tokenizer, f'{name}_token', text)
  return tokenizer


def _ids(entry: Any) -> list[Any]:
  """The ids of one entry of a generation config."""
  return entry if isinstance(entry, list) else [] if entry is None else [entry]


def _check_special(
  folder: Path, objects: Mapping[str, Any], known: set[str]
) -> None:
  """ValueError for a token that is to begin or end a text and that there is
  not: transformers gives it a new id, whose embedding nobody trained."""
  for file in 'tokenizer_config.json', 'special_tokens_map.json':
    for name in 'bos_token', 'eos_token':
      token = objects.get(file, {}).get(name)
      text = token.get('content') if isinstance(token, dict) else token
      if known and text and text not in known:
        said = f'{folder / file}: {name} = {text!r:.80}'
        raise ValueError(f'{said}: accepted is a token of {FILE}')


def _declared(
  folder: Path, objects: Mapping[str, Any]
) -> Iterator[tuple[str, str, int]]:
  """File, text and id of each token, as the files have them."""
  declared = objects.get(FILE, {})
  vocabulary = declared.get('model', {}).get('vocab')
  for text, i in vocabulary.items() if isinstance(vocabulary, dict) else ():
    yield FILE, text, i
  for token in declared.get('added_tokens') or ():
    yield FILE, token['content'], token['id']
  name = 'tokenizer_config.json'
  added = objects.get(name, {}).get('added_tokens_decoder') or {}
  for i, token in added.items():
    if 'content' not in token:
      raise ValueError(
        f'{folder / name}: added_tokens_decoder: {i} = {token!r:.80}: accepted '
        'is an object with its content'
      )
    yield name, token['content'], int(i)
  for text, i in objects.get('added_tokens.json', {}).items():
    yield 'added_tokens.json', text, i
