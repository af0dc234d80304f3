"""Tokenizers: bytes per id, ids of a chat, the start of an answer, stop ids."""

import json
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from itertools import takewhile
from operator import eq
from typing import Any

from jinja2 import TemplateError, TemplateSyntaxError

# A transformers.PreTrainedTokenizerBase; importing it takes a second.
Tokenizer = Any

# Thinking tags: <think>, <seed:think>, Mistral's [THINK], Kimi's ◁think▷.
_TAG = r'(?:<[^<>]*(?:think|thought|reason)[^<>]*>|\[/?THINK\]|◁/?think▷)'
_ANSWER = 'Forty-two.'


def check_byte_level(tokenizer: Tokenizer) -> None:
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
  tokenizer,
  system: str,
  user: str,
  prefill: str = '',
  *,
  history: Iterable[tuple[str, str]] = (),
  **switches: Any,
) -> list[int]:
  """The token ids of a prompt in the model's chat template, up to the start of
  the answer, after a `history` of questions and answers; `switches` are
  variables of the template. ValueError for a missing template, and for one that
  cannot render these messages."""
  messages = [{'role': role, 'content': text} for exchange in history
              for role, text in zip(('user', 'assistant'), exchange,
                                    strict=True)]  # fmt: skip
  messages.append({'role': 'user', 'content': user})
  if system:
    messages.insert(0, {'role': 'system', 'content': system})
  name = f'{tokenizer.name_or_path or "the tokenizer"}: chat template'
  if not tokenizer.chat_template:
    raise ValueError(
      f"{name}: there is none: write config.data.prompt_template='{{question}}'"
      ' (or other text around the question), or put chat_template.jinja beside '
      'the tokenizer'
    )
  try:
    text = tokenizer.apply_chat_template(
      messages, tokenize=False, add_generation_prompt=True, **switches
    )
  except TemplateSyntaxError as error:
    raise ValueError(
      f'{name}, line {error.lineno}: {error.message}: correct it, or write '
      'config.data.prompt_template instead'
    ) from error
  except Exception as error:  # a template is a program, whatever it raises
    without = "config.data.system_prompt='', or " if system else ''
    raise ValueError(
      f'{name}: it cannot render the roles {[m["role"] for m in messages]}: '
      f'{error!s:.200}: write {without}config.data.prompt_template instead'
    ) from error
  return tokenizer(text + prefill, add_special_tokens=False)['input_ids']


def token_bytes(tokenizer: Tokenizer) -> list[bytes]:
  """The bytes of each id; `b''` for special tokens and unused ids.

  Raises ValueError unless the tokenizer is a byte-level BPE.
  """
  from transformers.convert_slow_tokenizer import bytes_to_unicode  # slow

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
  tokenizer: Tokenizer,
  *,
  system: str = '',
  template: str = '',
  prefill: str = '',
  **switches: Any,
) -> str:
  """The text of the answer that is part of the prompt, without special tokens.

  This is the generation prompt of the chat template without the header of an
  assistant message: `<think>` for R1-Distill, an empty thinking for Qwen3 with
  enable_thinking=False; then `prefill`. For a plain `template`, the thinking
  tags at its end.
  """
  if template:
    opening = _tags_at_the_end(template)
  else:
    opening = _chat_template_opening(tokenizer, system, switches)
  opening += prefill
  for token in tokenizer.added_tokens_decoder.values():
    opening = opening.replace(token.content, '') if token.special else opening
  return opening


def _chat_template_opening(tokenizer, system: str, switches) -> str:
  def rendered(*messages, **kwargs) -> str:
    turns = [('system', system)] * bool(system) + [('user', 'Six by seven?')]
    return tokenizer.apply_chat_template(
      [{'role': r, 'content': text} for r, text in [*turns, *messages]],
      tokenize=False,
      **switches,
      **kwargs,
    )

  prompt = rendered(add_generation_prompt=True)
  context = _common_prefix(prompt, rendered())
  opening = turn = prompt.removeprefix(context)
  if not opening:  # the template ignores add_generation_prompt
    return _tags_at_the_end(prompt)
  # The header of an assistant message is what a rendered answer begins with.
  with suppress(TemplateError):  # some templates require more of an answer
    answered = rendered(('assistant', _ANSWER))
    if answered.startswith(context):
      turn = answered.removeprefix(context)
  header = re.split(f'{_TAG}|{_ANSWER}', turn)[0]
  return opening.removeprefix(_common_prefix(opening, header))


def _tags_at_the_end(text: str) -> str:
  match = re.search(rf'(?:{_TAG}\s*)*\Z', text)
  return match.group() if match else ''


def _common_prefix(text: str, other: str) -> str:
  pairs = zip(text, other, strict=False)
  return text[: sum(1 for _ in takewhile(lambda pair: eq(*pair), pairs))]


def stop_ids(tokenizer: Tokenizer, generation: Mapping[str, Any]) -> list[int]:
  """The ids that end a completion, ascending, from the generation config and
  the tokenizer."""
  ends = [*ids_of(generation.get('eos_token_id')), tokenizer.eos_token_id]
  return sorted({i for i in ends if isinstance(i, int)})


def pad_id(tokenizer: Tokenizer) -> int:
  """The id of padding, or of the end of text: masks exclude it anyway.
  ValueError where the tokenizer has neither."""
  for i in tokenizer.pad_token_id, tokenizer.eos_token_id:
    if isinstance(i, int):
      return i
  raise ValueError(
    f'{tokenizer.name_or_path or "the tokenizer"} has no pad_token and no '
    'eos_token: write one into tokenizer_config.json, or eos_token_id into '
    'generation_config.json'
  )


def ids_of(entry: Any) -> list[Any]:
  """The ids of one entry of a generation config."""
  return entry if isinstance(entry, list) else [] if entry is None else [entry]
