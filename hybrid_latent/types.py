"""The letters of every shape, of annotations, einsum strings, shardings, plots,
and the records that the modules exchange.

  b  rows of a batch (completions)     u  prompts (b = u * group)
  p  prompt positions                  t  time: generated positions
  s  cache slots                       d  model width
  v  vocabulary                        f  MLP width
  n  query heads                       k  key/value heads
  h  head width                        l  layers
  r  LoRA rank                         e  a second model width (gates)
  j  latents of a prefix               m  tokens of a mixture
"""

from collections.abc import Callable
from enum import IntEnum
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key

PyTree = Any
# Of positions that attend to themselves and to those before them with the same
# id: numbers of packed texts, or False on padding and True elsewhere.
Segments = Int[Array, 'b t'] | Bool[Array, 'b t']


@runtime_checkable
class LanguageModel(Protocol):
  """Any object with these four methods, of this project or another."""

  def embed(self, tokens: Int[Array, '*b']) -> Float[Array, '*b d']:
    """The input embedding of each token."""
    ...

  def forward(
    self,
    x: Float[Array, 'b t d'],
    cache: PyTree | None,
    positions: Int[Array, 'b t'],
    mask: Bool[Array, 'b t s'] | Segments,
  ) -> tuple[Float[Array, 'b t d'], PyTree | None]:
    """Hidden states after the final norm, and the cache with `t` more slots.

    The input is an *embedding*, never a token id: latent feedback needs this.
    `mask[b, t, s]`: whether position t attends to slot s. Without a cache the
    slots are the positions of `x` itself.

    A model with an attribute `takes_segments = True` gets Segments instead
    where `x` attends to itself alone, the cache, if any, being empty.
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
  """What the completion of a prompt begins with."""

  CHAIN_OF_THOUGHT = 0  # the thinking, then the answer
  LATENT = 1  # the answer, after the feedback's prefix
  NO_THINKING = 2  # the answer


class Prompt(NamedTuple):
  """Prompts of one batch, left padded."""

  tokens: Int[Array, 'u p']  # token ids; any where mask is False
  mask: Bool[Array, 'u p']  # False on the padding
  ids: Int[Array, 'u']  # stable number of each prompt: seeds its samples
  # A Mode each; None: LATENT with a prefix, else CHAIN_OF_THOUGHT.
  mode: Int[Array, 'u'] | None = None


class TokenBatch(NamedTuple):
  """A batch of supervised training: several texts packed into each row."""

  tokens: Int[Array, 'b t']
  segments: Int[Array, 'b t']  # number of the text, from 1 on; 0: padding
  view: Int[Array, 'b t']  # 0; 1: an example's second text; 2 on: a decoder's
  weights: Float[Array, 'b t']  # of the loss of this token; 0: no target
  latent: Bool[Array, 'b t']  # input is a latent of the state before it
  align_position: Bool[Array, 'b t']  # the states of both texts are aligned
  # Where tokens are mixtures, as inputs and as targets: ids and their shares.
  targets: Int[Array, 'b t m'] | None = None
  shares: Float[Array, 'b t m'] | None = None


class Sampling(NamedTuple):
  """Sampling parameters. All traced: a change never recompiles."""

  temperature: Float[Array, '']  # > 0; divides the logits before the filters
  top_k: Int[Array, '']  # keep the k likeliest tokens; 0 keeps all
  top_p: Float[Array, '']  # then keep the smallest set with this mass; 1: all
  min_p: Float[Array, '']  # then drop tokens below min_p * max; 0: none
  greedy: Bool[Array, '']  # take the likeliest token instead of sampling
  greedy_answer: Bool[Array, '']  # greedy after the end of the thinking
  score_temperature: Float[Array, '']  # of the log-probs in the loss


class StoppingRule(NamedTuple):
  """End of a row and of its thinking, and the tokens forced then. All traced.
  The thinking ends naturally with the delimiter, or it is truncated: at its
  limit, or at a stop token if there are tokens to force after a truncation."""

  stop_ids: Int[Array, 'stops']  # ids that end a row, itself included; -1: none
  max_tokens: Int[Array, '']  # tokens of a row, at most `max_steps`
  pad_id: Int[Array, '']  # id written after a row has ended
  delimiter: Int[Array, 'a ids']  # automaton over ids, see ops/automaton.py
  max_thinking_tokens: Int[Array, '']  # tokens of the thinking
  # Forced after the thinking, by its end: natural, truncated; third, at the
  # budget, into an answer that has not ended; -1: none.
  forced_tokens: Int[Array, '3 closing']
  max_answer_tokens: Int[Array, '']  # tokens of a row after the forced ones
  budget: Int[Array, '']  # tokens of a row before text is forced


class StepOut(NamedTuple):
  """The results of one decoding step, from which the next input is made."""

  token: Int[Array, 'b']  # the token at this position
  logits: Float[Array, 'b v']  # float32, the model's
  filtered: Float[Array, 'b v']  # of the distribution that is sampled from
  temperature: Float[Array, '']  # by which `filtered` was divided
  greedy: Bool[Array, 'b']  # the step must not be random
  hidden: Float[Array, 'b d']  # post-norm hidden state of the logits
  thinking_continues: Bool[Array, 'b']  # the next token is of the thinking too
  in_thinking: Bool[Array, 'b']  # this token is of it, its last included
  likeliest: Any = None  # of `filtered`, for ops.sampling.likeliest
  mixture: Any = None  # of `Feedback.unembed`


class FeedbackOutput(NamedTuple):
  """The result of a feedback at one step."""

  next_input: Float[Array, 'b d']  # the model's next input
  record: PyTree  # what `recompute_inputs` needs, leaves [b ...]
  latent_share: Float[Array, 'b']  # 0 for a plain token .. 1 for a pure latent
  state: PyTree  # carried to the next step


class ScoreInputs(NamedTuple):
  """What the random choice of each position is scored from."""

  hidden: Float[Array, '*b d']  # post-norm hidden state of the logits
  logits: Float[Array, '*b v']  # float32, the model's
  # Of the distribution that scores tokens: `logits` over the score temperature,
  # or, for `behavior_log_probs`, scaled and filtered as they were sampled from.
  token_logits: Float[Array, '*b v']
  token_log_probs: Float[Array, '*b']  # of the written tokens, under these
  mixture: Any = None  # of `Feedback.unembed`


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
    """The next input, from the results of this position; `keys` are the only
    source of randomness."""
    ...


class RecomputeInputsFn(Protocol):
  """`Feedback.recompute_inputs`."""

  def __call__(
    self, model: Any, record: PyTree, tokens: Int[Array, 'b t'], /
  ) -> Float[Array, 'b t d']:
    """The inputs of a rollout, from its record (leaves [b t ...]), with the
    gradients for training."""
    ...


class LogProbFn(Protocol):
  """`Feedback.log_prob`."""

  def __call__(
    self, model: Any, inputs: ScoreInputs, record: PyTree, /
  ) -> Float[Array, '*b']:
    """The log-prob of each position's random choice: that of its token, or the
    log-density of its latent."""
    ...


class SelectTokenFn(Protocol):
  """`Feedback.select_token`."""

  def __call__(
    self, model: Any, state: PyTree, out: StepOut, /
  ) -> tuple[Int[Array, 'b'], Bool[Array, 'b']]:
    """The token to write, `out.token` being the sampled one, and whether the
    policy chose it: False where it is forced."""
    ...


class LatentFromHiddenFn(Protocol):
  """`Feedback.latent_from_hidden`."""

  def __call__(
    self, model: Any, hidden: Float[Array, '*b d'], /
  ) -> Float[Array, '*b d']:
    """The latent inputs, as a differentiable function of the hidden state
    before each."""
    ...


class PrefixInputs(NamedTuple):
  """What the prefix of each prompt is computed from."""

  tokens: Int[Array, 'u p']
  mask: Bool[Array, 'u p']  # False on the padding
  hidden: Float[Array, 'u p d']  # of the prompt, without gradient
  # Inputs [u j d] after the prompt -> their hidden states [u j d].
  forward: Callable[[Array], Array]


class PrefixFn(Protocol):
  """`Feedback.prefix`."""

  def __call__(
    self, model: Any, prompt: PrefixInputs, /
  ) -> Float[Array, 'u j d']:
    """The latents of each prompt."""
    ...


class MixtureLogitsFn(Protocol):
  """`Feedback.mixture_logits`."""

  def __call__(
    self, model: Any, state: PyTree, out: StepOut, /
  ) -> Float[Array, 'b v']:
    """The weights of a step's latent are their softmax; `state` is the one
    after the step."""
    ...


class Feedback(NamedTuple):
  """Makes the model's next input. As an optax transformation it is pure
  functions, here of the model, a `LanguageModel`. For a feedback with
  parameters that is a `policy.Policy`, with them in `.feedback`. None: what the
  field is for does not apply."""

  init: InitFn
  step: StepFn
  recompute_inputs: RecomputeInputsFn
  log_prob: LogProbFn
  select_token: SelectTokenFn
  # Where a latent is a function of the hidden state before it alone, so that
  # supervised training can differentiate through it.
  latent_from_hidden: LatentFromHiddenFn | None = None
  # Where latents replace the thinking as inputs between prompt and answer.
  prefix: PrefixFn | None = None
  # Where a latent is a mixture of token embeddings.
  mixture_logits: MixtureLogitsFn | None = None
  # Whether a rollout may be trained on several times: every latent is a drawn
  # action that `log_prob` scores, or of a prefix, which rescoring recomputes.
  # Else it is a function of the weights that sampled it.
  latents_are_actions: bool = False
  # Where decoding gets the logits of hidden states and, from the same pass over
  # the table, what a latent is made of, `mixture`.
  unembed: Callable[[Any, Array], tuple[Array, Any]] | None = None


class Trajectory(NamedTuple):
  """Completions as sampled, with all that rescoring them needs."""

  tokens: Int[Array, 'b t']  # pad after the end
  mask: Bool[Array, 'b t']  # True up to the end, the stop token included
  policy_mask: Bool[Array, 'b t']  # sampled, not forced: what a loss counts
  # Full vocabulary, at the score temperature; where the random choice was a
  # latent, its log-density.
  log_probs: Float[Array, 'b t']
  behavior_log_probs: Float[Array, 'b t']  # of the distribution sampled from
  thinking_mask: Bool[Array, 'b t']  # before the delimiter's last token
  latent_share: Float[Array, 'b t']  # of the input that follows this token
  record: PyTree  # the feedback's, leaves [b t ...]
  terminated: Bool[Array, 'b']  # ended by a stop token, not by a limit
  steps: Int[Array, '']  # passes of the decoding loop

  @property
  def lengths(self) -> Int[Array, 'b'] | Int[np.ndarray, 'b']:
    """Tokens of each row."""
    return self.mask.sum(-1)
