"""The command of a trainer in one working directory, as people start and stop
it."""

import json
import signal

import pytest

from tests.experiments.processes import newest, started
from tests.experiments.runs import lines

pytestmark = pytest.mark.slow
STEPS = 1000  # it is stopped long before


def command(model_folder, folder, *changes):
  """On rows of a file; it saves every other step."""
  config = f'experiments/configs/sft.py:{model_folder}'
  changes = (
    *('model.dtype=float32', 'model.param_dtype=float32', 'model.remat=none'),
    *(
      'batch_size=2',
      'gradient_accumulation_steps=1',
      'max_length=64',
      'buckets=1',
      'logits_chunk=64',
    ),
    *('rollout.max_prompt_length=32', 'rollout.max_completion_length=16'),
    *(f'data.path={folder}/data', f'max_steps={STEPS}', 'checkpoint.every=2'),
    *changes,
  )
  return [
    *('-m', 'experiments.sft', f'--workdir={folder}/run', f'--config={config}'),
    *[f'--config.{change}' for change in changes],
  ]


def refused(words, folder, told):
  """A command that says so, and changes nothing."""
  before = (folder / 'run/config.json').read_bytes()
  steps = newest(folder / 'run')
  with started(words, folder / 'refused', devices=1) as run:
    assert run.codes()[0] in (1, 2)
    assert told in run.said()
  assert (folder / 'run/config.json').read_bytes() == before
  assert newest(folder / 'run') >= steps


def test_a_run_among_others(model_folder, tmp_path, monkeypatch):
  """A second one is refused; Ctrl-C saves; another seed and other rows are
  refused; the same rows elsewhere go on to the same numbers."""
  monkeypatch.setenv('TFDS_DATA_DIR', str(tmp_path / 'prepared'))
  (tmp_path / 'data').mkdir()
  rows = [{'question': f'{x}+1?', 'answer': f'So {x + 1}\n#### {x + 1}'}
          for x in range(8)]  # fmt: skip
  text = ''.join(json.dumps(row) + '\n' for row in rows)
  (tmp_path / 'data/train.jsonl').write_text(text)
  words, workdir = command(model_folder, tmp_path), tmp_path / 'run'
  with started(words, tmp_path, devices=1) as run:
    run.wait_for(lambda: newest(workdir) >= 2)
    number = run.processes[0].pid
    refused(words, tmp_path, f'process {number}, since')
    run.processes[0].send_signal(signal.SIGINT)
    assert run.codes() == [130], run.said()
  step = newest(workdir)
  said = run.said()
  assert f'Ctrl-C: saved step {step} in {workdir}, exit code 130' in said
  assert 'Traceback' not in said
  assert [row['step'] for row in lines(workdir / 'metrics.jsonl')] == [
    *range(step)
  ]
  refused(command(model_folder, tmp_path, 'seed=9'), tmp_path,
          'config.seed: 42 then, 9 now')  # fmt: skip
  (tmp_path / 'data/train.jsonl').write_text(text.replace('7', '9'))
  refused(words, tmp_path, 'SHA-256')
  (tmp_path / 'data/train.jsonl').write_text(text)
  (tmp_path / 'data').rename(tmp_path / 'moved')
  changes = f'data.path={tmp_path}/moved', f'max_steps={step + 2}'
  words = command(model_folder, tmp_path, *changes)
  with started(words, tmp_path / 'again', devices=1) as run:
    assert run.codes() == [0], run.said()
  assert newest(workdir) == step + 2
  assert [row['step'] for row in lines(workdir / 'metrics.jsonl')] == [
    *range(step + 2)
  ]
  about = json.loads((workdir / 'config.json').read_text())
  assert about['config']['data']['path'] == f'{tmp_path}/moved'
