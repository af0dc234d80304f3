"""Answers to train on: the rows of config.data.sft_answers_dir, and arrays of a
batch of them."""

import logging

import numpy as np
from jaxtyping import Bool, Int

from .cli import Config, named


def sft_answer_rows(
  data: Config, rollout: Config, closing: str, tokenizer
) -> list[dict]:
  """The rows whose answer, with its end-of-text token, fits into
  rollout.max_completion_length; `ids` has its tokens. The answer follows the
  text `closing` of the latents, white space included. ValueError where no row
  is left."""
  longest = rollout.max_completion_length
  problems = named('jsonl:problems', 'hybrid_latent.data')
  wanted = 'question', 'answer', 'response'
  rows = [
    {name: row[name] for name in wanted}
    for row in problems(data.sft_answers_task, data.sft_answers_dir, 'train')
    if row['response']
  ]
  # What `closing` has after the thinking must not stand twice.
  *_, opening = closing.rpartition(rollout.end_of_thinking)
  texts = [row['response'].removeprefix(opening) for row in rows]
  ids = tokenizer(texts, add_special_tokens=False)['input_ids'] if texts else []
  for row, answer in zip(rows, ids, strict=True):
    row['ids'] = [*answer, tokenizer.eos_token_id]
  fitting = [row for row in rows if len(row['ids']) <= longest]
  left_out = (
    f'{len(rows) - len(fitting)} of {len(rows)} answers of '
    f'config.data.sft_answers_dir={data.sft_answers_dir!r} left out: longer '
    f'than config.rollout.max_completion_length={longest}'
  )
  if not fitting:
    raise ValueError(
      f'{left_out}; none is left: write a larger length or other answers'
    )
  if len(fitting) < len(rows):
    logging.getLogger(__name__).warning(left_out)
  return fitting


def answer_arrays(
  rows: list[dict], length: int, pad: int
) -> tuple[Int[np.ndarray, 'u 1 t'], Bool[np.ndarray, 'u 1 t']]:
  """The token ids of the rows, padded, and their mask."""
  tokens = np.full((len(rows), 1, length), pad, np.int32)
  mask = np.zeros(tokens.shape, bool)
  for i, row in enumerate(rows):
    n = len(row['ids'])
    tokens[i, 0, :n], mask[i, 0, :n] = row['ids'], True
  return tokens, mask
