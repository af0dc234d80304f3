"""The frame of every trainer: it restores, evaluates, saves, logs, and sees to
it that nothing which is not finite is kept.

A trainer is its data, its batch and its update:

    with Loop(config, workdir, 'grpo', mesh, state, batches_of) as loop:
      for step in loop.steps():
        if loop.settle() and loop.ready(evaluate):
          loop.state, figures = ...  # dispatched, not waited for
          loop.learned(figures)

What to do about an update that is not finite is `config.nonfinite.action`:
'stop' ends the run; 'skip' leaves the update out, at most `limit` in a row;
'rollback' restores the last checkpoint and goes on from it with the data that
comes next, at most `limit` times.
"""

import logging
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from typing import Any, NamedTuple, Self

import jax
import numpy as np
from jax.sharding import Mesh

from experiments.command import Config
from experiments.policies import checked_resume
from hybrid_latent import alarms, cluster
from hybrid_latent.checkpoint import Checkpoints
from hybrid_latent.telemetry import StepClock, Telemetry
from hybrid_latent.trees import nonfinite

Figures = dict[str, Any]
_LAST = ('loss', 'reward', 'entropy', 'kl', 'hidden_ratio')
_log = logging.getLogger(__name__)


class NonFinite(cluster.TrainingStopped, FloatingPointError):
  """An update that was not finite ended the run."""


class _Update(NamedTuple):
  """A step that the devices may still be at."""

  step: int
  figures: Sequence[Figures]  # of each of its updates
  host_figures: Figures
  prompts: Sequence[int]  # of the training split, where they are known
  position: Any  # in the data, before it


