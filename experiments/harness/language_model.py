"""A model with its feedback as the harness's `LM`.

Texts are decoded by our sampler, with the latents of the config's feedback.
Continuations that are given are scored in one forward pass, as tokens: after
the latents of a feedback with a prefix, and without latents for any other.
"""

# pyright: reportMissingImports=false

import json
from collections.abc import Sequence
from functools import partial
from operator import itemgetter
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from hybrid_latent import sharding
from hybrid_latent.data.prompts import eval_batches
from hybrid_latent.extras import missing
from hybrid_latent.feedback.discrete import discrete
from hybrid_latent.ops.logprobs import over_chunks, token_scores
from hybrid_latent.ops.padding import padded_rows
from hybrid_latent.ops.sampling import sampling
from hybrid_latent.policy import Policy
from hybrid_latent.rescoring import hidden_states
from hybrid_latent.types import Feedback, Prompt, Sampling, Trajectory

from ..training.actor import feedback_of, rollout_mesh
from ..training.cli import Config
from ..training.dataset_sampling import decoding_actor
from ..training.sampler import Sampler, prefill_and_decode

try:
  from lm_eval import utils
  from lm_eval.api.instance import Instance
  from lm_eval.api.model import TemplateLM
  from lm_eval.models.utils import (
    has_bos_prefix,
    normalize_gen_kwargs,
    postprocess_generated_text,
  )
except ModuleNotFoundError as error:
  raise missing('harness', error.name) from error


class LatentLM(TemplateLM):
  """The model of a config.

  A text of a request is a whole prompt: config.data has no part in it. Prompts
  have at most config.rollout.max_prompt_length tokens, the last ones, and
  completions at most config.rollout.max_completion_length; a batch has
  config.rollout.prompts_per_step * num_generations rows. Sampling is that of
  the task: greedy, or with its temperature, top_p and top_k.
  """

  def __init__(self, config: Config):
    super().__init__()
    self.config, rollout = config, config.rollout
    self.mesh = rollout_mesh(rollout, sharding.mesh(**config.mesh))
    self.actor = decoding_actor(config, self.mesh)
    self.tokenizer: Any = self.actor.tokenizer
    feedback = feedback_of(config.feedback)
    no_grader: Any = None
    self._sampler = Sampler(
      rollout,
      config.data,
      self.mesh,
      self.actor,
      *prefill_and_decode(rollout, feedback),
      no_grader,
    )
    scored = feedback if feedback.prefix else discrete()
    self._score = jax.jit(partial(continuation_scores, feedback=scored))

  @property
  def eot_token_id(self) -> int:
    """The token that ends a text."""
    return self.tokenizer.eos_token_id

  @property
  def prefix_token_id(self) -> int:
    """The context of a text without one."""
    begin = self.tokenizer.bos_token_id
    return self.eot_token_id if begin is None else begin

  @property
  def tokenizer_name(self) -> str:
    """The model's name, for the harness's caches."""
    return self.config.model.source.replace('/', '__')

  @property
  def max_length(self) -> int:
    """Tokens of a text that is scored."""
    rollout = self.config.rollout
    return rollout.max_prompt_length + rollout.max_completion_length

  def tok_encode(
    self, string: str, add_special_tokens: bool | None = None, **_
  ) -> list[int]:
    """The ids of a text, with the tokenizer's own special tokens unless the
    text begins with one."""
    if add_special_tokens is None:
      begins = has_bos_prefix(string, self.tokenizer.bos_token)
      add_special_tokens = not begins
    return self.tokenizer.encode(string, add_special_tokens=add_special_tokens)

  def apply_chat_template(
    self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True
  ) -> str:
    """The prompt of a conversation."""
    return self.tokenizer.apply_chat_template(
      chat_history,
      tokenize=False,
      add_generation_prompt=add_generation_prompt,
      continue_final_message=not add_generation_prompt,
      enable_thinking=self.config.data.enable_thinking,
    )

  def generate_until(
    self, requests: list[Instance], disable_tqdm: bool = False
  ) -> list[str]:
    """A completion of each text, up to the first of the task's stop texts."""
    groups: dict[str, list[int]] = {}
    for i, request in enumerate(requests):
      settings = json.dumps(request.args[1], sort_keys=True)
      groups.setdefault(settings, []).append(i)
    texts = [''] * len(requests)
    for settings, members in groups.items():
      prompts = [requests[i].args[0] for i in members]
      found = self._completions(prompts, json.loads(settings))
      for i, text in zip(members, found, strict=True):
        texts[i] = text
        self.cache_hook.add_partial('generate_until', requests[i].args, text)
    return texts

  def _completions(self, prompts: Sequence[str], settings: dict) -> list[str]:
    rollout, key = self.config.rollout, jax.random.key(self.config.seed)
    wanted: Any = normalize_gen_kwargs(settings, rollout.max_completion_length)
    length = min(wanted['max_gen_toks'], rollout.max_completion_length)
    stop = self.actor.stop._replace(max_tokens=jnp.int32(length))
    longest = rollout.max_prompt_length
    rows = [{'ids': self.tok_encode(text)[-longest:]} for text in prompts]
    texts = []
    for batch in eval_batches(
      rows,
      itemgetter('ids'),
      batch=self._batch_size(len(rows)),
      length=longest,
      pad=self.actor.pad_id,
    ):
      prompt, ready = self._sampler.prefill(self.actor.policy, batch)
      out = self._sampler.sample(
        self.actor.policy, prompt, ready, key, _sampling(wanted), 1, stop
      )
      tokens, mask = sharding.to_host((out.tokens, out.mask))
      ids = [row[keep].tolist() for row, keep in zip(tokens, mask, strict=True)]
      texts += self.tokenizer.batch_decode(ids, skip_special_tokens=True)
    return [
      postprocess_generated_text(text, wanted['until'], None)
      for text in texts[: len(rows)]
    ]

  def loglikelihood_rolling(
    self, requests: list[Instance], disable_tqdm: bool = False
  ) -> list[float]:
    """The log-prob of each whole text, in windows of `max_length` tokens."""
    windows, owners = [], []
    for i, request in enumerate(requests):
      for window in utils.get_rolling_token_windows(
        self.tok_encode(request.args[0]),
        self.prefix_token_id,
        max_seq_len=self.max_length,
        context_len=1,
      ):
        windows.append((('', ''), *utils.make_disjoint_window(window)))
        owners.append(i)
    totals = [0.0] * len(requests)
    scores = self._loglikelihood_tokens(windows)
    for i, (log_prob, _) in zip(owners, scores, strict=True):
      totals[i] += log_prob
    return totals

  def _loglikelihood_tokens(
    self,
    requests: Sequence[tuple[Any, list[int], list[int]]],
    disable_tqdm: bool = False,
    **_,
  ) -> list[tuple[float, bool]]:
    """(log-prob, whether greedy decoding gives it) of each continuation."""
    longest = self.max_length + 1  # the last token is no input
    pairs = [
      (context[min(len(next_ids) - longest, -1) :], next_ids)
      for _, context, next_ids in requests
    ]
    # Rows of one batch are padded to the longest.
    order = sorted(range(len(pairs)), key=lambda i: sum(map(len, pairs[i])))
    scores: list[tuple[float, bool]] = [(0.0, False)] * len(pairs)
    size = self._batch_size(len(pairs))
    for start in range(0, len(order), size):
      rows = order[start : start + size]
      some = [pairs[i] for i in rows]
      some += some[:1] * (size - len(some))
      found = zip(rows, *self._scores(some), strict=False)
      for i, log_prob, greedy in found:
        scores[i] = float(log_prob), bool(greedy)
    return scores

  def _scores(
    self, pairs: Sequence[tuple[list[int], list[int]]]
  ) -> tuple[Float[np.ndarray, 'b'], Bool[np.ndarray, 'b']]:
    contexts, continuations = zip(*pairs, strict=True)
    pad = self.actor.pad_id
    ids = np.arange(len(pairs), dtype=np.int32)
    prompt: Any = *padded_rows(contexts, _width(contexts), pad), ids
    # Padded on the left, then turned round.
    reverse = [ids[::-1] for ids in continuations]
    tokens, mask = padded_rows(reverse, _width(continuations), pad)
    turned: Any = [x[:, ::-1] for x in (tokens, mask)]
    arrays = sharding.from_host((Prompt(*prompt), *turned), self.mesh)
    with jax.set_mesh(self.mesh):
      return sharding.to_host(self._score(self.actor.policy, *arrays))

  def _batch_size(self, rows: int) -> int:
    """Rows of a batch: a power of two for fewer, for few programs."""
    rollout = self.config.rollout
    most = rollout.prompts_per_step * rollout.num_generations
    return min(most, 1 << (rows - 1).bit_length())


