"""The likelihood of right solutions under a model, without sampling."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from hybrid_latent import sharding
from hybrid_latent.feedback.discrete import discrete

from ..evaluation.given import Pair, pair_scorer
from ..training.actor import rollout_mesh
from ..training.cli import Config
from ..training.dataset_sampling import decoding_actor
from ..training.prompts import prompt_ids
from ..training.trained_run import open_run

BATCH = 256


class Likelihoods(NamedTuple):
  """Of the right solution of each problem, read as tokens."""

  probability: Float[np.ndarray, 'u']  # that sampling at temperature 1 gives it
  greedy: Bool[np.ndarray, 'u']  # whether greedy decoding gives it
  nats: Float[np.ndarray, 'u']  # -log probability per token


def solution_likelihoods(
  config: Config, workdir: str, step: int, rows: Sequence[dict]
) -> Likelihoods:
  """Of the row's `solution`, under checkpoint `step` of the run of `config` in
  `workdir`, or at 0 under its initial model. Answers are greedy: the tokens
  after the steps have probability 1 or 0."""
  mesh = rollout_mesh(config.rollout, sharding.mesh(**config.mesh))
  run = open_run(workdir, str(step)) if step else None
  actor = decoding_actor(config, mesh, run)
  tokenizer: Any = actor.tokenizer
  encode = lambda text: tokenizer(text)['input_ids']
  score = pair_scorer(
    *(actor.policy, discrete(), mesh), batch=BATCH, pad=actor.pad_id
  )
  scores = score(
    [
      Pair(prompt_ids(tokenizer, config.data, row), encode(row['solution']))
      for row in rows
    ]
  )
  thinking = [len(encode(''.join(row['steps']))) for row in rows]
  of_thinking = np.array(
    [x.log_probs[:n].sum() for x, n in zip(scores, thinking, strict=True)]
  )
  answered = np.array(
    [x.is_argmax[n:].all() for x, n in zip(scores, thinking, strict=True)]
  )
  return Likelihoods(
    np.exp(of_thinking) * answered,
    np.array([x.is_argmax.all() for x in scores]),
    np.array([-x.log_probs.mean() for x in scores]),
  )
