"""The summary that a run prints at its end: its files and the next commands."""

import shlex

import jax

from .. import PACKAGE
from .loop import Loop, Metrics

_STEP_METRICS = ('loss', 'reward', 'entropy', 'kl', 'hidden_ratio')
_LEFT_OUT = (
  *('prompts', 'too_long', 'ungraded', 'judged', 'stage'),
  *('switches', 'latent_tokens'),
)


def print_summary(loop: Loop, workdir: str, *written: str) -> None:
  """Prints the summary in process 0; `written` are folders that the trainer
  wrote."""
  if jax.process_index():
    return
  rows = [*written, f'{workdir}/metrics.jsonl']
  if steps := loop.checkpoints.steps:
    rows.insert(-1, f'{workdir}/checkpoints, steps {steps}')
  chosen = {
    name: loop.metrics[name] for name in _STEP_METRICS if name in loop.metrics
  }
  evaluated = _means(loop.evaluations[-1]) if loop.evaluations else {}
  rows += [
    ', '.join(f'{name} {x:.4g}' for name, x in metrics.items())
    for metrics in (chosen, evaluated)
    if metrics
  ]
  rows += [
    f'curves and samples: {report_command(workdir)}',
    'more steps: the same command with '
    f'--config.max_steps={2 * loop.step or 100}',
  ]
  print(f'At step {loop.step}, the last one:', *rows, sep='\n  ', flush=True)


def report_command(runs: str) -> str:
  """The command that draws the runs of a folder, into report.html in it."""
  runs = shlex.quote(runs)
  return f'python -m {PACKAGE}.report --runs={runs} --out={runs}/report.html'


def _means(evaluation: Metrics) -> Metrics:
  """Its rewards and lengths; metrics.jsonl has all metrics."""
  return {
    name: x
    for name, x in evaluation.items()
    if name == 'eval/completions/mean_length'
    or (name.count('/') == 1 and name.rpartition('/')[2] not in _LEFT_OUT)
  }
