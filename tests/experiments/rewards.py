"""Rewards that a random model earns. Graders import this file, and each of them
in a process of its own: it imports nothing that takes long."""

import json
import os
from pathlib import Path


def digits(completions, **_):
  """The share of a completion that is digits."""
  return [sum(map(str.isdigit, c)) / max(len(c), 1) for c in completions]


def tied_digits(completions, question, **_):
  """The same for all answers to some of the questions."""
  tied = lambda text: len(text) % 2
  return [
    0.5 if tied(q) else x
    for q, x in zip(question, digits(completions), strict=True)
  ]


def some_digits(completions, question, **_):
  """Alike for every prompt but those of Tom and Ben."""
  told = question[0].startswith(('Tom', 'Ben'))
  return digits(completions) if told else [0.0] * len(completions)


def a_digit(completions, **_):
  """Whether there is one of the first four in a completion."""
  return [float(any(x in text for x in '0123')) for text in completions]


def nothing(completions, **_):
  """No completion is worth anything."""
  return [0.0] * len(completions)


def noted(completions, *, question, folder, **_):
  """Nothing; writes FOLDER/PROCESS.jsonl: a question that was graded there."""
  path = Path(folder, os.environ.get('JAX_PROCESS_ID', '0') + '.jsonl')
  with path.open('a') as file:
    file.write(json.dumps(question[0]) + '\n')
  return [0.0] * len(completions)


def hard_digits(completions, *, level, answer, **_):
  """Digits, of which a row that has level 'hard' wants more."""
  assert all(isinstance(gold, str) for gold in answer)
  shares = digits(completions)
  return [
    x / 2 if of == 'hard' else x for x, of in zip(shares, level, strict=True)
  ]
