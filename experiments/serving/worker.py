"""Decodes the rows of all requests in shared batches, on one thread.

A batch has rows of equal sampling parameters, as its program has one set of
them. Rows are padded to 1, 4, 16, ... and prompts to the buckets of
config.rollout, so that a handful of programs decodes every batch. A row's text
depends on its prompt, parameters and seed, not on the rows beside it.
"""

import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing
from functools import partial
from queue import Full, SimpleQueue
from typing import Any, NamedTuple

import jax
import numpy as np

from hybrid_latent import sharding
from hybrid_latent.feedback.observed import observed, prefix_latents_near
from hybrid_latent.ops.padding import left_padded
from hybrid_latent.ops.sampling import sampling
from hybrid_latent.prompt_cache import prefill
from hybrid_latent.streaming import stream
from hybrid_latent.types import Mode, Prompt, Trajectory

from .loading import Server
from .prompt_scores import PromptScores, prompt_scores

_log = logging.getLogger(__name__)
_EVERY = 4  # tokens per piece
Nearest = list[tuple[int, float]]  # ids and shares, the nearest first


class Row(NamedTuple):
  """A completion to decode."""

  prompt: list[int]  # token ids
  mode: Mode
  seed: int  # 31 bits
  max_tokens: int
  sampling: tuple[tuple[str, Any], ...]  # keywords of ops.sampling
  latents: bool = False  # report what the latents are near
  scored: bool = False  # score the prompt


class Token(NamedTuple):
  """A generated token."""

  id: int
  log_prob: float
  latent_share: float  # of the input that follows it
  near: Nearest  # empty unless the row reports them


class Piece(NamedTuple):
  """New tokens of a row."""

  row: int  # its index in the job
  tokens: list[Token]
  finish_reason: str = ''  # of the last piece: stop, length or error
  prompt_scores: PromptScores | None = None  # in the first piece
  prefix: int = 0  # latents between prompt and completion, likewise
  prefix_near: Sequence[Nearest] = ()  # what they are near, likewise


class Job:
  """The rows of a request, and the queue of their pieces."""

  def __init__(self, rows: Sequence[Row]):
    self.rows = rows
    self.pieces: SimpleQueue[Piece] = SimpleQueue()
    self._wanted = [True] * len(rows)

  def wants(self, row: int) -> bool:
    """Whether this row is to be decoded further."""
    return self._wanted[row]

  def end(self, *rows: int) -> None:
    """Ends these rows; without any, all of them."""
    for row in rows or range(len(self.rows)):
      self._wanted[row] = False


