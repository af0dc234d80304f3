"""Reads the tokenizer of a Hugging Face folder; checks that a tokenizer and
the ids of a generation config fit their model."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer

from hybrid_latent.formats.files import reading
from hybrid_latent.formats.parsed import read_json, read_text
from hybrid_latent.formats.tokenizer import Tokenizer, ids_of

FILE = 'tokenizer.json'
# The files that transformers reads, checked here before it does: JSON objects,
# and texts.
_OBJECTS = (
  *(FILE, 'tokenizer_config.json', 'special_tokens_map.json'),
  *('added_tokens.json', 'vocab.json'),
)
_TEXTS = 'merges.txt', 'chat_template.jinja'


def folder_tokenizer(folder: Path) -> Tokenizer | None:
  """The tokenizer of a Hugging Face folder; None where it has none. ValueError,
  with the file, for a malformed one, and for a token whose id after loading is
  not that of its file."""
  present = [name for name in _OBJECTS if (folder / name).exists()]
  objects = {name: read_json(folder / name) for name in present}
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
  if not isinstance(max_length := tokenizer.model_max_length, int | float):
    raise ValueError(
      f'{folder}/tokenizer_config.json: model_max_length = {max_length!r:.80}: '
      'accepted is a number, or null'
    )
  # transformers renumbers added tokens silently, so each id is compared.
  declared = [*_declared(folder, objects)]
  _check_special(folder, objects, {text for _, text, _ in declared})
  for file, text, i in declared:
    if (got := vocabulary.get(text)) != i:
      raise ValueError(
        f'{folder / file}: token {text!r} has the id {i}, and after loading by '
        f'transformers {got}: accepted is one id per token, without gaps below '
        'those of added tokens'
      )
  return tokenizer


def check_ids(tokenizer: Tokenizer, rows: int) -> None:
  """ValueError where two tokens have one id, or an id is not below `rows`, the
  rows of the embedding."""
  tokens = {}
  for text, i in tokenizer.get_vocab().items():
    if i in tokens:
      raise ValueError(
        f'the tokens {tokens[i]!r} and {text!r} both have the id {i}: accepted '
        'is one token per id'
      )
    tokens[i] = text
  if max(tokens, default=-1) >= rows:
    raise ValueError(
      f'token {tokens[max(tokens)]!r} has the id {max(tokens)}, and the model '
      f'vocab_size = {rows}: accepted is the tokenizer of this model'
    )


def check_ends(generation: Mapping[str, Any], rows: int) -> None:
  """ValueError where an id of beginning, end or padding is not below `rows`."""
  # Not isinstance: True is an int in Python.
  valid = lambda i: type(i) is int and 0 <= i < rows
  for name in 'bos_token_id', 'eos_token_id', 'pad_token_id':
    ids, several = generation.get(name), name == 'eos_token_id'
    if not all(map(valid, ids_of(ids))) or (isinstance(ids, list) > several):
      raise ValueError(
        f'{name} = {ids!r:.80}: accepted is null or an id below vocab_size = '
        f'{rows}{", or a list of such ids" if several else ""}'
      )


def with_ends(tokenizer: Tokenizer, generation: Mapping[str, Any]) -> Tokenizer:
  """The tokenizer; one without an end of text has those of the generation
  config, the first ids for end and padding."""
  if tokenizer.eos_token_id is None:
    for name in 'eos', 'pad':
      ids = ids_of(generation.get(f'{name}_token_id'))
      if ids and getattr(tokenizer, f'{name}_token_id') is None:
        text = tokenizer.convert_ids_to_tokens(ids[0])
        setattr(tokenizer, f'{name}_token', text)
  return tokenizer


def _check_special(
  folder: Path, objects: Mapping[str, Any], known: set[str]
) -> None:
  """ValueError for a beginning or end of text that is not in the vocabulary:
  transformers would add it with a new id, whose embedding is untrained."""
  for file in 'tokenizer_config.json', 'special_tokens_map.json':
    for name in 'bos_token', 'eos_token':
      token = objects.get(file, {}).get(name)
      text = token.get('content') if isinstance(token, dict) else token
      if known and text and text not in known:
        raise ValueError(
          f'{folder / file}: {name} = {text!r:.80}: accepted is a token of '
          f'{FILE}'
        )


def _declared(
  folder: Path, objects: Mapping[str, Any]
) -> Iterator[tuple[str, str, int]]:
  """(file, text, id) of each token in the files."""
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