def continuation_scores(
  policy: Policy,
  prompt: Prompt,
  tokens: Int[Array, 'b t'],
  mask: Bool[Array, 'b t'],
  *,
  feedback: Feedback,
) -> tuple[Float[Array, 'b'], Bool[Array, 'b']]:
  """The log-prob of each row of `tokens` after its prompt, nats, and whether
  each of its tokens is the likeliest one."""
  zero = jnp.zeros(tokens.shape)
  trajectory = Trajectory(
    tokens=tokens,
    mask=mask,
    policy_mask=mask,
    log_probs=zero,
    behavior_log_probs=zero,
    thinking_mask=jnp.zeros_like(mask),
    latent_share=zero,
    record=(),
    terminated=mask[:, -1],
    steps=jnp.int32(tokens.shape[1]),
  )

  def scores(part):
    hidden, tokens = part
    logits = policy.unembed(hidden)
    likeliest = logits.argmax(-1) == tokens
    return token_scores(logits, tokens).log_probs, likeliest

  hidden = hidden_states(policy, feedback, prompt, trajectory)
  log_probs, likeliest = over_chunks(scores, (hidden, tokens), 128)
  total = jnp.where(mask, log_probs, 0).sum(-1)
  return total, (likeliest | ~mask).all(-1)


def _sampling(settings: dict) -> Sampling:
  if not settings['do_sample']:
    return sampling(greedy=True)
  names = ('temperature', 'top_k', 'top_p', 'min_p')
  return sampling(**{x: settings[x] for x in names if x in settings})


def _width(rows: Sequence[Sequence[int]]) -> int:
  """The longest of the rows, as a power of two."""
  return 1 << (max(map(len, rows)) - 1).bit_length()