class Worker:
  """Decodes jobs until it is closed; a context manager.

  Args:
    server: the loaded model.
    limit: rows that may wait.
  """

  def __init__(self, server: Server, limit: int):
    self._server, self.limit = server, limit
    rollout = server.config.rollout
    self._size = rollout.prompts_per_step * rollout.num_generations
    self._waiting: list[tuple[Job, int]] = []
    self._closing, self._change = False, threading.Condition()
    self._thread = threading.Thread(target=self._run, name='worker')

  def __enter__(self) -> 'Worker':
    self._thread.start()
    return self

  def __exit__(self, *error: object) -> None:
    """Decodes what waits, then ends the thread."""
    with self._change:
      self._closing = True
      self._change.notify()
    self._thread.join()

  def submit(self, job: Job) -> None:
    """Queues a job. queue.Full where its rows have no room."""
    with self._change:
      self._drop_unwanted()
      if len(self._waiting) + len(job.rows) > self.limit:
        raise Full
      self._waiting += [(job, row) for row in range(len(job.rows))]
      self._change.notify()

  def _run(self) -> None:
    while batch := self._take():
      try:
        with jax.set_mesh(self._server.sampler.mesh):
          self._decode(batch)
      except Exception:  # of any kind: other requests are to be answered
        _log.exception('a batch of %d rows failed', len(batch))
        for job, row in batch:
          if job.wants(row):
            job.pieces.put(Piece(row, [], 'error'))

  def _take(self) -> list[tuple[Job, int]]:
    """The row that waits longest, and others like it; empty at the end."""
    with self._change:
      while True:
        self._drop_unwanted()
        if self._waiting or self._closing:
          break
        self._change.wait()
      alike = [x for x in self._waiting if _kind(x) == _kind(self._waiting[0])]
      batch = alike[: self._size]
      self._waiting = [x for x in self._waiting if x not in batch]
      return batch

  def _drop_unwanted(self) -> None:
    self._waiting = [(job, i) for job, i in self._waiting if job.wants(i)]

  def _decode(self, batch: list[tuple[Job, int]]) -> None:
    """Puts the pieces of these rows into the queues of their jobs."""
    rows = [job.rows[i] for job, i in batch]
    live = {*range(len(batch))}

    def put(k: int, tokens: list[Token], reason: str, **about: Any) -> None:
      job, i = batch[k]
      if not job.wants(i):  # a stop text has ended it, or the client is gone
        live.discard(k)
        return
      job.pieces.put(Piece(i, tokens, reason, **about))
      if reason:
        live.discard(k)

    prompt = self._placed(rows)
    for k, about in enumerate(self._about_prompts(rows, prompt)):
      put(k, [], '' if rows[k].max_tokens else 'length', **about)
    counts = [0] * len(batch)
    with closing(self._stream(rows, prompt)) as trajectories:
      while live and (trajectory := next(trajectories, None)):
        for k in [*live]:
          left = rows[k].max_tokens - counts[k]
          tokens, whole = _tokens(trajectory, k, rows[k].latents)
          counts[k] += len(tokens)
          reason = ''
          if trajectory.terminated[k] and len(tokens) <= left:
            reason = 'stop'
          elif not whole or len(tokens) >= left:
            reason = 'length'
          put(k, tokens[:left], reason)
    for k in [*live]:  # a limit of config.rollout ended them
      put(k, [], 'length')

  def _placed(self, rows: Sequence[Row]) -> Prompt:
    """The prompts on the mesh, and repeated ones up to the size of a program:
    1, 4, 16, ... rows, of the prompt lengths of config.rollout."""
    rollout, pad_id = self._server.config.rollout, self._server.actor.pad_id
    exponent = -(-(len(rows) - 1).bit_length() // 2)  # of the next power of 4
    count = min(4**exponent, self._size)
    rows = [*rows, *rows[:1] * (count - len(rows))]
    longest = max(len(row.prompt) for row in rows)
    limit = rollout.max_prompt_length
    lengths = (-(-limit // 2**i) for i in range(rollout.buckets))
    prompt = left_padded(
      [row.prompt for row in rows],
      length=min(length for length in lengths if length >= longest),
      pad_id=pad_id,
      ids=[row.seed for row in rows],
    )
    mode = np.array([row.mode for row in rows], np.int32)
    prompt = prompt._replace(mode=mode)
    return sharding.from_host(prompt, self._server.sampler.mesh)

  def _about_prompts(
    self, rows: Sequence[Row], prompt: Prompt
  ) -> Iterator[dict[str, Any]]:
    """What the first piece of each row has."""
    policy, feedback = self._server.actor.policy, self._server.feedback
    scores = near = None
    if rows[0].scored:
      scores = sharding.to_host(prompt_scores(policy, prompt))
    length = self._prefix_length(prompt)
    count = length and length - len(policy.feedback.closing)
    if rows[0].latents and length:
      near = sharding.to_host(_prefix_near(policy, feedback, prompt))
    for k, row in enumerate(rows):
      about: dict[str, Any] = {}
      if scores:
        size = len(row.prompt)
        about['prompt_scores'] = PromptScores(*(x[k, -size:] for x in scores))
      if row.mode == Mode.LATENT:
        about['prefix'] = count
        if near:
          about['prefix_near'] = [near.listed(k, j) for j in range(count)]
      yield about

  def _prefix_length(self, prompt: Prompt) -> int:
    """The positions of the feedback's prefix; 0 where it has none."""
    read = partial(prefill, feedback=self._server.feedback)
    policy, length = self._server.actor.policy, prompt.tokens.shape[1]
    return jax.eval_shape(read, policy, prompt).mask.shape[1] - length

  def _stream(self, rows: Sequence[Row], prompt: Prompt) -> Any:
    """The generator of their trajectories, in pieces."""
    server, feedback = self._server, self._server.feedback
    rollout, key = server.config.rollout, jax.random.key(server.config.seed)
    most = np.int32(max(row.max_tokens for row in rows))
    limits = rollout.max_prompt_length, rollout.max_completion_length
    return stream(
      server.actor.policy,
      observed(feedback) if rows[0].latents else feedback,
      prompt,
      jax.device_put(key, sharding.rows(key, server.sampler.mesh)),
      sampling=sampling(**dict(rows[0].sampling)),
      stop=server.actor.stop._replace(max_tokens=most),
      max_steps=rollout.max_completion_length,
      every=_EVERY,
      slots=sum(limits),
    )


def _kind(waiting: tuple[Job, int]) -> tuple:
  """What the rows of a batch have in common."""
  job, i = waiting
  row = job.rows[i]
  return row.sampling, row.latents, row.scored


def _tokens(
  trajectory: Trajectory, k: int, latents: bool
) -> tuple[list[Token], bool]:
  """The tokens of row k, and whether it has one at every position."""
  mask = trajectory.mask[k]
  columns = trajectory.tokens, trajectory.log_probs, trajectory.latent_share
  count = int(mask.sum())  # rows are unbroken up to their end
  ids, log_probs, shares = (x[k, :count].tolist() for x in columns)
  tokens = [Token(*x, []) for x in zip(ids, log_probs, shares, strict=True)]
  if latents:
    tokens = [
      token._replace(near=trajectory.record.near.listed(k, t))
      if token.latent_share
      else token
      for t, token in enumerate(tokens)
    ]
  return tokens, bool(mask.all())


_prefix_near = jax.jit(prefix_latents_near, static_argnames='feedback')
