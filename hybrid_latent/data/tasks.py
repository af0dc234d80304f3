"""One table: where each benchmark keeps its question and its answer.

A row as its authors publish it becomes the row every other part reads,
`{'question': user message, 'answer': gold, ...}`; the other fields a task
names (`solution`, `choices`, ...) come along under our names. Where authors
publish no plain file (math12k, mmlu_arc, knowledge), the table says which one
to make.

Rows to learn from have their worked solution besides: as `solution`, or, where
its steps are known, as `steps` and `ending`, which joined are the solution.
"""

import re
from collections.abc import Callable, Mapping
from string import ascii_uppercase
from typing import Any, NamedTuple

from hybrid_latent.rewards.latex import boxed


def _question(row: dict) -> str:
  return row['question'].strip()


def _answer(row: dict) -> str:
  return str(row['answer']).strip()


class Task(NamedTuple):
  """How to read one data set. `user` and `answer` see the renamed row, `steps`
  and `ending` see it with the question and the answer."""

  splits: Mapping[str, str]  # split -> file in the data set's folder
  fields: Mapping[str, str]  # our field -> field in the file, 'a.b' for nested
  user: Callable[[dict], str] = _question  # renamed row -> user message
  # renamed row -> gold answer, or all of them where several are right
  answer: Callable[[dict], str | list[str]] = _answer
  tfds: str | None = None  # its builder in tensorflow-datasets
  # row -> the steps of its solution, each with its white space
  steps: Callable[[dict], list[str]] | None = None
  ending: Callable[[dict], str] | None = None  # row -> what states the answer


def problem(task: Task, raw: Mapping[str, Any]) -> dict:
  """The row of `task` that the file's row `raw` stands for."""
  row = {ours: _at(raw, path) for ours, path in task.fields.items()}
  row |= {'question': task.user(row), 'answer': task.answer(row)}
  if task.steps and task.ending:
    row |= {'steps': task.steps(row), 'ending': task.ending(row)}
  return row


def _at(raw: Mapping[str, Any], path: str) -> Any:
  value = raw
  for key in path.split('.'):
    if not isinstance(value, Mapping) or key not in value:
      raise ValueError(
        f'no field {path!r} in a row that has {sorted(raw)}; say where it is '
        "in the task's `fields`"
      )
    value = value[key]
  return value


def _number(row: dict) -> str:
  """27.0, as several files write 27."""
  return f'{row["answer"]:.12g}'


def _after_hashes(row: dict) -> str:
  return row['solution'].split('####')[1].strip()


def _options(row: dict) -> str:
  """The multiple-choice message of HRPO's release, which LSAT's passage
  precedes."""
  passage = f'{row["passage"].strip()}\n\n' if row.get('passage') else ''
  choices = zip(ascii_uppercase, row['choices'], strict=False)
  lines = [f'{a}. {text.removeprefix(f"({a})")}' for a, text in choices]
  question = f'Question: {row["question"]}\nOptions:\n' + '\n'.join(lines)
  return f'{passage}{question}'.strip()


def _letter(row: dict) -> str:
  return ascii_uppercase[row['answer']]


def _boxed(row: dict) -> str:
  return boxed(row['solution']).strip()


def _with_contexts(row: dict) -> str:
  """The retrieval message of HRPO's release, of the first three documents. A
  document is its title in quotes, a line end, and its text."""
  contexts = _texts(row, 'contexts')[:3]
  documents = ''.join(f'{_document(text)}\n' for text in contexts)
  return (
    f'Context (which may or may not be relevant):\n{documents}\n'
    f'Question: {row["question"]}'
  ).strip()


def _document(text: str) -> str:
  title, *lines = text.split('\n')
  return '::::'.join([title.strip('"'), *lines])


def _after_is(row: dict) -> str:
  _, found, rest = row['solution'].rpartition('The answer is: ')
  return rest.strip() if found else ''


def _equations(row: dict) -> list[str]:
  """GSM8K's own `<<48/2=24>>` marks; none in some rows."""
  return _spaced(re.findall('<<[^<>]*>>', row['solution']))


