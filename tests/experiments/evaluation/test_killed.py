"""A killed evaluation, started again, writes what one go writes."""

import signal

import pytest

from experiments.evaluation.record import read_record
from tests.experiments import ways_tiny
from tests.experiments.processes import finished, started

pytestmark = pytest.mark.slow


def test_samples_are_equal(model_folder, tmp_path):
  """With the latents of other problems, which depend on the batch."""
  reasoner = ways_tiny.new_reasoner(tmp_path / 'one', model_folder, 1)

  def command(workdir):
    return [
      *('-m', 'experiments.evaluate', f'--workdir={workdir}'),
      f'--config=tests/experiments/ways_tiny.py:{model_folder}',
      f"--config.evaluate.reasoners=('lrt={reasoner}',)",
      '--config.evaluate.modes=latent',
      '--config.evaluate.controls=other_problem',
    ]

  whole, stopped = tmp_path / 'whole', tmp_path / 'stopped'
  finished(command(whole), tmp_path, devices=2)
  shards = lambda: len([*stopped.glob('parts/*/*.jsonl')])
  for count in 1, 7:
    with started(command(stopped), tmp_path, devices=2) as run:
      run.wait_for(lambda count=count: shards() >= count)
      run.processes[0].send_signal(signal.SIGKILL)
      assert run.codes() == [-signal.SIGKILL], run.said()
  assert not (stopped / 'samples.jsonl').exists()
  finished(command(stopped), tmp_path, devices=2)
  expected = (whole / 'samples.jsonl').read_bytes()
  assert (stopped / 'samples.jsonl').read_bytes() == expected
  arms = {row['arm'] for row in read_record(whole)}
  assert arms == {f'lrt/latent/{budget}{control}' for budget in (10, 20)
                  for control in ('', '/other_problem')}  # fmt: skip
