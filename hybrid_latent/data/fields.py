"""Questions, answers and steps computed from the fields of a row.

Each function raises ValueError for a field of another form, with its value and
what is accepted; the caller that reads the file adds file and line.
"""

import math
import re
from contextlib import suppress
from string import ascii_uppercase
from typing import Any

from hybrid_latent.rewards.latex import boxed


class OtherTask(ValueError):
  """A row without the form that identifies the rows of its task."""


class MissingField(OtherTask):
  """A row without a field: `what` is missing, `remedy` is for the first row."""

  def __init__(self, what: str, remedy: str):
    super().__init__(f'{what}: {remedy}')
    self.what = what


def gold(row: dict) -> str | list[str]:
  """The right answer, or the list of all of them; numbers as text."""
  value = row['answer']
  if isinstance(value, list) and value:
    return [_text_of(item, value) for item in value]
  return _text_of(value, value)


def gold_if_any(row: dict) -> str | list[str]:
  """As `gold`; '' is accepted, for a task without answers."""
  return '' if row['answer'] == '' else gold(row)


def one_gold(row: dict) -> str:
  """As `gold`, for a task whose ending contains its one answer."""
  answer = gold(row)
  if not isinstance(answer, str):
    raise ValueError(
      f'answer = {answer!r:.60}: accepted is a text or a finite number'
    )
  return answer


def _text_of(value: Any, field: Any) -> str:
  """The text of one answer; 5.0, which some files have for 5, is '5'. `field`
  is the whole field, for messages."""
  # repr has the shortest text with all digits of a float.
  if isinstance(value, float) and math.isfinite(value):
    return str(int(value)) if value == int(value) else repr(value)
  if not isinstance(value, str | int):
    raise ValueError(
      f'answer = {field!r:.60}: accepted is a text, a finite number, or a list '
      'of them of which any is right'
    )
  if not (answer := str(value).strip()):
    raise ValueError(
      f'answer = {field!r:.60}: accepted is a text that is not empty, a '
      'number, or a list of them'
    )
  return answer


def text(row: dict, name: str) -> str:
  """The field `name`, a text."""
  if not isinstance(row[name], str):
    raise ValueError(f'{name} = {row[name]!r:.60}: accepted is a text')
  return row[name]


def question(row: dict) -> str:
  """The question, without white space at its ends; not empty."""
  question = text(row, 'question').strip()
  if not question:
    raise ValueError("question = '': accepted is a text that is not empty")
  return question


def number(row: dict) -> str:
  """A number as text; 27.0, which some files have for 27, is '27'. An integer
  keeps all its digits."""
  field = row['answer']
  with suppress(TypeError, ValueError):  # '27.0', or thousands of digits
    if not isinstance(field, bool | float):
      return str(int(field))
  # True and False are numbers to float(), but not answers.
  try:
    value = math.nan if isinstance(field, bool) else float(field)
  except (TypeError, ValueError, OverflowError):
    value = math.nan
  if not math.isfinite(value):
    raise ValueError(
      f'answer = {field!r:.60}: accepted is a number that is finite'
    )
  return f'{value:.12g}'


def after_hashes(row: dict) -> str:
  """GSM8K's answer, after the last '####'."""
  solution = row['solution']
  _, *answers = solution.split('####') if isinstance(solution, str) else ('',)
  if not answers:
    raise OtherTask(
      f"answer = {solution!r:.60} has no '####': end it with '#### 72', "
      'or give the answer alone in every row (data.kwargs.task=plain)'
    )
  if not (answer := answers[-1].strip()):
    raise ValueError(
      f"answer = {solution!r:.60} has nothing after '####': end it with "
      "'#### 72'"
    )
  return answer


def after_is(row: dict) -> str:
  """MetaMathQA's answer; '' without one."""
  _, mark, rest = text(row, 'solution').rpartition('The answer is: ')
  return rest.strip() if mark else ''


def in_box(row: dict) -> str:
  """The content of a solution's last \\boxed; '' without one."""
  return boxed(text(row, 'solution')).strip()


def answers(row: dict) -> list[str]:
  """The list of right answers."""
  stripped = [answer.strip() for answer in texts(row, 'answer')]
  if not stripped or '' in stripped:
    raise ValueError(
      f'answer = {stripped!r:.60}: accepted is a list of one text or more, '
      'none of them empty'
    )
  return stripped


