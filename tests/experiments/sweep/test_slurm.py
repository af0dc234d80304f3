"""A sweep on a real SLURM: that of SLURM_CONF, or one started for the test."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.experiments.runs import steps

ROOT = Path(__file__).parents[3]
SINGLE_NODE = ROOT / 'experiments/launch/slurm_single_node.sh'
TINY = ROOT / 'tests/experiments/rl_tiny.py'


@pytest.fixture
def slurm(tmp_path, monkeypatch):
  """An environment in which srun works."""
  if os.environ.get('SLURM_CONF'):
    yield
    return
  missing = [
    x for x in ('slurmctld', 'slurmd', 'munged') if not shutil.which(x)
  ]
  if missing or os.getuid():
    pytest.skip(f"needs root, and Debian's slurm-wlm and munge: {missing}")
  folder = tmp_path / 'slurm'
  monkeypatch.setenv('SLURM_CONF', f'{folder}/slurm.conf')
  monkeypatch.setenv('SLURM_PORT', '16817')
  subprocess.run(['bash', SINGLE_NODE, 'start', folder], check=True)
  yield
  subprocess.run(['bash', SINGLE_NODE, 'stop', folder], check=True)


@pytest.mark.slow
def test_a_job_that_is_told_to_end_is_queued_again(
  slurm, tmp_path, model_folder, monkeypatch
):
  """Two cells; the sweep is stopped and goes on, one of its jobs gets SIGTERM
  meanwhile. SLURM holds a job back for two minutes before it runs again."""
  pytest.importorskip('submitit', reason='the extra `sweep`')
  monkeypatch.setenv('PYTHONPATH', f'{ROOT}{os.pathsep}{ROOT / "kernels"}')
  monkeypatch.setenv('JAX_DISABLE_MOST_OPTIMIZATIONS', '1')
  command = [
    *(sys.executable, '-m', 'experiments.sweep', '--executor=slurm'),
    *(f'--config={TINY}:{model_folder},grpo', f'--workdir={tmp_path}/w'),
    *('--grid=config.seed=0,1', '--machine=cpus_per_task=1,time=30'),
    *('--config.max_steps=30', '--config.eval.every=100'),
  ]
  sweep = subprocess.Popen(command, cwd=ROOT)
  one, other = (tmp_path / f'w/cells/seed={seed}' for seed in (0, 1))
  while not ((one / 'metrics.jsonl').exists() and len(steps(one)) > 1):
    assert sweep.poll() is None
    time.sleep(0.5)
  sweep.terminate()
  assert sweep.wait() == 75
  job = json.loads((one / 'job.json').read_text())['job'].split()[0]
  subprocess.run(['scancel', '--signal=TERM', job], check=True)
  subprocess.run(command, cwd=ROOT, check=True)
  for folder in (one, other):
    assert [row['step'] for row in steps(folder)] == list(range(30))
    assert len(list((folder / 'jobs').glob('*_submission.sh'))) == 1
  shown = ['scontrol', 'show', 'job', job]
  assert 'Restarts=1' in subprocess.check_output(shown, text=True)
  assert 'SIGTERM: saved step' in (one / 'log.txt').read_text()
