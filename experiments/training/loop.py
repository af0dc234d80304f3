"""The loop of every trainer: restore, evaluation, checkpoints, logs, preemption
and recovery from updates that are not finite.

A trainer adds its data, its batch and its update:

    with Loop(config, workdir, 'grpo', mesh, state, batches_of) as loop:
      for step in loop.steps():
        ...  # work that does not need the metrics of the last step
        if loop.settle() and loop.ready(evaluate):
          loop.state, metrics = ...  # dispatched, not waited for
          loop.record_step([metrics], {})
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from typing import Any, NamedTuple, Self

import jax
from jax.sharding import Mesh

from hybrid_latent import alarms, cluster
from hybrid_latent.checkpoint import Checkpoints
from hybrid_latent.telemetry import StepClock, Telemetry
from hybrid_latent.trees import nonfinite

from ..fields.differences import warn_of_schedule
from .cli import Config
from .nonfinite import NonFinite, decide, described, first_few, in_a_row
from .profiling import Profiler
from .resume import identity, validate_resume
from .run_config import begin
from .step_functions import merged

Metrics = dict[str, Any]
_log = logging.getLogger(__name__)


class _Pending(NamedTuple):
  """A step that the devices may still be computing."""

  step: int
  metrics: Sequence[Metrics]  # of each of its updates
  host_metrics: Metrics
  prompts: Sequence[int]  # of the training split, where they are known
  position: Any  # in the data, before the step


class Loop:
  """The steps of a run in `workdir`, from its last checkpoint if there is one.

  Args:
    trainer: its module, which a checkpoint records.
    state: (trained arrays, optimizer state, ...), sharded; from then on
      `loop.state`. A rollback deletes these arrays.
    batches_of: (step) -> endless batches from that step on; from then on
      `loop.batches`. Not called where no step is trained.
    latents: whether decoding has latents; else their alarms are off.
    model: whose size the metrics of the devices need; None for none of these.
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
    model: Any = None,
  ):
    self.state, self.step, self.start = state, 0, 0
    self.batches: Any = None
    self.evaluations: list[Metrics] = []
    self.metrics: Metrics = {}  # of the last step
    self.clock = StepClock()
    self._config, self._workdir, self._mesh = config, workdir, mesh
    self._action, self._limit = config.nonfinite.action, config.nonfinite.limit
    self._identity = identity(config, trainer)
    self._counts: Metrics = {'num_tokens': 0, 'skipped': 0, 'rollbacks': 0,
                             'alarms': {}}  # fmt: skip
    self._batches_of, self._latents = batches_of, latents
    self._profiler = Profiler(config, workdir, mesh, model)
    self._pending: _Pending | None = None
    self._alarming: list[str] = []
    self._position, self._over, self._polls = None, False, 0

  def __enter__(self) -> Self:
    kept = {name: self._config.checkpoint[name] for name in ('keep', 'best')}
    with ExitStack() as stack:
      stack.enter_context(jax.set_mesh(self._mesh))
      self.checkpoints = Checkpoints(f'{self._workdir}/checkpoints', **kept)
      stack.enter_context(closing(self.checkpoints))
      # The config is checked before arrays are read, both before any write.
      self.step = self.start = (latest := self.checkpoints.latest) or 0
      notes: dict = {} if latest is None else self.checkpoints.notes(latest)
      if notes:
        rows = self._identity['rows']
        validate_resume(notes, self._config, self._workdir, rows)
        warn_of_schedule(notes, self._config)
        self.state = self.checkpoints.restore(self.start, self.state)
        self._recall(notes)
      if broken := nonfinite(self.state):
        raise ValueError(
          f'{self._workdir}: {first_few(broken)} are not finite at step '
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
      stack.callback(self._profiler.close)
      self._stack = stack.pop_all()
      return self

  def __exit__(self, *error: Any) -> None:
    self._stack.__exit__(*error)

  def steps(self) -> Iterator[int]:
    """Every step, and finally config.max_steps, at which nothing is trained."""
    while not self._over:
      if self.batches:
        self._position = self.batches.get_state()
      with self._profiler.step(self.step):
        yield self.step

  @property
  def last(self) -> bool:
    """Whether every step has been trained."""
    return self.step >= self._config.max_steps

  @property
  def latest_metrics(self) -> Metrics:
    """The metrics of the last step and of the last evaluation."""
    return self.metrics | (self.evaluations or [{}])[-1]

  def read_from(self, batches: Any) -> None:
    """Continues with other batches."""
    self.batches, self._position = batches, batches.get_state()

  def record_step(
    self, metrics: Sequence[Metrics], host_metrics: Metrics, prompts: Any = ()
  ) -> None:
    """Records a dispatched step; `metrics` are those of `optim.finite_step` per
    update, `host_metrics` those of the step. `settle` logs them."""
    self._pending = _Pending(self.step, metrics, host_metrics, prompts,
                             self._position)  # fmt: skip
    self.step += 1

  def settle(self) -> bool:
    """Waits for the last step and logs it. False where it was rolled back and
    `steps` continues from a checkpoint."""
    if not self._pending:
      return True
    pending, self._pending = self._pending, None
    with self.clock('update'):
      updates, host = jax.device_get((pending.metrics, pending.host_metrics))
    self._profiler.settled(pending.step)
    if not self._keeps(pending, updates):
      return False
    self._log_step(pending.step, merged(updates) | host)
    return True

  def ready(
    self, evaluate: Callable[[], Metrics] | None = None, begins: bool = False
  ) -> bool:
    """Evaluates and saves where due, also where a stage `begins`, which gives a
    rollback a checkpoint of that stage. Whether the step is to be trained."""
    preempted = not self.last and cluster.preemption_requested(self._polls)
    self._polls, metrics = self._polls + 1, {}
    # Not after a preemption: the grace period is for the checkpoint.
    due = evaluate and (begins or self._due(self._config.eval.every))
    if evaluate and due and not preempted:
      metrics = evaluate()
      self.evaluations.append(metrics)
      self.telemetry.log(self.step, metrics)
      self.clock.metrics()  # an evaluation is part of no step
    returns = self._action == 'rollback'
    if self.step > self.start:
      save = preempted or self._alarming
      save = save or self._due(self._config.checkpoint.every)
      save = save or (returns and begins)
    else:  # a rollback needs a first checkpoint
      save = returns and not self.last and self.checkpoints.latest is None
    if save:
      self._save(self.step, self._position, metrics)
    if self._alarming and not self.last:
      raise cluster.TrainingStopped(
        f'step {self.step - 1}: {self._explained(self._alarming[0])}; step '
        f'{self.step} is saved in {self._workdir}, and without this alarm in '
        'config.alarms.stop the same command resumes from there'
      )
    if preempted:
      raise cluster.Preempted(self.step, self._workdir)
    self._over = self.last
    return not self.last

  def _due(self, every: int) -> bool:
    """Whether it is a multiple of `every` steps, or the last step."""
    return self.last or self.step % every == 0

  # --------------------------------------------------------------- not finite
  def _keeps(self, pending: _Pending, updates: list[Metrics]) -> bool:
    """Whether a step is kept, without its skipped updates; False where it was
    rolled back. Raises NonFinite where the run ends."""
    # A list, not a generator: the metric is removed from every update.
    broken = any([x.pop('nonfinite_arrays') for x in updates])
    skipped = [bool(x['skipped_updates']) for x in updates]
    counts = in_a_row(skipped, self._counts['skipped'])
    self._counts['skipped'] = counts[-1]
    if not broken and not any(skipped):
      return True
    rollbacks, limit = self._counts['rollbacks'], self._limit
    names = nonfinite(self.state) if broken else []
    rows = pending.prompts, self._config.data.train_split
    what = described(pending.step, updates, skipped, names, *rows)
    action = decide(self._action, limit, broken, max(counts), rollbacks)
    if action == 'skip':
      _log.warning('%s: %d updates skipped', what, sum(skipped))
      return True
    if action == 'rollback':
      self._roll_back()
      _log.warning('%s: back to step %d with the next data (%d of %d)', what,
                   self.step, rollbacks + 1, limit)  # fmt: skip
      return False
    last = self.checkpoints.latest or 0
    if all(skipped) and not broken and pending.step > max(last, self.start):
      last = pending.step  # skipped updates left the state before the step
      self._save(last, pending.position)
    kept = f'checkpoint {last} in {self._workdir}' if last else 'no checkpoint'
    raise NonFinite(
      f'{what}; {kept} is from before it: lower the learning rate or write '
      "config.nonfinite.action='skip' or 'rollback'"
    )

  def _roll_back(self) -> None:
    """Restores the last checkpoint and continues with the next data."""
    self.checkpoints.wait()
    step = self.checkpoints.latest or 0
    rollbacks = self._counts['rollbacks'] + 1
    like = lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding)
    shapes = jax.tree.map(like, self.state)
    jax.tree.map(lambda x: x.delete(), self.state)  # memory may not hold two
    self.state = self.checkpoints.restore(step, shapes)
    self._recall(self.checkpoints.notes(step))
    self._counts['rollbacks'] = rollbacks
    # Not the checkpoint's position, whose data lead to the same update.
    self.batches.set_state(self._position)
    self.step = self.start = step
    self.telemetry.close()
    self.telemetry = self._opened()
    self.clock.metrics()

  # ------------------------------------------------------- logs, checkpoints
  def _log_step(self, step: int, metrics: Metrics) -> None:
    """Logs a step with its speed and the alarms that are on."""
    limits, counts = self._config.alarms, self._counts
    tokens = int(metrics.get('completions/tokens', metrics.get('tokens', 0)))
    counts['num_tokens'] += tokens
    seen = metrics | {'max_tokens': self._config.rollout.max_completion_length}
    if not self._latents:
      seen = {n: x for n, x in seen.items() if not n.startswith('hidden_ratio')}
    counts['alarms'] = alarms.streaks(counts['alarms'], seen, limits)
    on = {name: x >= limits.window for name, x in counts['alarms'].items()}
    for name, steps in counts['alarms'].items():
      if steps == limits.window:
        _log.warning('step %d: %s', step, self._explained(name))
    self._alarming = [name for name in limits.stop if on.get(name)]
    times = self.clock.metrics()
    self.metrics = metrics | {
      'num_tokens': counts['num_tokens'],
      'tokens_per_second': tokens / times['time/step'],
      'rollbacks': counts['rollbacks'],
      **{f'alarms/{name}': x for name, x in on.items()},
    }
    devices = self._profiler.metrics(metrics, times)
    self.telemetry.log(step, self.metrics | devices | times)

  def _explained(self, name: str) -> str:
    text = alarms.ALARMS[name].text
    return f'alarm {name}: {text.format(threshold=self._config.alarms[name])}'

  def _save(self, step: int, position: Any, metrics: Metrics | None = None):
    notes = {**self._identity, **self._counts, 'data': position}
    self.checkpoints.save(step, self.state, notes, metrics)

  def _recall(self, notes: Metrics) -> None:
    """Restores the counts; checkpoints of older versions have fewer."""
    self._counts |= {name: notes[name] for name in self._counts & notes.keys()}

  def _opened(self) -> Telemetry:
    options: Any = {'process': jax.process_index(), 'resume_step': self.start,
                    'trackers': self._config.trackers}  # fmt: skip
    return Telemetry(self._workdir, total=self._config.max_steps, **options)