def joined(row: dict) -> str:
  """All answers, where only all together are right."""
  return ', '.join(answers(row))


def letter(row: dict) -> str:
  """The letter of the right choice, from its letter or its index from 0."""
  choices = texts(row, 'choices')
  if not 1 <= len(choices) <= len(ascii_uppercase):
    raise ValueError(
      f'choices = {choices!r:.60}: accepted is a list of 1 to '
      f'{len(ascii_uppercase)} texts, and it has {len(choices)}'
    )
  letters = ascii_uppercase[: len(choices)]
  answer = row['answer']
  if isinstance(answer, float) and answer.is_integer():  # as pandas writes it
    answer = int(answer)
  if isinstance(answer, str) and answer.strip().isdecimal():
    answer = int(answer)
  if type(answer) is int and 0 <= answer < len(letters):
    return letters[answer]
  if isinstance(answer, str) and answer.strip() in [*letters]:
    return answer.strip()
  raise ValueError(
    f'answer = {answer!r:.60} of {len(letters)} choices: accepted is '
    f'{", ".join(letters)}, or the number of the choice, from 0'
  )


def options(row: dict) -> str:
  """The multiple-choice message of HRPO's release, after LSAT's passage if the
  row has one."""
  passage = f'{text(row, "passage").strip()}\n\n' if row.get('passage') else ''
  choices = zip(ascii_uppercase, texts(row, 'choices'), strict=False)
  lines = [f'{a}. {choice.removeprefix(f"({a})")}' for a, choice in choices]
  message = f'Question: {question(row)}\nOptions:\n'
  message += '\n'.join(lines)
  return f'{passage}{message}'.strip()


def with_contexts(row: dict, most: int = 3) -> str:
  """The retrieval message of HRPO's release, with the first `most` documents. A
  document is its title in quotes, a line end, and its text."""
  contexts = texts(row, 'contexts')[:most]
  documents = ''.join(f'{_document(context)}\n' for context in contexts)
  return (
    f'Context (which may or may not be relevant):\n{documents}\n'
    f'Question: {question(row)}'
  ).strip()


def _document(context: str) -> str:
  title, *lines = context.split('\n')
  return '::::'.join([title.strip('"'), *lines])


def equations(row: dict) -> list[str]:
  """GSM8K's `<<48/2=24>>` marks as steps; some rows have none."""
  return spaced(re.findall('<<[^<>]*>>', text(row, 'solution')))


def hashes(row: dict) -> str:
  """The ending of GSM8K's solutions."""
  return f' #### {row["answer"]}'


def verified(row: dict) -> tuple[str, str]:
  """The texts before and after </think> of the first right and complete
  generation, split as in experiments/generate.py; '' without one."""
  lists = texts(row, 'generations'), row['right'], row['complete']
  for name, flags in zip(('right', 'complete'), lists[1:], strict=True):
    whole = isinstance(flags, list) and len(flags) == len(lists[0])
    if not whole or not all(isinstance(x, bool) for x in flags):
      raise ValueError(
        f'{name} = {flags!r:.60}: accepted is a list with true or false for '
        f'each of the {len(lists[0])} generations'
      )
  for generation, right, complete in zip(*lists, strict=True):
    thinking, closed, response = generation.partition('</think>')
    if right and complete and closed:
      return thinking.removeprefix('<think>'), response
  return '', ''


def spaced(steps: list[str]) -> list[str]:
  """Steps with a leading space in all but the first."""
  return [step if i == 0 else f' {step}' for i, step in enumerate(steps)]


def entropies(row: dict) -> list[float]:
  """The entropies, one number per step."""
  values, count = row['entropies'], len(texts(row, 'steps'))
  finite = isinstance(values, list) and all(
    type(x) in (int, float) and math.isfinite(x) for x in values
  )
  if not finite or len(values) != count:
    raise ValueError(
      f'entropies = {values!r:.60}: accepted is a list with a finite number '
      f'for each of the {count} steps'
    )
  return values


def texts(row: dict, name: str) -> list[str]:
  """The field `name`, a list of texts."""
  items = row[name]
  if not isinstance(items, list) or not all(isinstance(t, str) for t in items):
    raise ValueError(f'{name} = {items!r:.60}: accepted is a list of texts')
  return items
