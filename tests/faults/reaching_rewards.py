"""Rewards that reach for what is not theirs."""

import contextlib
import json
import os


def unchanged(completions, *, answer, **_):
  return [float(len(completions) == 2 and one == 'a') for one in answer]


def changes_its_columns(completions, *, answer, seen, **_):
  found = [float(not seen)] * len(completions)
  seen.append(answer.pop())
  completions.clear()
  return found


def _answer_by_hand():
  for descriptor in range(3, 64):
    with contextlib.suppress(OSError):
      os.write(descriptor, b'[]\n')


def another_answer(completions, **_):
  if 'x' in completions:
    _answer_by_hand()
  return [1.0] * len(completions)


def breaks_json(completions, **_):
  json.dumps = lambda *_: '0'
  return [1.0] * len(completions)


def above_float32(completions, **_):
  return [1e39 if text == 'x' else 1.0 for text in completions]
