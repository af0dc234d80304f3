"""Scores given answers: the choices of a problem, or its gold answer.

Contexts and continuations are those of lm-evaluation-harness (EleutherAI), its
tasks hellaswag, arc_challenge, mmlu, without examples and without the chat
template.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from string import ascii_uppercase
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Bool, Float

from hybrid_latent import sharding
from hybrid_latent.continuations import score_continuations
from hybrid_latent.feedback.discrete import discrete
from hybrid_latent.ops.padding import padded_rows
from hybrid_latent.policy import Policy
from hybrid_latent.types import Feedback, Mode, Prompt

from ..training.actor import Actor
from ..training.resumable_shards import (
  existing,
  print_once,
  shard_ranges,
  write_lines,
)
from .cell import Cell
from .record import record_line

PROBLEMS = 64  # per shard


class Pair(NamedTuple):
  """The token ids of a context and of its continuation, each at least one."""

  context: Sequence[int]
  continuation: Sequence[int]


class PairScores(NamedTuple):
  """Of each token of a continuation."""

  log_probs: Float[np.ndarray, 't']  # nats
  is_argmax: Bool[np.ndarray, 't']


Scorer = Callable[[Sequence[Pair]], list[PairScores]]


def score_cell(
  cell: Cell, actor: Actor, mesh: Mesh, begin_batch: Callable[[], None]
) -> None:
  """Writes the shards of the cell that are missing, scored without latents;
  `begin_batch` is called before each."""
  arm, dataset = cell.arm, cell.dataset
  config, rows = arm.config, dataset.rows
  # As many rows as a forward pass of a training step.
  batch = config.rollout.prompts_per_step * config.rollout.num_generations
  batch = max(batch // config.gradient_accumulation_steps, 1)
  score = pair_scorer(
    *(actor.policy, discrete(), mesh),
    batch=batch,
    pad=actor.pad_id,
    logits_chunk=config.rollout.logits_chunk,
  )
  shards = shard_ranges(len(rows), PROBLEMS)
  exist = existing([cell.shard(i) for i in range(len(shards))])
  for number, problems in enumerate(shards):
    if exist[number]:
      continue
    begin_batch()
    found = given_rows(
      *(arm.name, dataset.name, [rows[i] for i in problems]),
      *(actor.tokenizer, score, problems.start),
    )
    lines = map(record_line, [{'shards': len(shards)}, *found])
    write_lines(cell.shard(number), lines)
    print_once(
      f'{arm.name} on given answers of {dataset.name}: {problems.stop} of '
      f'{len(rows)}'
    )


def given_rows(
  arm: str,
  dataset: str,
  rows: Sequence[dict],
  tokenizer: Any,
  score: Scorer,
  first: int = 0,
) -> Iterator[dict]:
  """The rows of `record.Given` of these problems; `first` is the index of the
  first in the data set."""
  problems = [given_answers(dataset, row) for row in rows]
  scores = iter(
    score(
      [
        tokenized(tokenizer, context, continuation)
        for context, continuations, _ in problems
        for continuation in continuations
      ]
    )
  )
  for i, (row, problem) in enumerate(zip(rows, problems, strict=True), first):
    choices = problem.continuations
    yield {
      'arm': arm,
      'dataset': dataset,
      'prompt': i,
      'question': row['question'],
      'choices': [text.removeprefix(' ') for text in choices],
      'answer': problem.answer,
      'log_probs': [next(scores).log_probs.tolist() for _ in choices],
    }


class GivenAnswers(NamedTuple):
  """The texts that are scored for a problem."""

  context: str
  continuations: list[str]
  answer: int  # index of the right one


def given_answers(dataset: str, row: dict) -> GivenAnswers:
  """The texts of a row: its endings (hellaswag), its choices (arc_c), the
  letters of its choices, or without choices the gold answer."""
  answer = row['answer']
  if 'choices' not in row:
    gold = answer if isinstance(answer, str) else answer[0]
    context = f'Question: {row["question"]}\nAnswer:'
    return GivenAnswers(context, [f' {gold}'], 0)
  stem, choices = row.get('stem', row['question']), row['choices']
  right = ascii_uppercase.index(answer)
  if dataset == 'hellaswag':
    context, texts = stem, choices
  elif dataset == 'arc_c':
    context, texts = f'Question: {stem}\nAnswer:', choices
  else:
    texts = ascii_uppercase[: len(choices)]
    listed = [f'{a}. {x}' for a, x in zip(texts, choices, strict=True)]
    context = '\n'.join([stem, *listed, 'Answer:'])
  return GivenAnswers(context, [f' {text}' for text in texts], right)


def tokenized(tokenizer: Any, context: str, continuation: str) -> Pair:
  """The ids of the context, which is not blank, without white space at its end;
  and of both texts encoded as one, those after as many."""
  ids = tokenizer(context.rstrip())['input_ids']
  return Pair(ids, tokenizer(context + continuation)['input_ids'][len(ids) :])


def pair_scorer(
  policy: Policy,
  feedback: Feedback,
  mesh: Mesh,
  *,
  batch: int,
  pad: int,
  mode: Mode | None = None,
  logits_chunk: int = 128,
) -> Scorer:
  """Pairs -> the scores of each continuation, the same on every host.

  Args:
    policy: laid out on `mesh`.
    batch: pairs of a forward pass.
    mode: of the prompts, see types.Prompt.
  """

  @partial(jax.jit, out_shardings=NamedSharding(mesh, PartitionSpec()))
  def program(policy, prompt, tokens, mask):
    scores = score_continuations(
      policy, feedback, prompt, tokens, mask, logits_chunk=logits_chunk
    )
    return scores.log_probs, scores.is_argmax

  def place(x):
    """On the mesh; every host has the whole array."""
    return jax.make_array_from_callback(
      x.shape, sharding.rows(x, mesh), x.__getitem__
    )

  def score_batch(pairs):
    contexts, continuations = zip(*pairs, strict=True)
    ids = np.arange(len(pairs), dtype=np.int32)
    modes = None if mode is None else np.full_like(ids, mode)
    arrays: Any = *padded_rows(contexts, _width(contexts), pad), ids, modes
    # Padded on the left, then turned round.
    turned = [ids[::-1] for ids in continuations]
    given = [x[:, ::-1] for x in padded_rows(turned, _width(turned), pad)]
    with jax.set_mesh(mesh):
      found = program(policy, *jax.tree.map(place, (Prompt(*arrays), *given)))
    return zip(continuations, *map(np.asarray, found), strict=True)

  def score(pairs):
    scores: list[Any] = [None] * len(pairs)
    length = lambda i: sum(map(len, pairs[i]))
    order = sorted(range(len(pairs)), key=length)  # less padding
    for start in range(0, len(pairs), batch):
      places = order[start : start + batch]
      some = [pairs[i] for i in places]
      some += some[:1] * (batch - len(some))
      for i, (ids, *found) in zip(places, score_batch(some), strict=False):
        scores[i] = PairScores(*(x[: len(ids)] for x in found))
    return scores

  return score


def _width(rows: Sequence[Sequence[int]]) -> int:
  """The longest of the rows, as a power of two: few programs are compiled."""
  return 1 << (max(map(len, rows)) - 1).bit_length()
