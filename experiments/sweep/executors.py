"""Executors of a sweep: this machine, a SLURM cluster, a cloud."""

import contextlib
import getpass
import importlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from types import ModuleType
from typing import Protocol

from hybrid_latent.cluster import RESTART
from hybrid_latent.extras import missing

from ..launch import recipes

LOG = 'log.txt'  # in the folder of a cell: the output of its trainer
State = int | str | None  # exit status; 'queued' or 'running'; None: unknown


class Executor(Protocol):
  """Runs the commands of cells as jobs."""

  every: float  # seconds between two calls of `states`

  def start(self, command: Sequence[str], folder: Path) -> str:
    """Starts a run without waiting for it. Returns the id of its job."""
    ...

  def states(self, jobs: Sequence[str]) -> list[State]:
    """The state of each job; an earlier sweep may have started it."""
    ...

  def preview(self, command: Sequence[str], folder: Path) -> str:
    """What `start` would submit."""
    ...

  def stop(self, jobs: Sequence[str]) -> str:
    """Called when the sweep is stopped. Returns what becomes of the jobs."""
    ...


class Local:
  """Processes on this machine; they end with the sweep."""

  every = 1.0

  def __init__(self, on: Mapping[str, str], retries: int):
    del retries  # the scheduler counts them
    if on:
      raise ValueError(f'--machine: {dict(on)}: the local one has no options')
    self._processes: dict[str, subprocess.Popen] = {}

  def start(self, command: Sequence[str], folder: Path) -> str:
    """See Executor."""
    # A session of its own: Ctrl-C reaches the sweep alone, which sends SIGTERM.
    process = _process(command, folder, LOG, start_new_session=True)
    self._processes[str(process.pid)] = process
    return str(process.pid)

  def preview(self, command: Sequence[str], folder: Path) -> str:
    """See Executor."""
    return shlex.join(command)

  def states(self, jobs: Sequence[str]) -> list[State]:
    """See Executor."""
    known = [self._processes.get(job) for job in jobs]
    codes = [process and process.poll() for process in known]
    return [
      'running' if process and code is None else code
      for process, code in zip(known, codes, strict=True)
    ]

  def stop(self, jobs: Sequence[str]) -> str:
    """Sends SIGTERM, at which trainers save and end, and SIGKILL at the next
    Ctrl-C."""
    running = [self._processes[job] for job in jobs]
    print(
      f'{len(running)} of the runs save and end, each after its step; Ctrl-C '
      'once more kills them',
      file=sys.stderr,
      flush=True,
    )
    try:
      for process in running:
        process.send_signal(signal.SIGTERM)
      for process in running:
        process.wait()
    except KeyboardInterrupt:
      for process in running:
        with contextlib.suppress(ProcessLookupError):
          os.killpg(process.pid, signal.SIGKILL)
        process.wait()
      return 'were killed, each goes on from its last checkpoint'
    return 'have ended'


class Slurm:
  """Jobs of a SLURM cluster, through submitit. All nodes need the folders and
  the Python of the sweep; submitit leaves pickles in the cells' folders."""

  every = 5.0

  def __init__(self, on: Mapping[str, str], retries: int, cluster='slurm'):
    self._submitit = import_extra('submitit')
    self._cluster = cluster
    self._parameters = {
      'ntasks_per_node': 1,
      'additional_parameters': {'signal': recipes.SIGNAL, 'requeue': True},
      'teardown': recipes.requeue(retries),
      **{key: int(x) if x.isdigit() else x for key, x in on.items()},
    }

  def start(self, command: Sequence[str], folder: Path) -> str:
    """See Executor."""
    if self._cluster == 'slurm':
      _on_path('sbatch')
    jobs = (folder / 'jobs').resolve()
    executor = self._submitit.AutoExecutor(jobs, self._cluster)
    named = {'job_name': folder.name[:60], **self._parameters}
    executor.update_parameters(**{f'slurm_{k}': x for k, x in named.items()})
    job = executor.submit(run_attempt, list(command), str(folder.resolve()))
    return f'{job.job_id} {jobs}'

  def preview(self, command: Sequence[str], folder: Path) -> str:
    """See Executor."""
    return f'# {self._parameters}\n{shlex.join(command)}'

  def states(self, jobs: Sequence[str]) -> list[State]:
    """From squeue, which needs no accounting, and from the results of jobs."""
    queue = _output('squeue', '--noheader', '--format=%i %T',
                    f'--user={getpass.getuser()}')  # fmt: skip
    queued = dict(line.split() for line in queue.splitlines())
    return [self._state(job, queued) for job in jobs]

  def _state(self, job: str, queued: dict[str, str]) -> State:
    job_id, folder = job.split(' ', 1)
    if state := queued.get(job_id):
      return 'running' if state in ('RUNNING', 'COMPLETING') else 'queued'
    left = self._submitit.SlurmJob(folder, job_id)
    if not left.paths.result_pickle.exists():
      return None
    return 1 if left.exception() else 0

  def stop(self, jobs: Sequence[str]) -> str:
    """Leaves them running on the cluster."""
    return 'go on'


