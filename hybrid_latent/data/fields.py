"""What is made of the fields of a row: questions, answers and steps that the
authors of a benchmark did not write down as such."""

import re
from string import ascii_uppercase

from hybrid_latent.rewards.latex import boxed


def number(row: dict) -> str:
  """27.0, as several files write 27."""
  return f'{row["answer"]:.12g}'


def after_hashes(row: dict) -> str:
  """GSM8K's answer."""
  return row['solution'].split('####')[1].strip()


def after_is(row: dict) -> str:
  """MetaMathQA's answer; '' without one."""
  _, found, rest = row['solution'].rpartition('The answer is: ')
  return rest.strip() if found else ''


def in_box(row: dict) -> str:
  """The last \\boxed of a solution; '' without one."""
  return boxed(row['solution']).strip()


def answers(row: dict) -> list[str]:
  """All that are right."""
  return [answer.strip() for answer in texts(row, 'answer')]


def letter(row: dict) -> str:
  """Of the choice that is right."""
  return ascii_uppercase[row['answer']]


def options(row: dict) -> str:
  """The multiple-choice message of HRPO's release, which LSAT's passage
  precedes."""
  passage = f'{row["passage"].strip()}\n\n' if row.get('passage') else ''
  choices = zip(ascii_uppercase, row['choices'], strict=False)
  lines = [f'{a}. {text.removeprefix(f"({a})")}' for a, text in choices]
  question = f'Question: {row["question"]}\nOptions:\n' + '\n'.join(lines)
  return f'{passage}{question}'.strip()


def with_contexts(row: dict) -> str:
  """The retrieval message of HRPO's release, of the first three documents. A
  document is its title in quotes, a line end, and its text."""
  contexts = texts(row, 'contexts')[:3]
  documents = ''.join(f'{_document(text)}\n' for text in contexts)
  return (
    f'Context (which may or may not be relevant):\n{documents}\n'
    f'Question: {row["question"]}'
  ).strip()


def _document(text: str) -> str:
  title, *lines = text.split('\n')
  return '::::'.join([title.strip('"'), *lines])


def equations(row: dict) -> list[str]:
  """GSM8K's own `<<48/2=24>>` marks; none in some rows."""
  return spaced(re.findall('<<[^<>]*>>', row['solution']))


def hashes(row: dict) -> str:
  """The ending that GSM8K's solutions have."""
  return f' #### {row["answer"]}'


def verified(row: dict) -> tuple[str, str]:
  """What stands before and after </think> in the first generation that is right
  and complete, as experiments/generate.py splits them; '' without one."""
  marks = zip(row['generations'], row['right'], row['complete'], strict=True)
  for text, right, complete in marks:
    thought, closed, response = text.partition('</think>')
    if right and complete and closed:
      return thought.removeprefix('<think>'), response
  return '', ''


def spaced(steps: list[str]) -> list[str]:
  """Steps with a space between them, which belongs to the later one."""
  return [text if i == 0 else f' {text}' for i, text in enumerate(steps)]


def texts(row: dict, name: str) -> list[str]:
  """A field that has to be a list of texts."""
  found = row[name]
  if not isinstance(found, list) or not all(isinstance(t, str) for t in found):
    raise ValueError(f'{name} = {found!r:.60}: accepted is a list of texts')
  return found
