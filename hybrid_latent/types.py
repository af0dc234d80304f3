"""The letters of every shape, and the records that travel between the parts.

  b  rows of a batch (completions)     u  prompts (b = u * group)
  p  prompt positions                  t  time: generated positions
  s  cache slots                       d  model width
  v  vocabulary                        f  MLP width
  n  query heads                       k  key/value heads
  h  head width                        l  layers
  r  LoRA rank                         e  a second model width (gates)
  j  latents of a prefix

The same letters stand in jaxtyping annotations, einsum strings, the sharding
table and plot labels.
"""

from enum import IntEnum
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key

PyTree = Any


@runtime_checkable
class LanguageModel(Protocol):
  """Whatever has these four methods is a model, ours or another project's."""

  def embed(self, tokens: Int[Array, '*b']) -> Float[Array, '*b d']:
    """The input embedding of each token."""
    ...

  def forward(
    self,
    x: Float[Array, 'b t d'],
    cache: PyTree | None,
    positions: Int[Array, 'b t'],
    mask: Bool[Array, 'b t s'],
  ) -> tuple[Float[Array, 'b t d'], PyTree | None]:
    """Hidden states after the final norm, and the cache with `t` more slots.

    Reads an *embedding*, never a token id: that is what latent feedback needs.
    `mask[b, t, s]` says whether position t may read slot s. Without a cache
    the slots are the positions of `x` itself.
    """
    ...

  def unembed(self, hidden: Float[Array, '*b d']) -> Float[Array, '*b v']:
    """Float32 logits."""
    ...

  def init_cache(self, batch: int, length: int) -> PyTree:
    """An empty cache. Its leaves are scalars or have the batch dimension first
    and, where they have slots, grow in exactly one dimension with `length`."""
    ...


class Mode(IntEnum):
  """How a prompt is answered."""

  CHAIN_OF_THOUGHT = 0  # the thinking is written, then the answer
  LATENT = 1  # the feedback's prefix is read in its place
  NO_THINKING = 2  # the answer is written at once


class Prompt(NamedTuple):
  """Prompts of one batch, left padded."""

  tokens: Int[Array, 'u p']  # token ids; anything where mask is False
  mask: Bool[Array, 'u p']  # False on the padding
  ids: Int[Array, 'u']  # stable number of each prompt: seeds its samples
  # How each is to be answered, a Mode; None: latent by a feedback that reads a
  # prefix, explicit by any other.
  mode: Int[Array, 'u'] | None = None


class TokenBatch(NamedTuple):
  """Texts that are given, several to a row: what supervised training reads."""

  tokens: Int[Array, 'b t']
  segments: Int[Array, 'b t']  # number of the text, from 1 on; 0: padding
  view: Int[Array, 'b t']  # 0, or 1 for the second text of an example
  weights: Float[Array, 'b t']  # of the loss of this token; 0: no target
  latent: Bool[Array, 'b t']  # reads a latent, made at the position before
  # where an example's two texts are to know the same
  align_position: Bool[Array, 'b t']


class Sampling(NamedTuple):
  """How a token is drawn. All traced: a change never recompiles."""

  temperature: Float[Array, '']  # > 0; divides the logits before the filters
  top_k: Int[Array, '']  # keep the k likeliest tokens; 0 keeps all
  top_p: Float[Array, '']  # then keep the smallest set with this mass; 1: all
  min_p: Float[Array, '']  # then drop what is rarer than min_p * max; 0: none
  greedy: Bool[Array, '']  # take the likeliest token instead of a draw
  greedy_answer: Bool[Array, '']  # do so once the thinking has ended
  score_temperature: Float[Array, '']  # of the log-probs the learner compares


class StoppingRule(NamedTuple):
  """When a row ends, where its thinking ends, and what is written then. All
  traced. The thinking ends by itself with the delimiter, or it is cut: by its
  limit, or by a stop token where there is something to write after a cut."""

  stop_ids: Int[Array, 'stops']  # ids that end a row, itself included; -1: none
  max_tokens: Int[Array, '']  # tokens a row may have, at most `max_steps`
  pad_id: Int[Array, '']  # id written after a row has ended
  delimiter: Int[
    Array, 'a ids'
  ]  # automaton over token ids, see ops/automaton.py
  max_thinking_tokens: Int[Array, '']  # tokens that the thinking may have
  # Forced after it: [ended by itself, cut], or at the budget, where it had
  # ended and the answer has not; -1: nothing.
  forced_tokens: Int[Array, '3 closing']
  max_answer_tokens: Int[Array, '']  # tokens that a row may have after those
  budget: Int[Array, '']  # tokens that thinking and answer may have unforced


