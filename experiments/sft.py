r"""Supervised fine-tuning on worked solutions: the start of an RL run.

    python -m experiments.sft --workdir=runs/sft \
        --config=experiments/configs/sft_arithmetic.py:FOLDER

The loss is the mean negative log-probability of the solutions' tokens, the
end of text included. Ends by writing a Hugging Face folder, `WORKDIR/model`.
"""

import itertools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments import command
from experiments.command import Config, named
from experiments.policies import (
  chat_ids,
  pad_id,
  placed,
  stored_on,
  with_tokenizer,
)
from hybrid_latent import optim, sharding
from hybrid_latent.data.prompts import prompt_batches
from hybrid_latent.feedback.discrete import discrete
from hybrid_latent.formats.huggingface import new_folder
from hybrid_latent.formats.pretrained import pretrained, write_folder
from hybrid_latent.objectives.base import token_mean
from hybrid_latent.replay import given, replay
from hybrid_latent.telemetry import StepClock, Telemetry
from hybrid_latent.types import Prompt


def train(config: Config, workdir: str) -> str:
  """Runs `config`; returns the folder of the trained model."""
  # -------------------------------------------------- mesh, model, optimizer
  mesh = sharding.mesh(**config.mesh)
  source = pretrained(
    config.model.source,
    dtype=config.model.dtype,
    param_dtype='float32',
    place=stored_on(mesh),
    remat=config.model.remat,
  )
  model = source.model
  tokenizer = with_tokenizer(source, config.model.source)
  tx = optim.adamw(model, steps=config.steps, **config.optimizer.to_dict())
  opt_state = placed(jax.jit(tx.init)(model), mesh)
  where = jax.tree.map(lambda x: x.sharding, (model, opt_state))

  # --------------------------------------------------------------------- data
  problems = named(config.data.source, 'hybrid_latent.data')
  rows = problems(split=config.data.train, **config.data.of)
  end, pad = tokenizer.eos_token_id, pad_id(tokenizer)
  batches = prompt_batches(
    rows,
    lambda row: chat_ids(tokenizer, config.data.system, row['question']),
    batch=config.batch // jax.process_count(),
    length=config.prompt_length,
    pad=pad,
    seed=config.seed,
    shard=(jax.process_index(), jax.process_count()),
  )

  def worked(rows):
    """Solutions as a trajectory that nobody sampled."""
    tokens = np.full((len(rows), config.max_tokens), pad, np.int32)
    mask = np.zeros(tokens.shape, bool)
    for i, row in enumerate(rows):
      ids = tokenizer(row['solution'], add_special_tokens=False)['input_ids']
      ids = [*ids, end][: config.max_tokens]
      tokens[i, : len(ids)], mask[i, : len(ids)] = ids, True
    return given(jnp.asarray(tokens), jnp.asarray(mask))

  # ------------------------------------------------------------------- update
  @partial(jax.jit, donate_argnums=(0, 1), out_shardings=(*where, None))
  def update(model, opt_state, batch):
    def loss(model, part):
      prompt, solutions = part
      scores = replay(model, discrete(), prompt, solutions)
      mean = token_mean(-scores.log_probs, solutions.mask)
      return mean, {'entropy': token_mean(scores.entropy, solutions.mask)}

    gradient, figures = optim.mean_gradient(
      loss, model, batch, micro_batches=config.micro_batches
    )
    figures['grad_norm'] = optax.tree.norm(gradient)
    updates, opt_state = tx.update(gradient, opt_state, model)
    return optax.apply_updates(model, updates), opt_state, figures

  # --------------------------------------------------------------------- loop
  with (
    jax.set_mesh(mesh),
    Telemetry(
      workdir, total=config.steps, process=jax.process_index()
    ) as telemetry,
  ):
    clock, pending = StepClock(), None
    for step, batch in enumerate(itertools.islice(batches, config.steps + 1)):
      last = pending
      if step < config.steps:
        prompt = Prompt(batch['tokens'], batch['mask'], batch['ids'])
        data = sharding.from_host((prompt, worked(batch['rows'])), mesh)
        model, opt_state, pending = update(model, opt_state, data)
      if last:
        with clock('update'):
          figures = jax.device_get(last)
        if not np.isfinite(figures['loss']):
          raise FloatingPointError(f'step {step - 1}: loss {figures["loss"]}')
        telemetry.log(step - 1, figures | clock.metrics())
  folder = f'{workdir}/model'
  with new_folder(folder, overwrite=True) as draft:
    write_folder(source._replace(model=model), draft)
  return folder


if __name__ == '__main__':
  command.run(train)
