"""Questions, choices and answers of benchmarks, from the fields of a row.

Each function raises ValueError for a field of another form, as in `fields.py`.
"""

import hashlib
import random
import re

from hybrid_latent.data import fields


def stem(row: dict) -> str:
  """The question alone, after its passage if it has one."""
  passage = row.get('passage') or ''
  return f'{passage.strip()}\n\n{fields.text(row, "stem").strip()}'.strip()


def choices(row: dict) -> list[str]:
  """The choices without their letters, which AGIEval's have."""
  letters = re.compile(r'\([A-J]\) *')
  return [letters.sub('', text, 1) for text in fields.texts(row, 'choices')]


def labelled(row: dict) -> str:
  """The letter of the choice whose label is the answer. ARC's labels are
  letters, in some rows digits."""
  labels, answer = [f'{x}' for x in row['labels']], f'{row["answer"]}'
  if answer not in labels:
    raise ValueError(f'answer = {answer!r:.60}: accepted is one of {labels}')
  return fields.letter(row | {'answer': labels.index(answer)})


def agieval_question(row: dict) -> str:
  """AGIEval's query, which has the options, without the opening of an
  answer."""
  return fields.question(row).partition('\nA: Among ')[0]


def agieval_stem(row: dict) -> str:
  """The part of AGIEval's query before the options."""
  return fields.text(row, 'stem').partition(' Answer Choices: ')[0].strip()


def agieval_letter(row: dict) -> str:
  """The letter of the one right choice in AGIEval's list of them."""
  match row['answer']:
    case [int(index)]:
      return fields.letter(row | {'answer': index})
  raise ValueError(
    f'answer = {row["answer"]!r:.60}: accepted is a list of the index of the '
    'right choice, from 0'
  )


def gpqa_question(row: dict) -> str:
  """GPQA's question with its shuffled choices."""
  return fields.options(row | {'choices': gpqa_choices(row)})


def gpqa_choices(row: dict) -> list[str]:
  """GPQA's right choice and three wrong ones, in a random order that depends on
  the question alone."""
  names = 'right', 'wrong_1', 'wrong_2', 'wrong_3'
  shuffled = [fields.text(row, name).strip() for name in names]
  digest = hashlib.sha256(fields.text(row, 'stem').strip().encode()).digest()
  random.Random(digest).shuffle(shuffled)
  return shuffled


def gpqa_letter(row: dict) -> str:
  """The letter of GPQA's right choice."""
  shuffled, right = gpqa_choices(row), fields.text(row, 'right').strip()
  return fields.letter({'choices': shuffled, 'answer': shuffled.index(right)})


def hellaswag_question(row: dict) -> str:
  """HellaSwag's context with its endings as options."""
  return fields.options(
    {'question': hellaswag_stem(row), 'choices': hellaswag_choices(row)}
  )


def hellaswag_stem(row: dict) -> str:
  """HellaSwag's context after the name of its activity."""
  return _bare(f'{fields.text(row, "activity")}: {fields.text(row, "stem")}')


def hellaswag_choices(row: dict) -> list[str]:
  """HellaSwag's endings."""
  return [_bare(ending) for ending in fields.texts(row, 'choices')]


def _bare(text: str) -> str:
  """Without the marks of WikiHow, such as [title] and [step]."""
  text = re.sub(r'\[.*?\]', '', text.replace(' [title]', '. '))
  return ' '.join(text.split())


def body_and_question(row: dict) -> str:
  """The text of a problem and its question, which are two fields."""
  body = fields.text(row, 'body').strip()
  end = '' if body[-1:] in ('', '.', '?', '!') else '.'
  return f'{body}{end} {fields.question(row)}'.strip()


def without_unit(row: dict) -> str:
  """ASDiv's answer, '9 (apples)', without the unit."""
  answer = re.sub(r'\(.*?\)', '', fields.one_gold(row))
  return fields.one_gold({'answer': answer})


def paragraphs(row: dict) -> str:
  """The retrieval message with all paragraphs of HotpotQA, each a title and a
  list of sentences."""
  documents = zip(row['titles'], row['sentences'], strict=True)
  contexts = [f'{title}\n{"".join(text)}' for title, text in documents]
  return fields.with_contexts(row | {'contexts': contexts}, len(contexts))
