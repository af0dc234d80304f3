"""Runs of the trainer, watched, and what they leave behind."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest

from experiments import grpo, lrt, sft
from experiments.training import setup
from experiments.training.actor import Actor, load_actor
from experiments.training.step_functions import Batch
from hybrid_latent.data.documents import document_batches
from hybrid_latent.trees import named_leaves

COMPILED = '/jax/core/compile/backend_compile_duration'


class Run(NamedTuple):
  """A run that is over."""

  folder: Path
  evaluations: list[dict[str, float]]
  actor: Actor  # what it trained; the trained arrays are gone
  before: dict[str, np.ndarray]  # the policy's parameters at the start
  compiled: list[tuple[int, str]]  # steps written down by then, and what


def trained(config, folder: Path, edit=lambda actor: actor) -> Run:
  """A run to its end; `edit` may change what is trained."""
  actors, before, compiled = [], {}, []
  metrics = folder / 'metrics.jsonl'

  def watched(*args):
    actors.append(edit(load_actor(*args)))
    before.update(arrays(actors[-1].policy))
    return actors[-1]

  def listen(event, seconds, **details):
    if event == COMPILED:
      written = metrics.read_text() if metrics.exists() else ''
      compiled.append((written.count('"loss"'), details['fun_name']))

  jax.monitoring.register_event_duration_secs_listener(listen)
  try:
    with pytest.MonkeyPatch.context() as patch, quick_compiler():
      patch.setattr(setup, 'load_actor', watched)
      evaluations = grpo.train(config, str(folder))
  finally:
    jax.monitoring.unregister_event_duration_listener(listen)
  return Run(folder, evaluations, actors[0], before, compiled)


class Lesson(NamedTuple):
  """A supervised run that is over."""

  folder: Path
  evaluations: list[dict[str, float]]
  batches: list[dict[str, np.ndarray]]  # that it read, as it read them


def taught(
  config, folder: Path, look: Callable[[Actor], None] = lambda actor: None
) -> Lesson:
  """A supervised run to its end; `look` sees what it begins with."""
  batches = []

  def watched(*args):
    actor = load_actor(*args)
    look(actor)
    return actor

  def read(*args, **kwargs):
    made = document_batches(*args, **kwargs)
    return made.map(lambda batch: batches.append(batch) or batch)

  with pytest.MonkeyPatch.context() as patch, quick_compiler():
    patch.setattr(setup, 'load_actor', watched)
    patch.setattr(sft, 'document_batches', read)
    evaluations = sft.train(config, str(folder))
  return Lesson(folder, evaluations, batches)


class Tuning(NamedTuple):
  """A run that trained a reasoner, and is over."""

  folder: Path
  evaluations: list[dict[str, float]]
  actor: Actor  # what it began with; the trained arrays are gone
  before: dict[str, np.ndarray]  # the policy's parameters at the start
  batches: list[Batch]  # of each update, on the host


def tuned(config, folder: Path) -> Tuning:
  """A run of experiments/lrt.py to its end."""
  actors, before, batches = [], {}, []
  compiled = lrt.step_functions

  def watched(*args):
    actors.append(load_actor(*args))
    before.update(arrays(actors[-1].policy))
    return actors[-1]

  def step_functions(*args):
    *halves, run = compiled(*args)

    def update(trainable, frozen, opt_state, batch, part):
      batches.append(jax.device_get(batch))
      return run.update(trainable, frozen, opt_state, batch, part)

    return *halves, run._replace(update=update)

  with pytest.MonkeyPatch.context() as patch, quick_compiler():
    patch.setattr(setup, 'load_actor', watched)
    patch.setattr(lrt, 'step_functions', step_functions)
    evaluations = lrt.train(config, str(folder))
  return Tuning(folder, evaluations, actors[0], before, batches)


@contextmanager
def quick_compiler() -> Iterator[None]:
  """Half the time to compile; programs of this size run as fast."""
  jax.config.update('jax_disable_most_optimizations', True)
  try:
    yield
  finally:
    jax.config.update('jax_disable_most_optimizations', False)


def lines(path: Path) -> list[dict]:
  """The rows of a JSONL file."""
  return [json.loads(line) for line in path.read_text().splitlines()]


def steps(folder: Path) -> list[dict]:
  """The metrics of each training step."""
  return [row for row in lines(folder / 'metrics.jsonl') if 'loss' in row]


def column(run: Run, name: str) -> np.ndarray:
  """One metric of every training step."""
  return np.array([row[name] for row in steps(run.folder)])


def timeless(rows: list[dict]) -> list[dict]:
  """Metrics without those that measure time."""
  timed = 'time/', 'device/', 'tokens_per_second', 'compilations'
  return [
    {name: x for name, x in row.items() if not name.startswith(timed)}
    for row in rows
  ]


def arrays(tree) -> dict[str, np.ndarray]:
  """Copies of the leaves, by name."""
  return {name: np.array(x) for name, x in named_leaves(tree).items()}


def saved(folder: Path, step: int) -> dict[str, np.ndarray]:
  """What a checkpoint holds: '0.' and a parameter, '1.' and its optimizer."""
  with ocp.StandardCheckpointer() as checkpointer:
    path = folder.resolve() / 'checkpoints' / str(step) / 'state'
    return arrays(checkpointer.restore(path))