def _spaced(texts: list[str]) -> list[str]:
  return [text if i == 0 else f' {text}' for i, text in enumerate(texts)]


def _hashes(row: dict) -> str:
  return f' #### {row["answer"]}'


def _answers(row: dict) -> list[str]:
  return [answer.strip() for answer in _texts(row, 'answer')]


def _texts(row: dict, name: str) -> list[str]:
  texts = row[name]
  if not isinstance(texts, list) or not all(isinstance(t, str) for t in texts):
    raise ValueError(f'{name} = {texts!r:.60}: accepted is a list of texts')
  return texts


def _choices(splits: Mapping[str, str]) -> Task:
  return Task(
    splits,
    {'question': 'question', 'choices': 'choices', 'answer': 'answer'},
    user=_options,
    answer=_letter,
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
    user=_options,
  )


TASKS = {
  # `<<a*b=c>>` marks and '#### n' are in the solution.
  'gsm8k': Task(
    {'train': 'train.jsonl', 'test': 'test.jsonl'},
    {'question': 'question', 'solution': 'answer'},
    answer=_after_hashes,
    tfds='gsm8k',
  ),
  # GSM8K's marks alone, as in iCoT's data, which GSM8K-Aug has more of. A row
  # without marks has no steps.
  'gsm8k_symbolic': Task(
    {'train': 'train.jsonl', 'test': 'test.jsonl'},
    {'question': 'question', 'solution': 'answer'},
    answer=_after_hashes,
    tfds='gsm8k',
    steps=_equations,
    ending=_hashes,
  ),
  'gsm8k_aug': Task(
    {'train': 'train.jsonl', 'valid': 'valid.jsonl', 'test': 'test.jsonl'},
    {'question': 'question', 'steps': 'steps', 'answer': 'answer'},
    steps=lambda row: _spaced(_texts(row, 'steps')),
    ending=_hashes,
  ),
  # NuminaMath-CoT; the answer of a proof, which has no box, is ''.
  'numinamath_cot': Task(
    {'train': 'train.jsonl', 'test': 'test.jsonl'},
    {'question': 'problem', 'solution': 'solution'},
    answer=_boxed,
  ),
  # The file is one list.
  'metamathqa': Task(
    {'train': 'MetaMathQA-395K.json'},
    {'question': 'query', 'solution': 'response'},
    answer=_after_is,
  ),
  # What experiments/entropy.py writes, of any task.
  'steps': Task(
    {'train': 'steps.jsonl'},
    {
      'question': 'question',
      'steps': 'steps',
      'ending': 'ending',
      'entropies': 'entropies',
      'answer': 'answer',
    },
  ),
  # What experiments/generate.py writes, of any task.
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
    answer=lambda row: row['answer'],  # may be several
  ),
  # Hendrycks et al.'s 7,500 and 5,000 problems, as ToRA lists them.
  'math': Task(
    {'train': 'train.jsonl', 'test': 'test.jsonl'},
    {'question': 'problem', 'solution': 'solution'},
    answer=_boxed,
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
    answer=_number,
  ),
  'minerva_math': Task(
    {'test': 'test.jsonl'},
    {'question': 'problem', 'solution': 'solution'},
    answer=_boxed,
  ),
  'olympiadbench': Task(
    {'test': 'test.jsonl'},
    {'question': 'question', 'answer': 'final_answer'},
    answer=lambda row: ', '.join(row['answer']),
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
    user=_with_contexts,
    answer=_answers,
  ),
  'mawps': Task(
    {'test': 'test.jsonl'},
    {'question': 'input', 'answer': 'target'},
    answer=_number,
  ),
  'lsat_ar': _lsat('ar'),
  'lsat_lr': _lsat('lr'),
  'lsat_rc': _lsat('rc'),
  'prosqa': Task(
    {'valid': 'prosqa_valid.json', 'test': 'prosqa_test.json'},
    {'question': 'question', 'steps': 'steps', 'answer': 'answer'},
    steps=lambda row: [f'{step}\n' for step in _texts(row, 'steps')],
    ending=lambda row: f'### {row["answer"]}',
  ),
}
