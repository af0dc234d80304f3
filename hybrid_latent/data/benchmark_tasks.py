"""The columns of benchmarks, in files and on hubs.

Those with options have the fields `stem`, the question without them, and
`choices`, their texts.
"""

from collections.abc import Callable

from hybrid_latent.data import benchmark_fields, fields
from hybrid_latent.data.tasks import TASKS, Task


def _task(
  question: str,
  answer: str,
  read: Callable[[dict], str | list[str]] = fields.gold,
  user: Callable[[dict], str] = fields.question,
  **columns: str,
) -> Task:
  columns = {'question': question, 'answer': answer, **columns}
  return Task({}, columns, user=user, answer=read)


def _with_choices(
  task: Task,
  stem: Callable[[dict], str] = benchmark_fields.stem,
  choices: Callable[[dict], list[str]] = benchmark_fields.choices,
) -> Task:
  columns = {**task.fields, 'stem': task.fields['question']}
  also = {'stem': stem, 'choices': choices}
  return task._replace(fields=columns, also=also)


PROBLEM = _task('problem', 'answer')
INTEGER = _task('problem', 'answer', fields.number)
AMC23_HUB = _task('question', 'answer', fields.number)
MINERVA_HUB = _task('question', 'answer')
SVAMP = _task(
  'Question',
  'Answer',
  fields.number,
  benchmark_fields.body_and_question,
  body='Body',
)
MULTIARITH = _task('question', 'final_ans', fields.number)
ASDIV = _task(
  'question',
  'answer',
  benchmark_fields.without_unit,
  benchmark_fields.body_and_question,
  body='body',
)
GSM_HARD = _task('input', 'target')
MMLU = _with_choices(TASKS['mmlu_stem'])
ARC = _with_choices(
  _task(
    'question',
    'answerKey',
    benchmark_fields.labelled,
    fields.options,
    choices='choices.text',
    labels='choices.label',
  )
)
ARC_TFDS = ARC._replace(splits={'test': ''}, tfds='ai2_arc/ARC-Challenge')
HELLASWAG = _with_choices(
  _task(
    'ctx',
    'label',
    fields.letter,
    benchmark_fields.hellaswag_question,
    choices='endings',
    activity='activity_label',
  ),
  benchmark_fields.hellaswag_stem,
  benchmark_fields.hellaswag_choices,
)
GPQA = _with_choices(
  Task(
    {},
    {
      'question': 'Question',
      'right': 'Correct Answer',
      **{f'wrong_{i}': f'Incorrect Answer {i}' for i in (1, 2, 3)},
    },
    benchmark_fields.gpqa_question,
    benchmark_fields.gpqa_letter,
  ),
  choices=benchmark_fields.gpqa_choices,
)
LSAT = {x: _with_choices(TASKS[f'lsat_{x}']) for x in ('ar', 'lr', 'rc')}
LSAT_HUB = _with_choices(
  _task(
    'query',
    'gold',
    benchmark_fields.agieval_letter,
    benchmark_fields.agieval_question,
    choices='choices',
  ),
  benchmark_fields.agieval_stem,
)
HOTPOTQA = _task(
  'question',
  'answer',
  user=benchmark_fields.paragraphs,
  titles='context.title',
  sentences='context.sentences',
)
