"""Parses the text of a grid: fields and their values.

    config.seed=0,1; config.objective.kwargs.clip_range=0.2,(0.2,0.28)
    argument=MODEL,grpo|MODEL,hrpo; config.data.system_prompt='Think; say'

A semicolon ends a field. Bars separate its values; where it has no bar, commas
do, except in `argument` and `config`, where a comma belongs to the value.
Within brackets, and within quotes around a value, which are removed, nothing
separates.
"""

import re

UNSPLIT = 'argument', 'config'  # fields whose values have commas of their own
_CLOSING = {'(': ')', '[': ']', '{': '}'}
_FIELD = re.compile(r'(argument|config(\.[^\s=,|;]+)?)\s*=')


def parse_grid(option: str, text: str) -> dict[str, list[str]]:
  """Field -> its values. ValueError, with `option` and the part of the text,
  where it cannot be read, or is ambiguous."""
  fields: dict[str, list[str]] = {}
  for part in _split(option, text, ';'):
    field, equals, right = map(str.strip, part.partition('='))
    if not equals or not is_field(field):
      raise ValueError(
        f"{option}: {part!r}: write 'config.field=value,value' or "
        "'argument=value|value', with a semicolon between two fields"
      )
    if field in fields:
      raise ValueError(f'{option}: {part!r}: write each field once')
    values = _split(option, right, '|')
    if len(values) == 1 and field not in UNSPLIT:
      values = _split(option, right, ',')
      if len(values) > 1 and '' in values:
        raise ValueError(
          f"{option}: {part!r} has an empty value: write '' for one, or no "
          'comma beside it'
        )
    fields[field] = [_unquoted(value) for value in values]
    for value, written in zip(fields[field], values, strict=True):
      if (inner := _FIELD.search(value)) and value == written:
        raise ValueError(
          f'{option}: {part!r}: write a semicolon before {inner[0]!r}, or '
          'quotes around a value that has it'
        )
  return fields


def is_field(name: str) -> bool:
  """Whether a sweep can set it."""
  return name in UNSPLIT or name.startswith('config.')


def _split(option: str, text: str, separator: str) -> list[str]:
  """The parts, without the space around them. A quote opens only where a value
  can begin: an apostrophe within a word does not."""
  parts, begin, quote, brackets = [], 0, '', []
  before = separator  # the last character that is not white space
  for at, character in enumerate(text):
    if quote:
      quote = '' if character == quote else quote
    elif character in '"\'' and before in '=,|;:([{':
      quote = character
    elif character in _CLOSING:
      brackets.append(character)
    elif character in _CLOSING.values():
      if not brackets or _CLOSING[brackets.pop()] != character:
        raise _open(option, text, character)
    elif character == separator and not brackets:
      parts.append(text[begin:at].strip())
      begin = at + 1
    before = before if character.isspace() else character
  if quote or brackets:
    raise _open(option, text, quote or brackets[-1])
  return [*parts, text[begin:].strip()]


def _open(option: str, text: str, character: str) -> ValueError:
  return ValueError(
    f'{option}: {text!r}: {character!r} has no partner: write quotes around '
    'the whole value'
  )


def _unquoted(value: str) -> str:
  quote = value[:1]
  inside = value[1:-1]
  whole = len(value) > 1 and quote in '"\'' and value[-1] == quote
  return inside if whole and quote not in inside else value
