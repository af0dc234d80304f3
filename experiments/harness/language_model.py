"""A model with its feedback as the harness's `LM`.

Texts are decoded by our rollout, with the latents of the config's feedback.
Continuations that are given are scored in one forward pass, as tokens: after
the latents of a feedback with a prefix, and without latents for any other.
"""

# pyright: reportMissingImports=false

import json
import logging
from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import closing
from operator import itemgetter
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from hybrid_latent import sharding
from hybrid_latent.data.prompts import eval_batches
from hybrid_latent.extras import missing
from hybrid_latent.ops.sampling import sampling
from hybrid_latent.streaming import stream
from hybrid_latent.types import Prompt, Sampling, Trajectory

from ..evaluation.given import Pair, pair_scorer
from ..fields.sampling_rules import eval_sampling
from ..training.actor import feedback_of, rollout_mesh
from ..training.cli import Config
from ..training.dataset_sampling import decoding_actor

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

_STEPS = 16  # of decoding, before each look for a stop text
_log = logging.getLogger(__name__)


class LatentLM(TemplateLM):
  """The model of a config.

  A text of a request is a whole prompt: config.data has no part in it. A batch
  has config.rollout.prompts_per_step * num_generations rows. Sampling is that
  of the task: greedy, or with its temperature, top_p, top_k and min_p.
  """

  def __init__(self, config: Config):
    super().__init__()
    self.config, rollout = config, config.rollout
    self.mesh = rollout_mesh(rollout, sharding.mesh(**config.mesh))
    self.actor = decoding_actor(config, self.mesh)
    self.tokenizer: Any = self.actor.tokenizer
    self.feedback = feedback_of(config.feedback)
    self.batch = rollout.prompts_per_step * rollout.num_generations
    self._score = pair_scorer(
      self.actor.policy,
      self.feedback,
      self.mesh,
      batch=self.batch,
      pad=self.actor.pad_id,
      logits_chunk=rollout.logits_chunk,
    )

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
    """Tokens of a window of `loglikelihood_rolling`."""
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
    rows = [{'ids': self.tok_encode(text)} for text in prompts]
    longest = max(len(row['ids']) for row in rows)
    if longest > rollout.max_prompt_length:
      raise ValueError(
        f'config.rollout.max_prompt_length is {rollout.max_prompt_length}, and '
        f'a prompt of the task has {longest} tokens: write {longest}, or fewer '
        'examples as --num_fewshot'
      )
    length = wanted['max_gen_toks']
    if length > rollout.max_completion_length:
      length = rollout.max_completion_length
      _log.warning(
        'completions end after config.rollout.max_completion_length=%d tokens, '
        'and the task asks for %d',
        *(length, wanted['max_gen_toks']),
      )
    stop = self.actor.stop._replace(max_tokens=jnp.int32(length))
    texts = []
    for batch in eval_batches(
      rows,
      itemgetter('ids'),
      batch=self.batch,
      length=rollout.max_prompt_length,
      pad=self.actor.pad_id,
    ):
      # Few widths, so that few programs are compiled.
      width = 1 << (int(batch['mask'].sum(-1).max()) - 1).bit_length()
      tokens, mask = (batch[name][:, -width:] for name in ('tokens', 'mask'))
      prompt = sharding.from_host(Prompt(tokens, mask, batch['ids']), self.mesh)
      with jax.set_mesh(self.mesh), closing(stream(
        self.actor.policy,
        self.feedback,
        prompt,
        key,
        sampling=self._sampling(wanted),
        stop=stop,
        max_steps=rollout.max_completion_length,
        every=_STEPS,
      )) as pieces:  # fmt: skip
        texts += self._until(wanted['until'], pieces)
    return texts[: len(rows)]

  def _until(
    self, stops: Sequence[str], pieces: Iterable[Trajectory]
  ) -> list[str]:
    """The texts up to the first of `stops`. Decoding ends when each has one, or
    has ended."""
    ids: dict[int, list[int]] = defaultdict(list)
    texts: list[str] = []
    for piece in pieces:
      for i, (tokens, mask) in enumerate(
        zip(piece.tokens, piece.mask, strict=True)
      ):
        ids[i] += np.asarray(tokens)[mask].tolist()
      whole = self.tokenizer.batch_decode(
        [*ids.values()], skip_special_tokens=True
      )
      texts = [postprocess_generated_text(text, stops, None) for text in whole]
      cut = np.array([*map(len, texts)]) < [*map(len, whole)]
      if np.all(cut | piece.terminated):
        break
    return texts

  def loglikelihood_rolling(
    self, requests: list[Instance], disable_tqdm: bool = False
  ) -> list[float]:
    """The log-prob of each whole text, in windows of at most `max_length`
    tokens."""
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
    pairs = [Pair(*ids) for _, *ids in requests]
    return [
      (float(scores.log_probs.sum()), bool(scores.is_argmax.all()))
      for scores in self._score(pairs)
    ]

  def _sampling(self, settings: dict) -> Sampling:
    if not settings['do_sample']:
      return sampling(**{**eval_sampling(self.config), 'greedy': True})
    names = ('temperature', 'top_k', 'top_p', 'min_p')
    return sampling(**{x: settings[x] for x in names if x in settings})
