"""Rows of one's own: a question, an answer, and any further columns.

The columns may have other names: those that public data sets use are known, any
other is said by a map of fields, 'question=problem,answer=result.value'. A file
whose first row is not of the task that a config names, but has a question and
an answer, is read so too. Further columns come along, as rewards may want them.
"""

from collections.abc import Mapping
from typing import Any

from hybrid_latent.data import fields
from hybrid_latent.data.tasks import TASKS, Task, nearest, problem

NAMES = {
  'question': ('problem', 'prompt', 'query', 'instruction', 'input'),
  'answer': (
    *('final_answer', 'ground_truth', 'gold', 'target', 'label', 'output'),
  ),
}
_TAUGHT = ('solution', 'steps', 'ending')  # which not every row needs
OURS = (*NAMES, *_TAUGHT)
# Written by our tools, for a trainer that wants all of their fields.
_WHOLE = ('steps', 'generated', 'openr1_math')
# What a reward is given besides the columns of the data.
_RESERVED = ('completions', 'completion_ids')


def reader(
  task: Task, first: Mapping[str, Any], renamed: Mapping[str, str]
) -> tuple[Task, str]:
  """How to read a file whose first row is `first`: as `task` with its fields
  `renamed`, else as plain rows; and a sentence on that, '' where it is `task`.

  Raises ValueError where the first row is neither.
  """
  if task is TASKS['plain']:
    return _plain(first, renamed), ''
  named = task._replace(fields={**task.fields, **renamed})
  if 'answer' in renamed and not (
    renamed['answer'] and 'answer' in task.fields
  ):
    return _plain(first, renamed), 'data.fields says where the answer is'
  try:
    problem(named, first)
  except fields.OtherTask as error:
    if any(task is TASKS[name] for name in _WHOLE):
      raise
    try:
      plain = _plain(first, renamed)
    except fields.OtherTask as other:
      raise (other if task is TASKS['gsm8k'] else error) from None
    why, *_ = f'{error}'.partition(': ')
    return plain._replace(answer=_unmarked), f'in its first row: {why}'
  return named, ''


def fields_of(text: str | Mapping[str, str] | None) -> dict[str, str]:
  """The map that 'question=problem,answer=final' means: our field -> where a
  row has it, 'a.b' for nested. ValueError for what is no such map."""
  if isinstance(text, Mapping):
    pairs = [(str(ours), str(path)) for ours, path in text.items()]
  else:
    parts = [part for part in (text or '').split(',') if part.strip()]
    pairs = [part.partition('=')[::2] for part in parts]
  pairs = [(ours.strip(), path.strip()) for ours, path in pairs]
  known = {*OURS, *(name for task in TASKS.values() for name in task.fields)}
  for ours, path in pairs:
    if ours not in known and path in known:
      right = ','.join(f'{column}={name}' for name, column in pairs)
      raise ValueError(
        f'data.fields={text!r} is reversed: our field stands on the left and '
        f'the column of the file on the right: write {right!r}'
      )
    if ours not in known:
      raise ValueError(
        f'data.fields={text!r}: {ours!r} is no field of ours: accepted are '
        f'{", ".join(OURS)}{_meant(ours, known)}'
      )
    if not path and ours != 'answer':
      raise ValueError(
        f"data.fields={text!r}: write 'question=problem,answer=final', our "
        'field on the left and the column of the file on the right'
      )
  found = dict(pairs)
  if len(found) < len(pairs):
    raise ValueError(f'data.fields={text!r}: write each field once')
  asked = found.pop('question', None)
  if twice := [ours for ours, path in found.items() if path == asked]:
    raise ValueError(
      f'data.fields={text!r}: question and {twice[0]} are both {asked!r}: '
      'write a column for each'
    )
  return dict(pairs)


def _plain(first: Mapping[str, Any], renamed: Mapping[str, str]) -> Task:
  found = {ours: ours for ours in _TAUGHT} | dict(renamed)
  for ours in NAMES:
    if ours not in found:
      found[ours] = _column(first, ours)
  answered = bool(found['answer'])
  if not answered:
    del found['answer']
  return TASKS['plain']._replace(
    fields=found,
    user=_question,
    answer=_answer if answered else lambda _: '',
    optional=tuple(ours for ours in _TAUGHT if ours not in renamed),
  )


def _column(first: Mapping[str, Any], ours: str) -> str:
  """The column of `first` that is surely meant."""
  if ours in first:
    return ours
  near = [name for name in NAMES[ours] if name in first]
  if len(near) == 1:
    return near[0]
  nested = [
    f'{name}.{inner}'
    for name, value in first.items()
    if isinstance(value, Mapping)
    for inner in value
    if inner in (ours, *NAMES[ours])
  ]
  meant = nested[0] if nested and not near else nearest(ours, first)
  why = f'{near} may all be it' if near else f'none is {", ".join(NAMES[ours])}'
  without = '; data.fields=answer= where there are no answers to grade by'
  raise fields.MissingField(
    f'no field {ours!r} in a row that has {sorted(first)} ({why})',
    f'say which one it is, data.fields={ours}={meant}'
    + without * (ours == 'answer'),
  )


def _meant(name: str, known: set[str]) -> str:
  near = nearest(name.lower(), known)
  return f'; did you mean {near}?' if near in known else ''


def with_columns(task: Task, names: list[str]) -> Task:
  """The task with those of the columns `names` that it does not read."""
  taken = {
    x for path in task.fields.values() for x in (path, *path.split('.')[:1])
  }
  taken |= {*task.fields, *task.also, *_RESERVED, 'question', 'answer'}
  taken -= {*task.optional}  # None where a row lacks one
  return task._replace(columns=tuple(x for x in names if x not in taken))


def _question(row: dict) -> str:
  """The text, or that of a conversation which is one message of the user."""
  match row['question']:
    case [{'role': 'user', 'content': str(content)}] | [
      {'role': 'user', 'content': [{'type': 'text', 'text': str(content)}]}
    ]:
      row = row | {'question': content}
    case [*_] as messages:
      raise ValueError(
        f'question = {messages!r:.60}: accepted is a text, or a list of one '
        "message of the role 'user'; write a system prompt as "
        'data.system_prompt'
      )
  asked = row['question']
  if isinstance(asked, int | float) and not isinstance(asked, bool):
    row = row | {'question': fields.gold({'answer': row['question']})}
  return TASKS['math12k'].user(row)


def _answer(row: dict) -> str | list[str]:
  for ours in ('solution', 'ending'):
    if ours in row:
      fields.text(row, ours)
  if 'steps' in row:
    fields.texts(row, 'steps')
  return fields.gold(row)


def _unmarked(row: dict) -> str | list[str]:
  """As above, in a file whose first row is none of GSM8K's."""
  gold = _answer(row)
  if isinstance(gold, str) and '####' in gold:
    raise ValueError(
      f"answer = {gold!r:.60} has '####' and the first row has not: write all "
      'answers in one way, or data.kwargs.task=gsm8k if they are those of GSM8K'
    )
  return gold
