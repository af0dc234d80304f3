"""The frame of every trainer: it restores, evaluates, saves and logs, and keeps
nothing that is not finite.

A trainer is its data, its batch and its update:

    with Loop(config, workdir, 'grpo', mesh, state, batches_of) as loop:
      for step in loop.steps():
        if loop.settle() and loop.ready(evaluate):
          loop.state, figures = ...  # dispatched, not waited for
          loop.learned([figures])

`config.nonfinite.action` says what becomes of an update that is not finite:
'stop' ends the run; 'skip' leaves it out, at most `limit` in a row; 'rollback'
restores the last checkpoint and goes on with the next data, `limit` times.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from typing import Any, NamedTuple, Self

import jax
import numpy as np
from jax.sharding import Mesh

from hybrid_latent import alarms, cluster
from hybrid_latent.checkpoint import Checkpoints
from hybrid_latent.telemetry import StepClock, Telemetry
from hybrid_latent.trees import nonfinite

from .cli import Config
from .resume import checked_resume, identity
from .run_config import begin

Figures = dict[str, Any]
_log = logging.getLogger(__name__)


class NonFinite(cluster.TrainingStopped, FloatingPointError):
  """An update that is not finite."""


class _Update(NamedTuple):
  """A step that the devices may still be at."""

  step: int
  figures: Sequence[Figures]  # of each of its updates
  host_figures: Figures
  prompts: Sequence[int]  # of the training split, where they are known
  position: Any  # in the data, before it


class Loop:
  """The steps of a run in `workdir`, from its last checkpoint if there is one.

  Args:
    trainer: its module, which a checkpoint names.
    state: (trained arrays, optimizer state, ...) at their place, from then on
      `loop.state`; a rollback deletes these arrays.
    batches_of: (step) -> the endless batches to read from that step on, from
      then on `loop.batches`; not called where no step is trained.
    latents: whether decoding reads latents; else no alarm asks for them.
  """

  def __init__(
    self,
    config: Config,
    workdir: str,
    trainer: str,
    mesh: Mesh,
    state: tuple,
    batches_of: Callable[[int], Any],
    latents: bool = False,
  ):
    self.state, self.step, self.start = state, 0, 0
    self.batches: Any = None
    self.evaluations: list[Figures] = []
    self.figures: Figures = {}  # of the last step
    self.clock = StepClock()
    self._config, self._workdir, self._mesh = config, workdir, mesh
    self._identity = identity(config, trainer)
    self._counts: Figures = {'num_tokens': 0, 'skipped': 0, 'rollbacks': 0,
                             'alarms': {}}  # fmt: skip
    self._batches_of, self._latents = batches_of, latents
    self._pending: _Update | None = None
    self._alarming: list[str] = []
    self._position, self._over, self._asked = None, False, 0

  def __enter__(self) -> Self:
    kept = {name: self._config.checkpoint[name] for name in ('keep', 'best')}
    with ExitStack() as stack:
      stack.enter_context(jax.set_mesh(self._mesh))
      self.checkpoints = Checkpoints(f'{self._workdir}/checkpoints', **kept)
      stack.enter_context(closing(self.checkpoints))
      # The configuration has to be the run's; then arrays; at last it writes.
      self.step = self.start = self.checkpoints.latest or 0
      notes: dict = self.checkpoints.notes(self.start) if self.start else {}
      if notes:
        checked_resume(notes, self._config, self._workdir)
        self.state = self.checkpoints.restore(self.start, self.state)
        self._recall(notes)
      if broken := nonfinite(self.state):
        raise ValueError(
          f'{self._workdir}: {_some(broken)} are not finite at step '
          f'{self.start}: begin with other weights or an earlier checkpoint'
        )
      if not self.last:
        self.read_from(self._batches_of(self.start))
        _log.info('step %d: compiling its programs', self.step)
      if notes and self.batches:
        self.batches.set_state(notes['data'])
      begin(self._config, self._workdir, self.start)
      self.telemetry = self._opened()
      stack.callback(lambda: self.telemetry.close())
      self._stack = stack.pop_all()
      return self

  def __exit__(self, *error: Any) -> None:
    self._stack.__exit__(*error)

  def steps(self) -> Iterator[int]:
    """Every step, and at last config.steps, at which nothing is trained."""
    while not self._over:
      if self.batches:
        self._position = self.batches.get_state()
      yield self.step

  @property
  def last(self) -> bool:
    """Whether every step has been trained."""
    return self.step >= self._config.steps

  def due(self, every: int) -> bool:
    """Whether it is time for what happens so often, and at the end."""
    return self.last or self.step % every == 0

  def read_from(self, batches: Any) -> None:
    """Goes on with other batches."""
    self.batches, self._position = batches, batches.get_state()

  def learned(
    self, figures: Sequence[Figures], host_figures: Figures, prompts: Any = ()
  ) -> None:
    """The step was dispatched; `figures` are those of `optim.finite_step` for
    each update, `host_figures` those of the step."""
    self._pending = _Update(self.step, figures, host_figures, prompts,
                            self._position)  # fmt: skip
    self.step += 1

  def settle(self) -> bool:
    """Waits for the step before and logs it. False where it was rolled back:
    `steps` goes on with another one."""
    if not self._pending:
      return True
    update, self._pending = self._pending, None
    with self.clock('update'):
      every, host = jax.device_get((update.figures, update.host_figures))
    if not self._stands(update, every):
      return False
    self._log_step(update.step, _merged(every) | host)
    return True

  def ready(
    self, evaluate: Callable[[], Figures] | None = None, begins: bool = False
  ) -> bool:
    """Evaluates, and saves if it is time, as it is where a stage `begins` that
    a rollback is to return to. Whether the step is to be trained."""
    told = not self.last and cluster.told_to_end(self._asked)
    self._asked, figures = self._asked + 1, {}
    if evaluate and not told:
      figures = evaluate()
      self.evaluations.append(figures)
      self.telemetry.log(self.step, figures)
      self.clock.metrics()  # an evaluation is part of no step
    returns = self._config.nonfinite.action == 'rollback'
    if self.step > self.start:
      save = told or self._alarming or self.due(self._config.checkpoint.every)
      save = save or (returns and begins)
    else:  # a rollback may have nothing to return to
      save = returns and not self.last and self.checkpoints.latest is None
    if save:
      self._save(self.step, self._position, figures)
    if self._alarming and not self.last:
      raise cluster.TrainingStopped(
        f'step {self.step - 1}: {self._explained(self._alarming[0])}; step '
        f'{self.step} is saved in {self._workdir}, and without this alarm in '
        'config.alarms.stop the same command goes on from there'
      )
    if told:
      raise cluster.Preempted(self.step, self._workdir)
    self._over = self.last
    return not self.last

  # --------------------------------------------------------------- not finite
  def _stands(self, update: _Update, every: list[Figures]) -> bool:
    """Whether a step counts, without the updates that were left out; False
    where it was rolled back. Raises NonFinite where the run ends."""
    action, limit = self._config.nonfinite.action, self._config.nonfinite.limit
    broken = any([x.pop('nonfinite_arrays') for x in every])
    skipped = [bool(x['skipped_updates']) for x in every]
    in_a_row = []
    for left_out in skipped:
      self._counts['skipped'] = (self._counts['skipped'] + 1) * left_out
      in_a_row.append(self._counts['skipped'])
    if not broken and not any(skipped):
      return True
    first = every[skipped.index(True) if any(skipped) else -1]
    loss, norm = first['loss'], first['grad_norm']
    what = f'step {update.step}: loss {loss}, grad_norm {norm}'
    if update.prompts:
      what += f' on prompts {update.prompts} of {self._config.data.train!r}'
    if broken:
      what += f', after which {_some(nonfinite(self.state))} are not finite'
    if action == 'skip' and not broken and max(in_a_row) <= limit:
      _log.warning('%s: %d updates left out', what, sum(skipped))
      return True
    if action == 'rollback' and self._counts['rollbacks'] < limit:
      self._roll_back()
      back = self.step, self._counts['rollbacks'], limit
      _log.warning('%s: back to step %d with the next data (%d of %d)', what,
                   *back)  # fmt: skip
      return False
    last = self.checkpoints.latest or 0
    if all(skipped) and not broken and update.step > max(last, self.start):
      last = update.step  # what is held is from before it
      self._save(last, update.position)
    kept = f'checkpoint {last} in {self._workdir}' if last else 'no checkpoint'
    raise NonFinite(
      f'{what}; {kept} is from before it: lower the learning rate or write '
      "config.nonfinite.action='skip' or 'rollback'"
    )

  def _roll_back(self) -> None:
    """To the last checkpoint, and from there on with the data that follows."""
    self.checkpoints.wait()
    step = self.checkpoints.latest or 0
    rollbacks = self._counts['rollbacks'] + 1
    like = lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding)
    shapes = jax.tree.map(like, self.state)
    jax.tree.map(lambda x: x.delete(), self.state)  # two may not fit
    self.state = self.checkpoints.restore(step, shapes)
    self._recall(self.checkpoints.notes(step))
    self._counts['rollbacks'] = rollbacks
    self.batches.set_state(self._position)
    self.step = self.start = step
    self.telemetry.close()
    self.telemetry = self._opened()
    self.clock.metrics()

  # ------------------------------------------------------------- written down
  def _log_step(self, step: int, figures: Figures) -> None:
    """With how fast it was, and which alarms are on."""
    limits, counts = self._config.alarms, self._counts
    tokens = int(figures.get('completions/tokens', figures.get('tokens', 0)))
    counts['num_tokens'] += tokens
    seen = figures | {'max_tokens': self._config.rollout.max_tokens}
    if not self._latents:
      seen = {n: x for n, x in seen.items() if not n.startswith('hidden_ratio')}
    counts['alarms'] = alarms.streaks(counts['alarms'], seen, limits)
    on = {name: x >= limits.window for name, x in counts['alarms'].items()}
    for name, steps in counts['alarms'].items():
      if steps == limits.window:
        _log.warning('step %d: %s', step, self._explained(name))
    self._alarming = [name for name in limits.stop if on.get(name)]
    times = self.clock.metrics()
    self.figures = figures | {
      'num_tokens': counts['num_tokens'],
      'tokens_per_second': tokens / times['time/step'],
      'rollbacks': counts['rollbacks'],
      **{f'alarms/{name}': x for name, x in on.items()},
    }
    self.telemetry.log(step, self.figures | times)

  def _explained(self, name: str) -> str:
    return alarms.explained(name, self._config.alarms[name])

  def _save(self, step: int, position: Any, figures: Figures | None = None):
    notes = {**self._identity, **self._counts, 'data': position}
    self.checkpoints.save(step, self.state, notes, figures)

  def _recall(self, notes: Figures) -> None:
    """The counts of a checkpoint; that of an older version has fewer."""
    self._counts |= {name: notes[name] for name in self._counts & notes.keys()}

  def _opened(self) -> Telemetry:
    where: Any = {'process': jax.process_index(), 'resume_step': self.start}
    return Telemetry(self._workdir, total=self._config.steps, **where)


def _merged(every: Sequence[Figures]) -> Figures:
  """The figures of a step, from those of its updates."""
  column = lambda name: [x[name] for x in every]
  reduce = lambda name: np.max if name.endswith('/max') else np.mean
  merged = {name: float(reduce(name)(column(name))) for name in every[0]}
  return merged | {'skipped_updates': float(sum(column('skipped_updates')))}


def _some(names: Sequence[str]) -> str:
  """The first few of many."""
  more = f' and {len(names) - 3} more' if len(names) > 3 else ''
  return ', '.join(names[:3]) + more
