r"""Supervised fine-tuning on worked solutions: the start of an RL run.

    python -m experiments.sft --workdir=runs/sft \
        --config=experiments/configs/sft_arithmetic.py:FOLDER

The loss is the mean negative log-probability of the solutions' tokens, the
end of text included. Ends by writing a Hugging Face folder, `WORKDIR/model`.
The same command resumes a run that was stopped.
"""

from collections.abc import Callable
from contextlib import closing
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
import optax
from jax.sharding import Mesh

from experiments import command
from experiments.command import Config
from experiments.policies import (
  Subject,
  chat_ids,
  checked_resume,
  exported,
  loaded,
  pad_id,
  problems_of,
  share_rows,
)
from hybrid_latent import cluster, optim, sharding
from hybrid_latent.checkpoint import Checkpoints
from hybrid_latent.data.prompts import prompt_batches
from hybrid_latent.feedback.discrete import discrete
from hybrid_latent.models.transformer import letters
from hybrid_latent.objectives.base import token_mean
from hybrid_latent.policy import Policy
from hybrid_latent.replay import given, replay
from hybrid_latent.telemetry import StepClock, Telemetry
from hybrid_latent.types import Prompt


class Programs(NamedTuple):
  """What a step runs on the devices."""

  optimizer: Callable  # (policy) -> the optimizer's state of it
  update: Callable  # one step of the policy


def programs(config: Config, mesh: Mesh, policy: Policy) -> Programs:
  """For a policy of arrays, or of the shapes of some."""
  share_rows(config.batch // config.micro_batches, mesh)
  tx = optim.adamw(policy, steps=config.steps, **config.optimizer.to_dict())
  state = jax.eval_shape(tx.init, policy)
  where = sharding.shardings((policy, state), letters, mesh)

  @partial(jax.jit, donate_argnums=(0, 1), out_shardings=(*where, None))
  def update(policy, opt_state, batch):
    def loss(policy, part):
      prompt, solutions = part
      scores = replay(policy, discrete(), prompt, solutions, chunk=config.chunk)
      mean = token_mean(-scores.log_probs, solutions.mask)
      return mean, {'entropy': token_mean(scores.entropy, solutions.mask)}

    gradient, figures = optim.mean_gradient(
      loss, policy, batch, micro_batches=config.micro_batches
    )
    gradient = jax.lax.with_sharding_constraint(gradient, where[0])
    figures['grad_norm'] = optax.tree.norm(gradient)
    changes, opt_state = tx.update(gradient, opt_state, policy)
    return optax.apply_updates(policy, changes), opt_state, figures

  return Programs(jax.jit(tx.init, out_shardings=where[1]), update)


def actor_of(config: Config, mesh: Mesh) -> Subject:
  """What a run begins with."""
  source = loaded(config.model, mesh)
  tokenizer: Any = source.tokenizer
  policy = Policy(source.model)
  return Subject(policy, source.model, tokenizer, source.generation)


def train(config: Config, workdir: str) -> str:
  """Runs `config` in `workdir`, from its last checkpoint if there is one.
  Returns the folder of the trained model."""
  # -------------------------------------------------- mesh, model, optimizer
  mesh = sharding.mesh(**config.mesh)
  host, hosts = jax.process_index(), jax.process_count()
  actor = actor_of(config, mesh)
  policy, tokenizer = actor.policy, actor.tokenizer
  run = programs(config, mesh, policy)
  opt_state = run.optimizer(policy)

  # --------------------------------------------------------------------- data
  end, pad = tokenizer.eos_token_id, pad_id(tokenizer)
  batches = iter(
    prompt_batches(
      problems_of(config.data)(split=config.data.train),
      lambda row: chat_ids(tokenizer, config.data.system, row['question']),
      batch=config.batch // hosts,
      length=config.prompt_length,
      pad=pad,
      seed=config.seed,
      shard=(host, hosts),
    )
  )

  def worked(rows):
    """Solutions as a trajectory that nobody sampled."""
    tokens: Any = np.full((len(rows), config.max_tokens), pad, np.int32)
    mask: Any = np.zeros(tokens.shape, bool)
    for i, row in enumerate(rows):
      ids = tokenizer(row['solution'], add_special_tokens=False)['input_ids']
      ids = [*ids, end][: config.max_tokens]
      tokens[i, : len(ids)], mask[i, : len(ids)] = ids, True
    return given(tokens, mask)

  def finish(step, figures):
    """Waits for an update, checks it and writes it down."""
    with clock('update'):
      figures = jax.device_get(figures)
    if not np.isfinite(figures['loss']):
      raise FloatingPointError(f'step {step}: loss {figures["loss"]}')
    telemetry.log(step, figures | clock.metrics())

  # ------------------------------------------------------------------ restore
  checkpoints = Checkpoints(
    f'{workdir}/checkpoints', keep=config.checkpoint.keep
  )
  start = checkpoints.latest or 0
  if start:
    notes = checked_resume(checkpoints.notes(start), config, workdir)
    policy, opt_state = checkpoints.restore(start, (policy, opt_state))
    batches.set_state(notes['data'])

  # --------------------------------------------------------------------- loop
  with (
    jax.set_mesh(mesh),
    closing(checkpoints),
    Telemetry(
      workdir, total=config.steps, process=host, resume_step=start
    ) as telemetry,
  ):
    clock, pending = StepClock(), None
    for step in range(start, config.steps + 1):
      last, position = step == config.steps, batches.get_state()
      told = not last and cluster.told_to_end(step)
      save = last or told or step % config.checkpoint.every == 0
      if pending and save:
        finish(*pending)
        pending = None
      if step > start and save:
        notes = {'config': config.to_json(), 'data': position, 'trainer': 'sft'}
        checkpoints.save(step, (policy, opt_state), notes)
      if told:
        raise cluster.Preempted(step, workdir)
      if last:
        break
      batch = next(batches)
      prompt = Prompt(batch['tokens'], batch['mask'], batch['ids'])
      data = sharding.from_host((prompt, worked(batch['rows'])), mesh)
      policy, opt_state, figures = run.update(policy, opt_state, data)
      if pending:
        finish(*pending)
      pending = step, figures
  folder = f'{workdir}/model'
  exported(actor, policy, folder)
  return folder


if __name__ == '__main__':
  command.run(train)
