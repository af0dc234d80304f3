r"""The cost of the RL update of LRT: with and without remat, and compared with
full fine-tuning of the model on the same answers.

    python -m experiments.benchmarks.lrt_update \
        --config=lrt:smollm2-135m,rl \
        --config.feedback.init_kwargs.backbone=FOLDER [--config.field=value ...]

Compiles each on random answers of config.rollout's sizes, and measures the time
(medians over interleaved repetitions) and the compiler's memory.
"""

from ..training import cli
from .options import add_repeats


def _parser() -> cli.Parser:
  parser = cli.config_parser('benchmarks.lrt_update', __doc__, workdir=False)
  add_repeats(parser)
  return parser


if __name__ == '__main__':  # before the imports: --help takes a second
  cli.parse(_parser())

import sys
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from hybrid_latent import sharding
from hybrid_latent.trees import named_leaves
from hybrid_latent.types import Prompt

from .. import lrt
from ..report.tables import markdown_table
from ..training.actor import load_actor
from ..training.cli import Config
from ..training.setup import run_keys
from ..training.step_functions import Batch
from .timing import interleaved

MIB = 2**20


@cli.report_errors()
def main(argv: list[str]) -> None:
  """The command; see the top of this file."""
  config, flags = cli.parse(_parser(), argv)
  runs, table = {}, {}
  for name, variant in variants(config).items():
    runs[name], table[name] = compiled(variant)
  times = interleaved(runs, flags.repeats)
  first, *_ = times
  rows = [
    {'update': name, **columns, 'seconds': times[name],
     'ratio': times[name] / times[first]}
    for name, columns in table.items()
  ]  # fmt: skip
  u, g, t = answers(config).loss_mask.shape
  print(
    f'{u} x {g} answers of {t} tokens in {config.gradient_accumulation_steps} '
    'slices'
  )
  print(markdown_table(rows))


def variants(config: Config) -> dict[str, Config]:
  """Label -> config, of the update of LRT and of full fine-tuning."""
  made = {}
  for name, remat, whole in (
    ('reasoner, remat', 'full', False),
    ('reasoner, no remat', 'none', False),
    ('full fine-tuning, remat', 'full', True),
    ('full fine-tuning, no remat', 'none', True),
  ):
    made[name] = variant = config.copy_and_resolve_references().unlock()
    variant.model.remat = remat
    variant.objective.kwargs.beta = 0.0  # no reference: the same for all
    if whole:
      variant.feedback = dict(
        function='discrete:discrete', kwargs={}, init='', init_kwargs={}
      )
      lr = dict(lr=1e-6, weight_decay=0.0)
      variant.optimizer.groups = dict(model=dict(pattern=r'^model\.', **lr))
  return made


def compiled(config: Config) -> tuple[Callable[[], object], dict[str, float]]:
  """A call that makes one update, and what that takes."""
  mesh = sharding.mesh(**config.mesh)
  actor = load_actor(config, mesh, run_keys(config.seed).init)
  trainable, frozen, run = lrt.step_functions(config, mesh, actor.policy)
  data = jax.device_put(answers(config), sharding.rows(answers(config), mesh))
  state = [trainable, run.init_optimizer(trainable)]
  with jax.set_mesh(mesh):
    update = run.update.lower(
      state[0], frozen, state[1], data, jnp.int32(0)
    ).compile()
  memory: Any = update.memory_analysis()

  def call():
    *state[:], figures = update(state[0], frozen, state[1], data, jnp.int32(0))
    return jax.block_until_ready(figures)

  size = lambda tree: sum(x.nbytes for x in jax.tree.leaves(tree)) / MIB
  count = sum(x.size for x in named_leaves(trainable).values())
  return call, {
    'trained, M': count / 1e6,
    'weights, MiB': size((trainable, frozen)),
    'Adam, MiB': size(state[1]),
    'temporaries, MiB': memory.temp_size_in_bytes / MIB,
  }


def answers(config: Config) -> Batch:
  """Random ones."""
  rollout, rng = config.rollout, np.random.default_rng(0)
  u, p = rollout.prompts_per_step, rollout.max_prompt_length
  shape = u, rollout.num_generations, rollout.max_completion_length
  tokens = lambda *some: rng.integers(100, 300, some).astype(np.int32)
  zeros, every = np.zeros(shape, np.float32), np.ones(shape, bool)
  prompt: Any = (
    tokens(u, p),
    np.ones((u, p), bool),
    np.arange(u, dtype=np.int32),
  )
  batch = lrt.given_answers(Prompt(*prompt), tokens(*shape), every)
  answers = batch.trajectory._replace(log_probs=zeros, behavior_log_probs=zeros)
  advantages = rng.normal(size=shape).astype(np.float32)
  return batch._replace(trajectory=answers, advantages=advantages)


if __name__ == '__main__':
  main(sys.argv[1:])
