"""The table of benchmarks: files, fields and formats of each.

A published row becomes `{'question': user message, 'answer': gold, ...}`, with
the other fields that its task names (`solution`, `choices`, ...) under our
names. For benchmarks without a plain file (math12k, mmlu_arc, knowledge), the
table describes the file to write.

Training rows also have their solution: as `solution`, or, where its steps are
known, as `steps` and `ending`, whose concatenation is the solution.
"""

import difflib
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from hybrid_latent.data import fields

# Bound here because the class below has a field named `fields`.
_question, _answer = fields.question, fields.gold


class Task(NamedTuple):
  """The format of one data set. The argument of `user` and `answer` is the
  renamed row; that of the functions in `also` has question and answer, too."""

  splits: Mapping[str, str]  # split -> file in the data set's folder
  fields: Mapping[str, str]  # our field -> field in the file, 'a.b' for nested
  user: Callable[[dict], str] = _question  # renamed row -> user message
  # renamed row -> gold answer, or the list of them where several are right
  answer: Callable[[dict], str | list[str]] = _answer
  tfds: str | None = None  # its builder in tensorflow-datasets
  # further fields of ours, such as `steps`, each with its white space, and
  # `ending`, which states the answer
  also: Mapping[str, Callable[[dict], Any]] = MappingProxyType({})
  # further columns, kept under their names; None in rows without one
  columns: tuple[str, ...] = ()
  # those of `fields` that may be missing or null in a row
  optional: tuple[str, ...] = ()


def problem(task: Task, raw: Mapping[str, Any]) -> dict:
  """The row of `task` from the file's row `raw`. ValueError names the field
  that is missing or has another form."""
  row = {
    ours: _at(raw, ours, path)
    for ours, path in task.fields.items()
    if ours not in task.optional or raw.get(path) is not None
  }
  try:
    row |= {'answer': task.answer(row), 'question': task.user(row)}
    row |= {name: field(row) for name, field in task.also.items()}
  except ValueError as error:
    # Messages begin with our name of the field; the file's name is added.
    ours, _, _ = f'{error}'.partition(' = ')
    if task.fields.get(ours, ours) != ours:
      raise ValueError(f'{error} (field {task.fields[ours]!r})') from error
    raise
  return {name: raw.get(name) for name in task.columns} | row


def _at(raw: Mapping[str, Any], ours: str, path: str) -> Any:
  value, above = raw, ''
  for key in [path] if path in raw else path.split('.'):
    if not isinstance(value, Mapping) or key not in value:
      names, within = [*raw], ''
      if above and isinstance(value, Mapping):
        names = [f'{above}{name}' for name in value]
        within = f' and, within, {sorted(names)}'
      raise fields.MissingField(
        f'no field {path!r} in a row that has {sorted(raw)}{within}',
        f'write data.fields={ours}={nearest(path, names)}',
      )
    value, above = value[key], f'{above}{key}.'
  return value


def later_problem(task: Task, raw: Mapping[str, Any]) -> dict:
  """As `problem`, for a row after the first: `data.fields` is no remedy."""
  try:
    return problem(task, raw)
  except fields.MissingField as error:
    raise ValueError(
      f'{error.what}, but the rows before have it: add it, or remove the row'
    ) from None


def nearest(name: str, names: Iterable[str]) -> str:
  """The most similar of `names`, or NAME if none is similar."""
  return next(iter(difflib.get_close_matches(name, names, 1)), 'NAME')


def _choices(splits: Mapping[str, str]) -> Task:
  return Task(
    splits,
    {'question': 'question', 'choices': 'choices', 'answer': 'answer'},
    user=fields.options,
    answer=fields.letter,
  )


def _lsat(section: str) -> Task:
  return Task(
    {'test': f'lsat-{section}.jsonl'},
    {
      'passage': 'passage',
      'question': 'question',
      'choices': 'options',
      'answer': 'label',
    },
    user=fields.options,
    answer=fields.letter,
  )


