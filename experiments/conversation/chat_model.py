"""A loaded model that answers the questions of a conversation, token by token.

It answers in words, in latents or without thinking. All answers of a feedback
are decoded by one program, whatever the length of the prompt; another prefill
program is compiled for each power of two of that length.
"""

from collections.abc import Generator, Sequence
from contextlib import closing
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from hybrid_latent import sharding
from hybrid_latent.feedback.discrete import discrete
from hybrid_latent.feedback.observed import observed, prefix_latents_near
from hybrid_latent.formats.tokenizer import chat_ids, token_bytes
from hybrid_latent.ops.padding import left_padded
from hybrid_latent.ops.sampling import sampling
from hybrid_latent.streaming import stream
from hybrid_latent.types import Feedback, Mode, Prompt, StoppingRule

from ..fields.sampling_rules import eval_sampling
from ..training.actor import feedback_of
from ..training.cli import Config
from ..training.dataset_sampling import decoding_actor
from ..training.prompts import prompt_ids
from ..training.trained_run import TrainedRun

_SHORTEST = 64  # tokens of the smallest prefill
NUM_NEAR = 5
Nearest = list[tuple[int, float]]  # ids and shares, the nearest first


class Options(NamedTuple):
  """How a question is answered."""

  mode: str  # words, latents or none
  system: str  # prompt
  temperature: float  # 0: greedy
  max_tokens: int
  seed: int


class Step(NamedTuple):
  """A token of an answer; a latent of a prefix has none."""

  token: int | None
  latent_share: float  # of the input that follows
  near: Nearest  # of that input, where it is latent


