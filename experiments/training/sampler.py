"""Samples and grades completions of prompts, in training and evaluation."""

from collections.abc import Callable, Iterable, Sequence
from copy import copy
from functools import partial
from typing import Any, NamedTuple, Self

import jax
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec
from jaxtyping import Array, Float, Key

from hybrid_latent import cluster, metrics, sharding
from hybrid_latent.decoding import decode
from hybrid_latent.models import lora
from hybrid_latent.models.transformer import unstack
from hybrid_latent.ops.padding import trim_padding
from hybrid_latent.ops.sampling import sampling
from hybrid_latent.policy import Policy
from hybrid_latent.prompt_cache import Prefilled, prefill
from hybrid_latent.refill import decode_with_refill
from hybrid_latent.rewards.grader import Grader, total
from hybrid_latent.types import (
  Feedback,
  Mode,
  Prompt,
  Sampling,
  StoppingRule,
  Trajectory,
)

from ..fields.rule import EVAL_METRICS
from .actor import Actor
from .cli import Config
from .prompts import answer_prefix, mode_of


class RolloutBatch(NamedTuple):
  """Completions of a batch of prompts, `group` rows for each."""

  prompt: Prompt  # on the mesh, one row per prompt
  trajectory: Trajectory  # on the mesh
  out: Trajectory  # on this host, without the record
  rows: Sequence[dict]  # of the data, one per prompt
  texts: Sequence[str]  # each after the answer prefix of its prompt
  grades: Callable[[], dict[str, Float[np.ndarray, 'b']]]  # waits for them


def prefill_and_decode(
  rollout: Config, feedback: Feedback
) -> tuple[Callable, Callable]:
  """The jitted functions that prefill prompts and decode completions."""
  settings = {
    'feedback': feedback,
    'max_steps': rollout.max_completion_length,
  }
  if rollout.max_num_seqs:
    settings['max_num_seqs'] = rollout.max_num_seqs
    function = decode_with_refill
  else:
    function, settings['cache_stages'] = decode, rollout.cache_stages
  decode_fn = jax.jit(partial(function, **settings), static_argnames='group')
  return jax.jit(partial(prefill, feedback=feedback)), decode_fn


def eval_sampling(rollout: Config, evaluation: Config) -> Sampling:
  """The sampling of evaluations: that of rollouts, as `config.eval.sampling`
  changes it."""
  return sampling(**{**rollout.sampling, **evaluation.sampling})


def merged_for_decoding(policy: Policy) -> Policy:
  """The policy for decoding: adapters merged, layers unstacked."""
  return Policy(unstack(lora.merge(policy.model)), policy.feedback)