TASKS = {
  # Rows of the user's own files, see `plain.py`.
  'plain': Task(
    {'train': 'train.jsonl', 'test': 'test.jsonl'},
    {'question': 'question', 'answer': 'answer'},
  ),
  # The solution contains `<<a*b=c>>` marks and '#### n'.
  'gsm8k': Task(
    {'train': 'train.jsonl', 'test': 'test.jsonl'},
    {'question': 'question', 'solution': 'answer'},
    answer=fields.after_hashes,
    tfds='gsm8k',
  ),
  # GSM8K's marks alone, as in iCoT's data, of which GSM8K-Aug is a larger set.
  # A row without marks has no steps.
  'gsm8k_symbolic': Task(
    {'train': 'train.jsonl', 'test': 'test.jsonl'},
    {'question': 'question', 'solution': 'answer'},
    answer=fields.after_hashes,
    tfds='gsm8k',
    also={'steps': fields.equations, 'ending': fields.hashes},
  ),
  'gsm8k_aug': Task(
    {'train': 'train.jsonl', 'valid': 'valid.jsonl', 'test': 'test.jsonl'},
    {'question': 'question', 'steps': 'steps', 'answer': 'answer'},
    answer=fields.one_gold,
    also={
      'steps': lambda row: fields.spaced(fields.texts(row, 'steps')),
      'ending': fields.hashes,
    },
  ),
  # NuminaMath-CoT; a proof has no box, and its answer is ''.
  'numinamath_cot': Task(
    {'train': 'train.jsonl', 'test': 'test.jsonl'},
    {'question': 'problem', 'solution': 'solution'},
    answer=fields.in_box,
  ),
  # The file is one list.
  'metamathqa': Task(
    {'train': 'MetaMathQA-395K.json'},
    {'question': 'query', 'solution': 'response'},
    answer=fields.after_is,
  ),
  # Written by experiments/step_entropy.py, for any task.
  'steps': Task(
    {'train': 'steps.jsonl'},
    {
      'question': 'question',
      'steps': 'steps',
      'ending': 'ending',
      'entropies': 'entropies',
      'answer': 'answer',
    },
    answer=fields.gold_if_any,
    also={
      'entropies': fields.entropies,
      'steps': lambda row: fields.texts(row, 'steps'),
      'ending': lambda row: fields.text(row, 'ending'),
    },
  ),
  # Written by experiments/generate.py, for any task.
  'generated': Task(
    {'train': 'train.jsonl'},
    {
      'question': 'question',
      'reasoning': 'reasoning',
      'response': 'response',
      'answer': 'answer',
      'reward': 'reward',
      'reasoning_tokens': 'reasoning_tokens',
      'response_tokens': 'response_tokens',
      'complete': 'complete',
    },
    answer=fields.gold_if_any,
    also={
      'reasoning': lambda row: fields.text(row, 'reasoning'),
      'response': lambda row: fields.text(row, 'response'),
    },
  ),
  # OpenR1-Math-220k with its published fields; the response of a row without a
  # right and complete generation is ''.
  'openr1_math': Task(
    {'train': 'train.jsonl'},
    {
      'question': 'problem',
      'answer': 'answer',
      'generations': 'generations',
      'right': 'correctness_math_verify',
      'complete': 'is_reasoning_complete',
    },
    answer=fields.gold_if_any,
    also={
      'reasoning': lambda row: fields.verified(row)[0],
      'response': lambda row: fields.verified(row)[1],
    },
  ),
  # Hendrycks et al.'s 7,500 and 5,000 problems, in ToRA's files.
  'math': Task(
    {'train': 'train.jsonl', 'test': 'test.jsonl'},
    {'question': 'problem', 'solution': 'solution'},
    answer=fields.in_box,
  ),
  # All of `math` but the problems of `math500`, with the bare answers.
  'math12k': Task(
    {'train': 'train.jsonl'}, {'question': 'problem', 'answer': 'answer'}
  ),
  # DeepScaleR-Preview; the file is one list.
  'deepscaler': Task(
    {'train': 'deepscaler.json'}, {'question': 'problem', 'answer': 'answer'}
  ),
  'math500': Task(
    {'test': 'test.jsonl'}, {'question': 'problem', 'answer': 'answer'}
  ),
  'math_agieval': Task(
    {'test': 'test.jsonl'},
    {'question': 'question', 'answer': 'answer', 'solution': 'other.solution'},
  ),
  'amc23': Task(
    {'test': 'test.jsonl'},
    {'question': 'problem', 'answer': 'answer'},
    answer=fields.number,
  ),
  'minerva_math': Task(
    {'test': 'test.jsonl'},
    {'question': 'problem', 'solution': 'solution'},
    answer=fields.in_box,
  ),
  'olympiadbench': Task(
    {'test': 'test.jsonl'},
    {'question': 'question', 'answer': 'final_answer'},
    answer=fields.joined,
  ),
  'mmlu_stem': _choices({'test': 'test.jsonl'}),
  # HRPO's mixture: MMLU's auxiliary training set and ARC-Challenge's, in the
  # layout of mmlu_stem (`answer` counts from 0).
  'mmlu_arc': _choices({'train': 'train.jsonl', 'test': 'test.jsonl'}),
  # HRPO's other mixture: NQ and HotpotQA, each question with its documents,
  # best first; any of `answers` is right.
  'knowledge': Task(
    {'train': 'train.jsonl', 'test': 'test.jsonl'},
    {'question': 'question', 'contexts': 'contexts', 'answer': 'answers'},
    user=fields.with_contexts,
    answer=fields.answers,
  ),
  'mawps': Task(
    {'test': 'test.jsonl'},
    {'question': 'input', 'answer': 'target'},
    answer=fields.number,
  ),
  'lsat_ar': _lsat('ar'),
  'lsat_lr': _lsat('lr'),
  'lsat_rc': _lsat('rc'),
  'prosqa': Task(
    {'valid': 'prosqa_valid.json', 'test': 'prosqa_test.json'},
    {'question': 'question', 'steps': 'steps', 'answer': 'answer'},
    answer=fields.one_gold,
    also={
      'steps': lambda row: [f'{step}\n' for step in fields.texts(row, 'steps')],
      'ending': lambda row: f'### {row["answer"]}',
    },
  ),
}