class ChatModel:
  """The model of a config, or the one that `run` has trained.

  Args:
    config: of its feedback, prompts and sampling.
    run: the run and its step, if any.
    context: tokens of prompt and answer together; at most the positions that
      the model has.
  """

  def __init__(self, config: Config, run: TrainedRun | None, context: int):
    self._config = config.copy_and_resolve_references()
    self._mesh = sharding.mesh(**config.mesh)
    # The lengths are those of each question, not of training.
    shortest = config.rollout.answer_reserve + 1
    self._config.rollout.update(
      max_prompt_length=1, max_completion_length=shortest
    )
    self._actor = decoding_actor(self._config, self._mesh, run)
    model: Any = self._actor.policy.model
    self.context = min(context, model.config.max_positions)
    self._feedback = feedback_of(config.feedback)
    self._bytes = token_bytes(self._actor.tokenizer)
    self._compiled = set()

  @property
  def modes(self) -> tuple[str, ...]:
    """The modes of this model, the default first."""
    latents = self._feedback is not discrete()
    return ('latents',) * latents + ('words', 'none')

  def prompt(
    self, history: Sequence[tuple[str, str]], question: str, options: Options
  ) -> tuple[list[int], int]:
    """The ids of a prompt with the newest of these (question, answer) that fit,
    and how many do not. ValueError where the question alone does not fit."""
    data = self._config.data.copy_and_resolve_references()
    data.system_prompt = options.system
    if options.mode == 'none':
      data.prefill += self._config.rollout.forced_text.no_thinking
    if data.prompt_template:  # for one question
      history = history[:0]
    most = self.context - options.max_tokens
    for first in range(len(history) + 1):
      ids = self._encoded(data, history[first:], question)
      if len(ids) <= most:
        return ids, first
    raise ValueError(
      f'the prompt has {len(ids)} tokens, and {most} fit: write a shorter '
      f'question, fewer /tokens, or a --context above {self.context}'
    )

  def is_compiled(self, prompt: Sequence[int], options: Options) -> bool:
    """Whether what answers such a prompt is compiled."""
    return self._program(prompt, options) in self._compiled

  def compile(self, prompt: Sequence[int], options: Options) -> None:
    """Compiles what answers such a prompt."""
    with closing(self.answer(prompt, options, 0)) as steps:
      next(step for step in steps if step.token is not None)
    self._compiled.add(self._program(prompt, options))

  def answer(
    self, prompt: Sequence[int], options: Options, number: int
  ) -> Generator[Step, None, None]:
    """Yields the steps of an answer as they are decoded, first the latents of
    a prefix; close the generator to stop it. Its randomness depends on
    `options.seed` and `number`."""
    feedback, mode = self._mode(options)
    batch = left_padded(
      [prompt],
      length=self._width(prompt, options),
      pad_id=self._actor.pad_id,
      ids=[number],
    )
    batch = batch._replace(mode=jnp.full(1, mode, jnp.int32))
    batch = sharding.from_host(batch, self._mesh)
    if mode == Mode.LATENT:
      yield from self._prefix(feedback, batch)
    key = jax.random.key(options.seed)
    with closing(
      stream(
        self._actor.policy,
        feedback,
        batch,
        jax.device_put(key, sharding.rows(key, self._mesh)),
        sampling=self._sampling(options.temperature),
        stop=self._stop(options.max_tokens),
        max_steps=self.context,
        slots=self.context,
      )
    ) as pieces:
      while True:
        with jax.set_mesh(self._mesh):
          piece = next(pieces, None)
        if piece is None:
          return
        share = piece.latent_share.item()
        near = piece.record.near.listed(0, 0) if share else []
        yield Step(piece.tokens.item(), share, near)

  def bytes_of(self, token: int) -> bytes:
    """The text of a token in UTF-8, part of a character perhaps; none for a
    special token."""
    # The vocabulary of a model may be padded beyond its tokenizer's.
    return self._bytes[token] if token < len(self._bytes) else b''

  def name_of(self, token: int) -> str:
    """A token as one word: without the space before it, a special token by its
    name, bytes that are no character as escapes."""
    word = self.bytes_of(token)
    if not word:
      return str(self._actor.tokenizer.convert_ids_to_tokens(token))
    text = word.decode(errors='backslashreplace')
    return text.strip(' ') or repr(text)

  def text(self, tokens: Sequence[int]) -> str:
    """The text of tokens."""
    return b''.join(map(self.bytes_of, tokens)).decode(errors='replace')

  def _mode(self, options: Options) -> tuple[Feedback, Mode]:
    if options.mode == 'latents':
      mode = Mode.LATENT if self._feedback.prefix else Mode.CHAIN_OF_THOUGHT
      return observed(self._feedback, NUM_NEAR), mode
    words = options.mode == 'words'
    return discrete(), Mode.CHAIN_OF_THOUGHT if words else Mode.NO_THINKING

  def _program(self, prompt: Sequence[int], options: Options) -> tuple:
    return self._mode(options)[0], self._width(prompt, options)

  def _encoded(self, data: Config, history, question: str) -> list[int]:
    tokenizer = self._actor.tokenizer
    if data.prompt_template:
      return prompt_ids(tokenizer, data, {'question': question})
    return chat_ids(
      tokenizer,
      data.system_prompt,
      question,
      data.prefill,
      history=history,
      enable_thinking=data.enable_thinking,
    )

  def _width(self, prompt: Sequence[int], options: Options) -> int:
    """The padded length of a prompt: few, so that few programs are compiled."""
    width = max(_SHORTEST, 1 << (len(prompt) - 1).bit_length())
    return min(width, self.context - options.max_tokens)

  def _sampling(self, temperature: float):
    if not temperature:  # mixtures keep the temperature of an evaluation
      return sampling(**{**eval_sampling(self._config), 'greedy': True})
    sampled = {'temperature': temperature, 'greedy': False}
    return sampling(**{**self._config.rollout.sampling, **sampled})

  def _stop(self, max_tokens: int) -> StoppingRule:
    rollout = self._config.rollout
    limits = {
      'max_tokens': max_tokens,
      'budget': max(max_tokens - rollout.answer_reserve, 1),
      'max_thinking_tokens': rollout.max_thinking_tokens or max_tokens,
      'max_answer_tokens': rollout.max_answer_tokens or max_tokens,
    }
    return self._actor.stop._replace(
      **{name: jnp.int32(limit) for name, limit in limits.items()}
    )

  def _prefix(
    self, feedback: Feedback, prompt: Prompt
  ) -> Generator[Step, None, None]:
    policy: Any = self._actor.policy
    with jax.set_mesh(self._mesh):
      near = sharding.to_host(_prefix_near(policy, feedback, prompt))
    for j in range(near.ids.shape[1]):
      yield Step(None, 1.0, near.listed(0, j))


_prefix_near = jax.jit(
  partial(prefix_latents_near, top=NUM_NEAR), static_argnames='feedback'
)