class Loop:
  """The steps of a run in `workdir`, from its last checkpoint if there is one;
  a context manager.

  Args:
    state: (trained arrays, optimizer state, ...), at its place; read and set
      it as `loop.state`, the only reference that outlives a rollback.
    batches_of: (step) -> the endless batches to read from this step on, which
      become `loop.batches`; not called by a run that trains no step.
    latents: whether decoding reads latents, see alarms.
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
    self.state, self.batches, self.start = state, None, 0
    self.evaluations: list[dict[str, float]] = []
    self.clock = StepClock()
    self._config, self._workdir, self._mesh = config, workdir, mesh
    self._identity = {'config': config.to_json(), 'trainer': trainer}
    self._batches_of, self._latents = batches_of, latents
    self._counts: dict[str, Any] = {
      'num_tokens': 0, 'skipped': 0, 'rollbacks': 0, 'alarms': {}
    }  # fmt: skip
    self._pending: _Update | None = None
    self._figures: Figures = {}
    self._alarming: list[str] = []
    self._over, self._asked = False, 0

  def __enter__(self) -> Self:
    with ExitStack() as stack:
      stack.enter_context(jax.set_mesh(self._mesh))
      keep, best = self._config.checkpoint.keep, self._config.checkpoint.best
      self._checkpoints = stack.enter_context(
        closing(
          Checkpoints(f'{self._workdir}/checkpoints', keep=keep, best=best)
        )
      )
      # 1. the configuration has to be the run's; 2. arrays; 3. place in the
      # data.
      self.start, notes = self._checkpoints.latest or 0, {}
      if self.start:
        notes = self._checkpoints.notes(self.start)
        checked_resume(notes, self._config, self._workdir)
        self.state = self._checkpoints.restore(self.start, self.state)
        self._recall(notes)
      if broken := nonfinite(self.state):
        raise ValueError(
          f'step {self.start} of {self._workdir} begins with values that are '
          f'not finite in {_some(broken)}: write weights that are finite, or '
          'delete its checkpoint'
        )
      self.step = self.start
      if self.start < self._config.steps:
        self.read_from(self._batches_of(self.start))
      if self.batches and notes:
        self.batches.set_state(notes['data'])
      # Last, since it drops the metrics of later steps.
      self.telemetry = stack.enter_context(self._reopened())
      self._stack = stack.pop_all()
    return self

  def __exit__(self, *error: Any) -> None:
    self._saved = self._checkpoints.steps
    self.telemetry.close()
    self._stack.__exit__(*error)

  def steps(self) -> Iterator[int]:
    """Every step, and at last config.steps, at which nothing is trained."""
    while not self._over:
      if self.batches:
        self._position = self.batches.get_state()
      yield self.step

  @property
  def last(self) -> bool:
    """Whether the training is over."""
    return self.step == self._config.steps

  def due(self, every: int) -> bool:
    """Whether it is time for what happens so often, and at the end."""
    return self.last or self.step % every == 0

  def read_from(self, batches: Any) -> None:
    """Goes on with other batches."""
    self.batches, self._position = batches, batches.get_state()

  def learned(
    self,
    figures: Sequence[Figures],
    host_figures: Figures | None = None,
    prompts: Sequence[int] = (),
  ) -> None:
    """The step was dispatched: `figures` of each update, by
    `optim.finite_step`; `host_figures` may be on the devices, too."""
    self._pending = _Update(
      self.step, figures, host_figures or {}, prompts, self._position
    )
    self.step += 1

  def settle(self) -> bool:
    """Waits for the step before and logs it. False where that was rolled back:
    `steps` goes on with another one."""
    if not self._pending:
      return True
    update, self._pending = self._pending, None
    with self.clock('update'):
      every, host = jax.device_get((update.figures, update.host_figures))
    broken = [bool(x.pop('nonfinite_arrays')) for x in every]
    skipped = [bool(x['skipped_updates']) for x in every]
    if any(broken) or any(skipped):
      if not self._survived(update, every, skipped, any(broken)):
        return False
    else:
      self._counts['skipped'] = 0
    self._write(update.step, _merged(every) | host)
    return True

  def ready(
    self,
    evaluate: Callable[[], dict[str, float]] | None = None,
    begins: bool = False,
  ) -> bool:
    """Evaluates if it may, and saves if it is time, as it is where a stage
    `begins` that a rollback is to return to. Whether `step` is to be trained.
    """
    told = not self.last and cluster.told_to_end(self._asked)
    self._asked += 1
    figures: dict[str, float] = {}
    if evaluate and not told:
      figures = evaluate()
      self.evaluations.append(figures)
      self.telemetry.log(self.step, figures)
      self.clock.metrics()  # an evaluation is part of no step
    returns = self._config.nonfinite.action == 'rollback'
    due = told or self._alarming or self.due(self._config.checkpoint.every)
    if self.step > self.start:
      save = due or (returns and begins)
    else:  # nothing to return to
      save = returns and not (self.last or self._checkpoints.latest)
    if save:
      self._save(self.step, self._position, figures)
    if self._alarming:
      texts = [self._explained(name) for name in self._alarming]
      raise cluster.TrainingStopped(
        f'step {self.step - 1}: {"; ".join(texts)}. Step {self.step} is saved '
        f'in {self._workdir}; the same command goes on from there once '
        'config.alarms.stop allows'
      )
    if told:
      raise cluster.Preempted(self.step, self._workdir)
    self._over = self.last
    return not self.last

  def conclude(self, *written: str) -> None:
    """Says where everything is and what to do next; `written` are folders that
    the trainer made."""
    if jax.process_index():
      return
    here = shlex.quote(self._workdir)
    rows = [
      *written,
      f'{self._workdir}/checkpoints (steps {_some(self._saved)})',
      f'{self._workdir}/metrics.jsonl',
      *(_shown(x) for x in (self._figures, *self.evaluations[-1:]) if x),
    ]
    print(
      f'Trained to step {self.step} of {self._config.steps}.',
      *rows,
      f'Curves: python -m experiments.report --runs={here} --out='
      f'{here}/report.html',
      f'More steps: the same command with --config.steps={2 * self.step or 1}',
      sep='\n  ',
      flush=True,
    )

  # ------------------------------------------------------------- not finite
  def _survived(self, update, every, skipped, broken: bool) -> bool:
    """Whether the step stands, without the updates that were left out; False
    where it was rolled back. Raises NonFinite where the run ends."""
    action, limit = self._config.nonfinite.action, self._config.nonfinite.limit
    first = every[skipped.index(True) if any(skipped) else -1]
    what = (
      f'step {update.step}: loss {first["loss"]}, grad_norm '
      f'{first["grad_norm"]}'
    )
    if update.prompts:
      what += f' on prompts {update.prompts} of {self._config.data.train!r}'
    if broken:
      what += f', after which {_some(nonfinite(self.state))} are not finite'
    if action == 'rollback' and self._counts['rollbacks'] < limit:
      self._roll_back(what)
      return False
    if action == 'skip' and not broken:
      worst = 0
      for one in skipped:
        self._counts['skipped'] = (self._counts['skipped'] + 1) * one
        worst = max(worst, self._counts['skipped'])
      if worst <= limit:
        _log.warning('%s: %d of %d updates left out', what, sum(skipped),
                     len(skipped))  # fmt: skip
        return True
    raise NonFinite(f'{what}; {self._kept(update, skipped)}')

  def _kept(self, update, skipped) -> str:
    """Saves what is from before an update, if it is there; and says where."""
    latest = self._checkpoints.latest or 0
    if all(skipped) and update.step > max(latest, self.start):
      self._save(update.step, update.position)
      latest = update.step
    if not latest:
      return f'there is no checkpoint in {self._workdir} yet'
    return (
      f'the last checkpoint in {self._workdir}, step {latest}, is from before '
      "it: lower the learning rate, or write config.nonfinite.action='skip' or "
      "'rollback'"
    )

  def _roll_back(self, what: str) -> None:
    """To the last checkpoint, and from there on with the data that follows."""
    self._checkpoints.wait()
    step = self._checkpoints.latest
    shape = lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype,
                                           sharding=x.sharding)  # fmt: skip
    shapes = jax.tree.map(shape, self.state)
    # There is no room for two states.
    jax.tree.map(lambda x: x.delete(), self.state)
    self.state = self._checkpoints.restore(step, shapes)
    rollbacks = self._counts['rollbacks'] + 1
    self._recall(self._checkpoints.notes(step))
    self._counts['rollbacks'] = rollbacks
    _log.warning('%s: back to step %d, with other data (%d of %d)',
                 what, step, rollbacks, self._config.nonfinite.limit)  # fmt: skip
    self.batches.set_state(self._position)
    self.step = self.start = step
    self.telemetry.close()
    self.telemetry = self._reopened()
    self.clock.metrics()

  # ---------------------------------------------------- written down and read
  def _write(self, step: int, figures: Figures) -> None:
    """Logs a step, with how fast it was and which alarms are on."""
    thresholds = self._config.alarms
    counts, times = self._counts, self.clock.metrics()
    tokens = figures.get('completions/tokens', figures.get('tokens'))
    counts['num_tokens'] += int(tokens)
    seen = figures | {'max_tokens': self._config.rollout.max_tokens}
    if not self._latents:
      seen.pop('hidden_ratio', None)
    counts['alarms'] = alarms.streaks(counts['alarms'], seen, thresholds)
    on = {n: x >= thresholds.window for n, x in counts['alarms'].items()}
    for name, steps in counts['alarms'].items():
      if steps == thresholds.window:
        _log.warning('step %d: %s', step, self._explained(name))
    self._alarming = [name for name in thresholds.stop if on.get(name)]
    self._figures = figures | {
      'num_tokens': counts['num_tokens'],
      'tokens_per_second': tokens / times['time/step'],
      'rollbacks': counts['rollbacks'],
      **{f'alarms/{name}': float(x) for name, x in on.items()},
    }
    self.telemetry.log(step, self._figures | times)

  def _explained(self, name: str) -> str:
    return alarms.explained(name, self._config.alarms[name])

  def _save(self, step: int, position: Any, figures: Figures | None = None):
    notes = self._identity | {'data': position} | self._counts
    self._checkpoints.save(step, self.state, notes, figures)

  def _recall(self, notes: Mapping[str, Any]) -> None:
    """Counts as a checkpoint has them; an older one may have fewer."""
    self._counts |= {k: notes[k] for k in self._counts if k in notes}

  def _reopened(self) -> Telemetry:
    return Telemetry(
      self._workdir,
      total=self._config.steps,
      process=jax.process_index(),
      resume_step=self.start,
    )


def _merged(every: Sequence[Figures]) -> Figures:
  """The figures of a step, from those of its updates."""

  def one(name):
    values = [x[name] for x in every]
    if name.endswith('/max'):
      return float(np.max(values))
    return float(np.sum(values) if name == 'skipped_updates'
                 else np.mean(values))  # fmt: skip

  return {name: one(name) for name in every[0]}


def _some(names: Sequence[Any]) -> str:
  """The first few of many."""
  more = f' and {len(names) - 3} more' if len(names) > 3 else ''
  return ', '.join(map(str, names[:3])) + more


def _shown(figures: Figures) -> str:
  """The figures that matter most, for a terminal."""
  chosen = [n for n in figures if n in _LAST or n.startswith('eval/')]
  return ', '.join(f'{name} {figures[name]:.4g}' for name in chosen)
