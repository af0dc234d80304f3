"""Answers to learn from: rows of config.data.sft_answers_dir, and a batch of
them."""

import logging

import numpy as np
from jaxtyping import Bool, Int

from .cli import Config, named


def sft_answer_rows(
  data: Config, rollout: Config, closing: str, tokenizer
) -> list[dict]:
  """The rows that have an answer which fits into rollout.max_completion_length
  with its end of text; with its `ids`. It follows the text `closing` of the
  latents, white space included. ValueError where there is none."""
  longest = rollout.max_completion_length
  problems = named('jsonl:problems', 'hybrid_latent.data')
  wanted = 'question', 'answer', 'response'
  rows = [
    {name: row[name] for name in wanted}
    for row in problems(data.sft_answers_task, data.sft_answers_dir, 'train')
    if row['response']
  ]
  *_, begun = closing.rpartition(rollout.end_of_thinking)
  texts = [row['response'].removeprefix(begun) for row in rows]
  ids = tokenizer(texts, add_special_tokens=False)['input_ids'] if texts else []
  for row, answer in zip(rows, ids, strict=True):
    row['ids'] = [*answer, tokenizer.eos_token_id]
  fitting = [row for row in rows if len(row['ids']) <= longest]
  left_out = (
    f'{len(rows) - len(fitting)} of {len(rows)} answers of '
    'config.data.sft_answers_dir'
    f'={data.sft_answers_dir!r} left out: longer than '
    'config.rollout.max_completion_length='
    f'{longest}'
  )
  if not fitting:
    raise ValueError(f'{left_out}; none is left: write more, or other triples')
  if len(fitting) < len(rows):
    logging.getLogger(__name__).warning(left_out)
  return fitting


def answer_arrays(
  rows: list[dict], length: int, pad: int
) -> tuple[Int[np.ndarray, 'u 1 t'], Bool[np.ndarray, 'u 1 t']]:
  """The ids of rows, and where they stand."""
  tokens = np.full((len(rows), 1, length), pad, np.int32)
  mask = np.zeros(tokens.shape, bool)
  for i, row in enumerate(rows):
    n = len(row['ids'])
    tokens[i, 0, :n], mask[i, 0, :n] = row['ids'], True
  return tokens, mask
