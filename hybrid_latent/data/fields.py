"""What is made of the fields of a row: questions, answers and steps that the
authors of a benchmark did not write down as such.

Each refuses (ValueError) a field that is not what it reads, with its value and
what is accepted; file and line are said by who reads the file.
"""

import math
import re
from contextlib import suppress
from string import ascii_uppercase
from typing import Any

from hybrid_latent.rewards.latex import boxed


class OtherTask(ValueError):
  """A row that lacks what sets the rows of its task apart."""


class MissingField(OtherTask):
  """A row without a field: `what` is missing, and `remedy` in a first row."""

  def __init__(self, what: str, remedy: str):
    super().__init__(f'{what}: {remedy}')
    self.what = what


def gold(row: dict) -> str | list[str]:
  """The answer, or all that are right; numbers as their text."""
  found = row['answer']
  if isinstance(found, list) and found:
    return [_text_of(item, found) for item in found]
  return _text_of(found, found)


def gold_if_any(row: dict) -> str | list[str]:
  """As above; '' stays, which a row of a task without one has."""
  return '' if row['answer'] == '' else gold(row)


def one_gold(row: dict) -> str:
  """As `gold`, of a task that writes the answer into the ending."""
  found = gold(row)
  if not isinstance(found, str):
    raise ValueError(
      f'answer = {found!r:.60}: accepted is a text or a finite number'
    )
  return found


def _text_of(value: Any, found: Any) -> str:
  """5.0, as several files write 5, is '5'."""
  if isinstance(value, float) and math.isfinite(value):
    return str(int(value)) if value == int(value) else repr(value)
  if not isinstance(value, str | int):
    raise ValueError(
      f'answer = {found!r:.60}: accepted is a text, a finite number, or a list '
      'of them of which any is right'
    )
  if not (answer := str(value).strip()):
    raise ValueError(
      f'answer = {found!r:.60}: accepted is a text that is not empty, a '
      'number, or a list of them'
    )
  return answer


def text(row: dict, name: str) -> str:
  """A field that has to be a text."""
  if not isinstance(row[name], str):
    raise ValueError(f'{name} = {row[name]!r:.60}: accepted is a text')
  return row[name]


def asked(row: dict) -> str:
  """The question, which has to be there."""
  question = text(row, 'question').strip()
  if not question:
    raise ValueError("question = '': accepted is a text that is not empty")
  return question


def number(row: dict) -> str:
  """27.0, as several files write 27. A whole number keeps all its digits."""
  found = row['answer']
  with suppress(TypeError, ValueError):  # '27.0', or thousands of digits
    if not isinstance(found, bool | float):
      return str(int(found))
  try:
    value = math.nan if isinstance(found, bool) else float(found)
  except (TypeError, ValueError, OverflowError):
    value = math.nan
  if not math.isfinite(value):
    raise ValueError(
      f'answer = {found!r:.60}: accepted is a number that is finite'
    )
  return f'{value:.12g}'


def after_hashes(row: dict) -> str:
  """GSM8K's answer."""
  found = row['solution']
  _, *answers = found.split('####') if isinstance(found, str) else ('',)
  if not answers:
    raise OtherTask(
      f"answer = {found!r:.60} has no '####': end it with '#### 72', "
      'or give the answer alone in every row (data.kwargs.task=plain)'
    )
  if not (answer := answers[-1].strip()):
    raise ValueError(
      f"answer = {found!r:.60} has nothing after '####': end it with '#### 72'"
    )
  return answer


def after_is(row: dict) -> str:
  """MetaMathQA's answer; '' without one."""
  _, found, rest = text(row, 'solution').rpartition('The answer is: ')
  return rest.strip() if found else ''


def in_box(row: dict) -> str:
  """The last \\boxed of a solution; '' without one."""
  return boxed(text(row, 'solution')).strip()


def answers(row: dict) -> list[str]:
  """All that are right."""
  found = [answer.strip() for answer in texts(row, 'answer')]
  if not found or '' in found:
    raise ValueError(
      f'answer = {found!r:.60}: accepted is a list of one text or more, none '
      'of them empty'
    )
  return found


