"""Rows of the user's own files: a question, an answer, and further columns.

Column names of public data sets are recognised; others are mapped,
'question=problem,answer=result.value'. A file whose first row is not of the
task in the config, but has a question and an answer, is read as plain rows,
too. Further columns are kept as arguments of rewards.
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
_OPTIONAL = ('solution', 'steps', 'ending')
OURS = (*NAMES, *_OPTIONAL)
# A trainer needs all fields of these tasks: never read as plain rows.
_WHOLE = ('steps', 'generated', 'openr1_math')
# Arguments of a reward that are not columns of the data.
_RESERVED = ('completions', 'completion_ids')


def reader(
  task: Task, first: Mapping[str, Any], renamed: Mapping[str, str]
) -> tuple[Task, str]:
  """The task of a file whose first row is `first`: `task` with its fields
  `renamed`, else plain rows; and the reason for the latter, or ''.

  Raises ValueError where the first row is neither.
  """
  if task is TASKS['plain']:
    return _plain(first, renamed), ''
  named = task._replace(fields={**task.fields, **renamed})
  # A field for the answer contradicts tasks that compute it from another field
  # (GSM8K: from the solution), so such rows are plain.
  if 'answer' in renamed and not (
    renamed['answer'] and 'answer' in task.fields
  ):
    return _plain(first, renamed), 'data.fields names the field of the answer'
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
  """Parses 'question=problem,answer=final': our field -> field of a row, 'a.b'
  for nested. ValueError for any other form."""
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
        f'data.fields={text!r} is reversed: write {right!r}, our field on the '
        'left and the column of the file on the right'
      )
    if ours not in known:
      raise ValueError(
        f'data.fields={text!r}: {ours!r} is not one of our fields: accepted '
        f'are {", ".join(OURS)}{_suggestion(ours, known)}'
      )
    if not path and ours != 'answer':
      raise ValueError(
        f"data.fields={text!r}: write 'question=problem,answer=final', our "
        'field on the left and the column of the file on the right'
      )
  others = dict(pairs)
  if len(others) < len(pairs):
    raise ValueError(f'data.fields={text!r}: write each field once')
  question = others.pop('question', None)
  if twice := [ours for ours, path in others.items() if path == question]:
    raise ValueError(
      f'data.fields={text!r}: question and {twice[0]} are both {question!r}: '
      'write a column for each'
    )
  return dict(pairs)


def _plain(first: Mapping[str, Any], renamed: Mapping[str, str]) -> Task:
  paths = {ours: ours for ours in _OPTIONAL} | dict(renamed)
  for ours in NAMES:
    if ours not in paths:
      paths[ours] = _column(first, ours)
  # 'answer=' maps to an empty path: data without answers.
  has_answers = bool(paths['answer'])
  if not has_answers:
    del paths['answer']
  return TASKS['plain']._replace(
    fields=paths,
    user=_question,
    answer=_answer if has_answers else lambda _: '',
    optional=tuple(ours for ours in _OPTIONAL if ours not in renamed),
  )


def _column(first: Mapping[str, Any], ours: str) -> str:
  """The only column of `first` that can be our field."""
  if ours in first:
    return ours
  near = [name for name in NAMES[ours] if name in first]
  # Of two candidates none is taken: a wrong guess would train on wrong data.
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
  without = ', or data.fields=answer= for data without answers'
  raise fields.MissingField(
    f'no field {ours!r} in a row that has {sorted(first)} ({why})',
    f'write data.fields={ours}={meant}' + without * (ours == 'answer'),
  )


def _suggestion(name: str, known: set[str]) -> str:
  near = nearest(name.lower(), known)
  return f'; did you mean {near}?' if near in known else ''


def with_columns(task: Task, names: list[str]) -> Task:
  """The task with those columns of `names` that are none of its fields."""
  # The fields' own columns, and of nested ones the outermost.
  taken = {
    x for path in task.fields.values() for x in (path, *path.split('.')[:1])
  }
  taken |= {*task.fields, *task.also, *_RESERVED, 'question', 'answer'}
  taken -= {*task.optional}  # as columns they are None in rows without them
  return task._replace(columns=tuple(x for x in names if x not in taken))


def _question(row: dict) -> str:
  """The text, or that of a conversation with a single user message."""
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
  question = row['question']
  if isinstance(question, int | float) and not isinstance(question, bool):
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
  """As `_answer`, in a file whose first row has no '####'."""
  gold = _answer(row)
  if isinstance(gold, str) and '####' in gold:
    raise ValueError(
      f"answer = {gold!r:.60} has '####' and the first row has not: write all "
      'answers in one form, or data.kwargs.task=gsm8k for those of GSM8K'
    )
  return gold