class Sampler:
  """Prefills prompts, samples completions and has them graded.

  Args:
    rollout, data: those of a config.
    mesh: of sampling.
    prefill, decode: those of `prefill_and_decode`.
    grader: None where nothing is graded.
  """

  def __init__(
    self,
    rollout: Config,
    data: Config,
    mesh: jax.sharding.Mesh,
    actor: Actor,
    prefill: Callable,
    decode: Callable,
    grader: Grader,
  ):
    self.mesh, self.grader, self._rollout = mesh, grader, rollout
    self._prefill, self._decode = prefill, decode
    self._tokenizer, self._stop = actor.tokenizer, actor.stop
    self._mode = mode_of(rollout.mode)
    closing = getattr(actor.policy.feedback, 'closing', None)
    if self._mode not in (None, Mode.LATENT):
      closing = None  # no latents precede these answers
    self._answer_prefix = answer_prefix(actor.tokenizer, data, closing)
    self._checked = not grader

  def with_grader(self, grader: Grader) -> Self:
    """The same sampler with another grader."""
    other = copy(self)
    other.grader, other._checked = grader, False
    return other

  def prefill(self, weights, batch) -> tuple[Prompt, Prefilled]:
    """Dispatches the prefill of a batch's prompts. RewardError, the first time,
    where a reward cannot be called with the columns of the data."""
    if not self._checked:
      self.grader.check_columns([*batch['rows'][0], 'completion_ids'])
      self._checked = True
    # One width for all batches: each would multiply the programs of a step.
    width = self._bucket(batch['longest'], self._rollout.max_prompt_length)
    ids, mode = batch['ids'], batch.get('mode', self._mode)
    if mode is not None:
      mode = np.broadcast_to(np.int32(mode), ids.shape)
    tokens, mask = (batch[name][:, -width:] for name in ('tokens', 'mask'))
    arrays: Any = tokens, mask, ids, mode
    prompt = sharding.from_host(Prompt(*arrays), self.mesh)
    with jax.set_mesh(self.mesh):
      return prompt, self._prefill(weights, prompt)

  def sample(
    self,
    weights,
    prompt: Prompt,
    ready: Prefilled,
    key: Key[Array, ''],
    sampling_params: Sampling,
    group: int,
    stop: StoppingRule | None = None,
  ) -> Trajectory:
    """Dispatches the sampling of `group` completions of each prompt."""
    # Its numbers: several hosts cannot move a key itself to another mesh.
    place = NamedSharding(self.mesh, PartitionSpec())
    numbers = jax.device_put(jax.random.key_data(key), place)
    how: Any = dict(key=jax.random.wrap_key_data(numbers), group=group)
    how |= dict(sampling=sampling_params, stop=stop or self._stop)
    with jax.set_mesh(self.mesh):
      return self._decode(weights, prompt=prompt, prefilled=ready, **how)

  def collect(
    self, prompt: Prompt, trajectory: Trajectory, rows: Sequence[dict]
  ) -> RolloutBatch:
    """Waits for a trajectory and starts its grading."""
    out = sharding.to_host(trajectory._replace(record=(), steps=()))
    ids = [
      row[keep].tolist() for row, keep in zip(out.tokens, out.mask, strict=True)
    ]
    texts = self.texts(ids)
    group = len(texts) // len(rows)
    columns = {name: [row[name] for row in rows for _ in range(group)]
               for name in rows[0]}  # fmt: skip
    columns['completion_ids'] = ids
    grading = self.grader.submit(texts, columns, group)
    return RolloutBatch(prompt, trajectory, out, rows, texts, grading.result)

  def texts(self, ids: Sequence[Sequence[int]]) -> list[str]:
    """The texts of completions, each after the answer prefix of its prompt."""
    texts = self._tokenizer.batch_decode(ids, skip_special_tokens=True)
    return [self._answer_prefix + text for text in texts]

  def trim(self, trajectory: Trajectory) -> Trajectory:
    """The trajectory without positions that no row reaches, up to a bucket."""
    longest = self._bucket(
      int(trajectory.steps), self._rollout.max_completion_length
    )
    return trim_padding(trajectory, longest)._replace(steps=None)

  def evaluate(
    self,
    weights,
    batches: Iterable[dict],
    key: Key[Array, ''],
    sampling_params: Sampling,
    samples: int = 1,
    stop: StoppingRule | None = None,
    prefix: str = 'eval/',
  ) -> dict[str, float]:
    """Lengths and grades of `samples` completions per test prompt that is not
    too long: see `metrics.evaluation_metrics`, whose `mean` is eval/<reward>;
    eval/judged and eval/ungraded count the completions with and without a total
    reward. `prefix` replaces eval/."""
    parts, too_long = [], 0
    for batch in batches:
      too_long = batch['too_long']
      prompt, ready = self.prefill(weights, batch)
      trajectory = self.sample(
        weights, prompt, ready, key, sampling_params, samples, stop
      )
      parts.append((self.collect(prompt, trajectory, batch['rows']),
                    np.repeat(batch['valid'], samples)))  # fmt: skip
    join = lambda *arrays: np.concatenate(arrays)
    out, valid = jax.tree.map(join, *[(part.out, rows) for part, rows in parts])
    grades = jax.tree.map(join, *[part.grades() for part, _ in parts])
    out, valid, grades = cluster.all_rows((out, valid, grades))
    grades = {name: values[valid] for name, values in grades.items()}
    reward = total(grades, self.grader.weights, samples)
    lengths = metrics.completion_metrics(out, valid)
    result = {'prompts': len(reward) // samples, 'too_long': too_long}
    result['ungraded'] = int(np.isnan(reward).sum())
    result['judged'] = len(reward) - result['ungraded']
    for name, values in grades.items():
      of_one = metrics.evaluation_metrics(values.reshape(-1, samples), too_long)
      result[name] = of_one.pop('mean')
      result |= {f'{name}/{key}': value for key, value in of_one.items()}
    result |= {name: lengths[name] for name in EVAL_METRICS}
    return {f'{prefix}{name}': value for name, value in result.items()}

  def _bucket(self, longest: int, limit: int) -> int:
    """The smallest of limit, limit / 2, limit / 4, ... (as many as the config
    has buckets) that holds `longest`: a run compiles a handful of shapes."""
    sizes = [-(-limit // 2**i) for i in range(self._rollout.buckets)]
    return min(size for size in sizes if size >= longest)
