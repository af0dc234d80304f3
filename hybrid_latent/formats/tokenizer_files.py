"""The tokenizer of a Hugging Face folder, and whether a tokenizer and the ids
that end a text fit their model."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer

from hybrid_latent.formats.files import reading
from hybrid_latent.formats.parsed import read_json, read_text
from hybrid_latent.formats.tokenizer import Tokenizer, ids_of

FILE = 'tokenizer.json'
# What transformers reads beside it, and how we read it to check it.
_OBJECTS = (
  *(FILE, 'tokenizer_config.json', 'special_tokens_map.json'),
  *('added_tokens.json', 'vocab.json'),
)
_TEXTS = 'merges.txt', 'chat_template.jinja'


def folder_tokenizer(folder: Path) -> Tokenizer | None:
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


def check_ids(tokenizer: Tokenizer, rows: int) -> None:
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


def check_ends(generation: Mapping[str, Any], rows: int) -> None:
  """ValueError where what begins, ends or pads is no id of `rows`."""
  # Not isinstance: in Python True is a whole number.
  valid = lambda i: type(i) is int and 0 <= i < rows
  for name in 'bos_token_id', 'eos_token_id', 'pad_token_id':
    ids, several = generation.get(name), name == 'eos_token_id'
    if not all(map(valid, ids_of(ids))) or (isinstance(ids, list) > several):
      raise ValueError(
        f'{name} = {ids!r:.80}: accepted is null or an id below vocab_size = '
        f'{rows}{", or a list of such ids" if several else ""}'
      )


def with_ends(tokenizer: Tokenizer, generation: Mapping[str, Any]) -> Tokenizer:
  """The tokenizer; one that does not say what ends a text ends and pads it with
  the first ids of the generation config."""
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
