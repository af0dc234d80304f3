"""The model of a run, from one of its checkpoints."""

import json
from contextlib import closing
from typing import NamedTuple

from hybrid_latent.checkpoint import Checkpoints
from hybrid_latent.policy import Policy
from hybrid_latent.trees import combine, partition

from ..report.run_folders import run_info
from .cli import Config
from .saved import from_fields, relocated
from .setup import run_keys


class TrainedRun(NamedTuple):
  """A checkpoint of a run."""

  workdir: str
  step: int
  trainer: str
  config: Config

  @property
  def init_key(self):
    """The key with which the run initialized its parameters."""
    return run_keys(self.config.seed, self.trainer).init

  def restored(self, policy: Policy) -> Policy:
    """An initial policy of the run with the trained arrays, on its mesh. What
    the checkpoint lacks is unchanged: frozen parameters, or those of another
    feedback."""
    with closing(Checkpoints(f'{self.workdir}/checkpoints')) as checkpoints:
      # Of a tuple, whose element 0 has the trained arrays.
      saved = checkpoints.names(self.step)
      trained, rest = partition(policy, lambda name: f'0.{name}' in saved)
      (trained,) = checkpoints.restore(self.step, (trained,), partial=True)
    return combine(trained, rest)


def open_run(workdir: str, which: str = 'latest') -> TrainedRun:
  """The checkpoint `which` of a run: a step, `latest` or `best`. ValueError
  where there is none."""
  folder = f'{workdir}/checkpoints'
  if not (kept := Checkpoints(folder).steps):
    raise ValueError(f'{workdir} has no checkpoints')
  # A step given by number may be whole where the newest is not.
  is_step = which in map(str, kept)
  newest = int(which) if is_step else Checkpoints(folder).latest or 0
  notes = Checkpoints(folder).notes(newest)
  config = relocated(
    from_fields(json.loads(notes['config'])), run_info(workdir)
  )
  best = config.checkpoint.get('best', '')
  with closing(Checkpoints(folder, best=best)) as checkpoints:
    named = {'latest': newest} | ({'best': checkpoints.best} if best else {})
  step = named.get(which) or (int(which) if which.isdecimal() else None)
  if step not in kept:
    raise ValueError(
      f'step {which} of {workdir}: write one of {[*named, *kept]}'
    )
  return TrainedRun(workdir, step, notes['trainer'], config)