class StepOut(NamedTuple):
  """What one decoding step knows before it chooses the next input."""

  token: Int[Array, 'b']  # the token at this position
  logits: Float[Array, 'b v']  # float32, as the model gave them
  filtered: Float[Array, 'b v']  # of the distribution that is drawn from
  temperature: Float[Array, '']  # by which `filtered` was divided
  greedy: Bool[Array, 'b']  # nothing is to be random
  hidden: Float[Array, 'b d']  # post-norm hidden state the logits came from
  thinking_continues: Bool[Array, 'b']  # the thinking goes on after this token
  # this token is of the thinking, its last included
  in_thinking: Bool[Array, 'b']


class FeedbackOutput(NamedTuple):
  """What a feedback decided at one step."""

  next_input: Float[Array, 'b d']  # the model's next input
  record: PyTree  # what replay needs, leaves [b ...]
  latent_share: Float[Array, 'b']  # 0 for a plain token .. 1 for a pure latent
  state: PyTree  # carried to the next step


class InitFn(Protocol):
  """`Feedback.init`."""

  def __call__(self, batch: int, /) -> PyTree:
    """The state before the first step, leaves [b ...]."""
    ...


class StepFn(Protocol):
  """`Feedback.step`."""

  def __call__(
    self, model: Any, state: PyTree, keys: Key[Array, 'b'], out: StepOut, /
  ) -> FeedbackOutput:
    """The next input, from what the model computed at this position; `keys`
    are the only source of randomness."""
    ...


class RecomputeInputsFn(Protocol):
  """`Feedback.recompute_inputs`."""

  def __call__(
    self, model: Any, record: PyTree, tokens: Int[Array, 'b t'], /
  ) -> Float[Array, 'b t d']:
    """The inputs of a rollout again, from its record (leaves [b t ...]), with
    the gradients that training wants."""
    ...


class LogProbFn(Protocol):
  """`Feedback.log_prob`."""

  def __call__(
    self,
    model: Any,
    logits: Float[Array, '*b v'],
    record: PyTree,
    token_log_probs: Float[Array, '*b'],
    /,
  ) -> Float[Array, '*b']:
    """The log-prob of each position's random choice: that of its token, or the
    log-density of its latent."""
    ...


class SelectTokenFn(Protocol):
  """`Feedback.select_token`."""

  def __call__(
    self, model: Any, state: PyTree, out: StepOut, /
  ) -> tuple[Int[Array, 'b'], Bool[Array, 'b']]:
    """The token to write, where `out.token` is the one that was drawn, and
    whether it was the policy's choice: False where it is forced."""
    ...


class LatentFromHiddenFn(Protocol):
  """`Feedback.latent_from_hidden`."""

  def __call__(
    self, model: Any, hidden: Float[Array, '*b d'], /
  ) -> Float[Array, '*b d']:
    """The latent inputs, as a differentiable function of the hidden state
    before each."""
    ...


class PrefixFn(Protocol):
  """`Feedback.prefix`."""

  def __call__(
    self, model: Any, hidden: Float[Array, 'u p d'], mask: Bool[Array, 'u p'], /
  ) -> Float[Array, 'u j d']:
    """The latents of each prompt, from its hidden states."""
    ...


class Feedback(NamedTuple):
  """What the model reads at the next step, in the manner of an optax
  transformation: pure functions of the model, a `LanguageModel`. Where a
  feedback owns parameters it is a `policy.Policy`, with them in `.feedback`."""

  init: InitFn
  step: StepFn
  recompute_inputs: RecomputeInputsFn
  log_prob: LogProbFn
  select_token: SelectTokenFn
  # Where latents follow from the state before them alone, so that supervised
  # training can go through them; else None.
  latent_from_hidden: LatentFromHiddenFn | None = None
  # Where latents are read once, between the prompt and the answer, in the
  # place of a thinking; else None.
  prefix: PrefixFn | None = None


class Trajectory(NamedTuple):
  """Completions as sampled, with all that re-scoring them needs."""

  tokens: Int[Array, 'b t']  # pad after the end
  mask: Bool[Array, 'b t']  # True up to the end, the stop token included
  policy_mask: Bool[Array, 'b t']  # drawn, not forced: what a loss counts
  log_probs: Float[Array, 'b t']  # full vocabulary, at the score temperature;
  # where the random choice was a latent, its log-density
  # log-probs of the distribution drawn from
  behavior_log_probs: Float[Array, 'b t']
  thinking_mask: Bool[Array, 'b t']  # before the delimiter's last token
  latent_share: Float[Array, 'b t']  # how latent the input after this token was
  record: PyTree  # the feedback's, leaves [b t ...]
  terminated: Bool[Array, 'b']  # a stop token came, not the limit
  steps: Int[Array, '']  # passes of the decoding loop

  @property
  def lengths(self) -> Int[Array, 'b'] | Int[np.ndarray, 'b']:
    """Tokens of each row."""
    return self.mask.sum(-1)
