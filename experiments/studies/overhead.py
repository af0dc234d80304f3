"""The cost of latents: rollouts of many, alternating with as many tokens."""

import statistics
import time
from collections.abc import Mapping
from typing import Any

import jax

from hybrid_latent import sharding
from hybrid_latent.ops.sampling import sampling

from ..fields.named import problems_of
from ..training.actor import feedback_of, rollout_mesh
from ..training.cli import Config
from ..training.dataset_sampling import decoding_actor
from ..training.prompts import eval_batches_of, prompt_ids
from ..training.sampler import Sampler, prefill_and_decode

ROUNDS, SAMPLES = 5, 8


def rollout_seconds(
  configs: Mapping[str, Config], length: int
) -> dict[str, float]:
  """Name -> median CPU seconds, which other work on the machine changes least,
  of a rollout of its config, with `SAMPLES` completions per prompt of `length`
  tokens of thinking that nothing ends."""
  runs = {}
  for name, given in configs.items():
    config = given.copy_and_resolve_references()
    rollout = config.rollout
    rollout.update(end_of_thinking='\0', max_thinking_tokens=length)
    rollout.update(max_completion_length=length + 8)
    rollout.num_generations = config.eval.num_generations = SAMPLES
    mesh = rollout_mesh(rollout, sharding.mesh(**config.mesh))
    actor = decoding_actor(config, mesh)
    functions = prefill_and_decode(rollout, feedback_of(config.feedback))
    grader: Any = None  # nothing is graded
    sampler = Sampler(rollout, config.data, mesh, actor, *functions, grader)
    rows = problems_of(config.data)(split=config.data.train_split)
    rows = [rows[i] for i in range(rollout.prompts_per_step)]
    encode = lambda row, a=actor, c=config: prompt_ids(a.tokenizer, c.data, row)
    batch, *_ = eval_batches_of(
      rows, rollout, config.eval, encode, actor.pad_id
    )

    def run(sampler=sampler, policy=actor.policy, batch=batch, rollout=rollout):
      prompt, ready = sampler.prefill(policy, batch)
      key, params = jax.random.key(0), sampling(**rollout.sampling)
      return jax.block_until_ready(
        sampler.sample(policy, prompt, ready, key, params, SAMPLES)
      )

    run()  # compiles
    runs[name] = run
  seconds = {name: [] for name in runs}
  for _ in range(ROUNDS):
    for name, run in runs.items():
      began = time.process_time()
      run()
      seconds[name].append(time.process_time() - began)
  return {name: statistics.median(some) for name, some in seconds.items()}