def run_attempt(command: Sequence[str], folder: str) -> None:
  """Runs the command on each host of a SLURM job. A preempted run leaves no
  result, and the batch script requeues it."""
  rank = os.environ.get('SLURM_PROCID', '0')
  log = LOG if rank == '0' else f'log.{rank}.txt'
  # SLURM signals the trainer as well; submitit makes this process ignore it.
  status = _process(command, Path(folder), log).wait()
  if status == RESTART:
    sys.exit(RESTART)
  if status:
    raise RuntimeError(f'the trainer ended with status {status}')


class Sky:
  """Managed jobs of SkyPilot, through its command `sky`. A job whose machine is
  lost restarts on another, so its run is in a bucket."""

  every = 30.0

  def __init__(self, on: Mapping[str, str], retries: int):
    self._on, self._retries = on, retries

  def start(self, command: Sequence[str], folder: Path) -> str:
    """See Executor. The task file stays in the folder."""
    _on_path('sky')
    recipe = self._recipe(command, folder)
    (folder / recipe.file).write_text(recipe.text, encoding='utf-8')
    recipes.submit(recipe).check_returncode()
    return recipe.file.removesuffix('.yaml')

  def preview(self, command: Sequence[str], folder: Path) -> str:
    """See Executor."""
    return recipes.preview(self._recipe(command, folder))

  def _recipe(self, command, folder: Path) -> recipes.Recipe:
    cell = sha256(str(folder.resolve()).encode()).hexdigest()[:12]
    again = len(list(folder.glob('*.yaml')))
    remote = ['python', *command[1:]]
    return recipes.sky(f'cell-{cell}-{again}', remote, self._on, self._retries)

  def states(self, jobs: Sequence[str]) -> list[State]:
    """From the queue of SkyPilot."""
    queue = json.loads(
      _output('sky', 'jobs', 'queue', '--all', '--output=json')
    )
    status = {record['job_name']: record['status'] for record in queue}
    return [_sky_state(status.get(job)) for job in jobs]

  def stop(self, jobs: Sequence[str]) -> str:
    """Leaves them running in the cloud."""
    return 'go on'


EXECUTORS: dict[str, Callable[[Mapping[str, str], int], Executor]] = {
  'local': Local,
  'slurm': Slurm,
  'sky': Sky,
}


def import_extra(package: str) -> ModuleType:
  """Imports a package of the extra `sweep`. ValueError where it is missing."""
  try:
    return importlib.import_module(package)
  except ModuleNotFoundError as error:
    if error.name != package:
      raise
    raise ValueError(str(missing('sweep', package))) from None


def _on_path(command: str) -> None:
  if not shutil.which(command):
    raise ValueError(f'--executor: there is no command {command} here')


def _process(command, folder: Path, log: str, **kwargs) -> subprocess.Popen:
  """Starts a trainer. Its output is appended to the log, which may have that of
  an earlier try; all cells share a compilation cache."""
  cache = (folder.parents[1] / 'jax_cache').resolve()
  env = {'JAX_COMPILATION_CACHE_DIR': str(cache), **os.environ}
  with (folder / log).open('a', encoding='utf-8') as file:
    return subprocess.Popen(
      command, stdout=file, stderr=file, env=env, **kwargs
    )


def _output(*command: str) -> str:
  done = subprocess.run(command, capture_output=True, text=True, check=True)
  return done.stdout


def _sky_state(status: str | None) -> State:
  if status is None:
    return None
  if status == 'SUCCEEDED':
    return 0
  if status.startswith(('FAILED', 'CANCELL')):
    return 1
  return 'running' if status in ('RUNNING', 'RECOVERING') else 'queued'