def joined(row: dict) -> str:
  """All of them, which are right together."""
  return ', '.join(answers(row))


def letter(row: dict) -> str:
  """Of the choice that is right, which counts from 0 or is a letter."""
  choices = texts(row, 'choices')
  if not 1 <= len(choices) <= len(ascii_uppercase):
    raise ValueError(
      f'choices = {choices!r:.60}: accepted is a list of 1 to '
      f'{len(ascii_uppercase)} texts, and it has {len(choices)}'
    )
  letters = ascii_uppercase[: len(choices)]
  found = row['answer']
  if isinstance(found, float) and found.is_integer():  # as pandas writes it
    found = int(found)
  if isinstance(found, str) and found.strip().isdecimal():
    found = int(found)
  if type(found) is int and 0 <= found < len(letters):
    return letters[found]
  if isinstance(found, str) and found.strip() in [*letters]:
    return found.strip()
  raise ValueError(
    f'answer = {found!r:.60} of {len(letters)} choices: accepted is '
    f'{", ".join(letters)}, or the number of the choice, from 0'
  )


def options(row: dict) -> str:
  """The multiple-choice message of HRPO's release, which LSAT's passage
  precedes."""
  passage = f'{text(row, "passage").strip()}\n\n' if row.get('passage') else ''
  choices = zip(ascii_uppercase, texts(row, 'choices'), strict=False)
  lines = [f'{a}. {choice.removeprefix(f"({a})")}' for a, choice in choices]
  question = f'Question: {asked(row)}\nOptions:\n'
  question += '\n'.join(lines)
  return f'{passage}{question}'.strip()


def with_contexts(row: dict) -> str:
  """The retrieval message of HRPO's release, of the first three documents. A
  document is its title in quotes, a line end, and its text."""
  contexts = texts(row, 'contexts')[:3]
  documents = ''.join(f'{_document(context)}\n' for context in contexts)
  return (
    f'Context (which may or may not be relevant):\n{documents}\n'
    f'Question: {asked(row)}'
  ).strip()


def _document(context: str) -> str:
  title, *lines = context.split('\n')
  return '::::'.join([title.strip('"'), *lines])


def equations(row: dict) -> list[str]:
  """GSM8K's own `<<48/2=24>>` marks; none in some rows."""
  return spaced(re.findall('<<[^<>]*>>', text(row, 'solution')))


def hashes(row: dict) -> str:
  """The ending that GSM8K's solutions have."""
  return f' #### {row["answer"]}'


def verified(row: dict) -> tuple[str, str]:
  """What stands before and after </think> in the first generation that is right
  and complete, as experiments/generate.py splits them; '' without one."""
  lists = texts(row, 'generations'), row['right'], row['complete']
  for name, found in zip(('right', 'complete'), lists[1:], strict=True):
    whole = isinstance(found, list) and len(found) == len(lists[0])
    if not whole or not all(isinstance(x, bool) for x in found):
      raise ValueError(
        f'{name} = {found!r:.60}: accepted is a list with true or false for '
        f'each of the {len(lists[0])} generations'
      )
  for generation, right, complete in zip(*lists, strict=True):
    thought, closed, response = generation.partition('</think>')
    if right and complete and closed:
      return thought.removeprefix('<think>'), response
  return '', ''


def spaced(steps: list[str]) -> list[str]:
  """Steps with a space between them, which belongs to the later one."""
  return [step if i == 0 else f' {step}' for i, step in enumerate(steps)]


def entropies(row: dict) -> list[float]:
  """One number per step."""
  found, count = row['entropies'], len(texts(row, 'steps'))
  finite = isinstance(found, list) and all(
    type(x) in (int, float) and math.isfinite(x) for x in found
  )
  if not finite or len(found) != count:
    raise ValueError(
      f'entropies = {found!r:.60}: accepted is a list with a finite number for '
      f'each of the {count} steps'
    )
  return found


def texts(row: dict, name: str) -> list[str]:
  """A field that has to be a list of texts."""
  found = row[name]
  if not isinstance(found, list) or not all(isinstance(t, str) for t in found):
    raise ValueError(f'{name} = {found!r:.60}: accepted is a list of texts')
  return found
