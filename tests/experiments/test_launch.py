"""What is handed to other machines, held as text, and that it does what it
says where that can be run here."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from experiments.launch import __main__ as launch
from experiments.launch import recipes
from hybrid_latent.cluster import RESTART

HERE = Path(__file__).parent / 'launch'
COMMAND = (
  *('python', '-m', 'experiments.grpo', '--workdir=gs://bucket/runs/hrpo'),
  '--config=experiments/configs/hrpo_gsm8k.py:gs://bucket/qwen 1.5b',
)
ON = {
  'slurm': 'partition=gpu,nodes=2,gpus_per_node=8,time=600',
  'sky': 'infra=gcp,accelerators=H100:8,num_nodes=2,use_spot=true',
  'sky_tpu': 'infra=gcp,accelerators=tpu-v6e-8',
  'xpk': 'cluster=pod,project=p,zone=us-east5-b,tpu_type=v5litepod-256,'
  'num_slices=2,docker_image=gcr.io/p/hybrid-latent',
  'gcloud': 'project=p,zone=us-east5-b',
}


def printed(capsys, monkeypatch, *flags):
  monkeypatch.setattr(sys, 'argv', ['launch', *flags])
  code = launch.main()
  return code, capsys.readouterr()


@pytest.mark.parametrize('case', ON)
def test_a_dry_run_prints_what_would_be_handed_over(case, capsys, monkeypatch):
  """After a change that is meant: write what the test shows into the file."""
  code, out = printed(
    *(capsys, monkeypatch, f'--on={case.partition("_")[0]}', '--name=hrpo'),
    *(f'--machine={ON[case]}', '--retries=9', '--dry-run', '--', *COMMAND),
  )
  assert code == 0
  assert out.out == (HERE / f'{case}.txt').read_text()


@pytest.mark.parametrize(
  ('flags', 'told'),
  [
    (['--on=xpk', '--', 'x'], 'write --machine="cluster=...'),
    (['--on=gcloud', '--', 'x'], 'write --machine="zone=...'),
    (['--on=slurm', '--machine=nodes', '--', 'x'], "'nodes': write 'key=value"),
    (['--on=slurm'], 'write the command after --'),
    (['--on=moon', '--', 'x'], "invalid choice: 'moon'"),
  ],
)
def test_what_is_missing_is_told(flags, told, capsys, monkeypatch):
  try:
    code, out = printed(capsys, monkeypatch, *flags)
  except SystemExit as end:
    code, out = end.code, capsys.readouterr()
  assert code == 2 and told in out.err


def test_semicolons_let_a_value_have_commas():
  assert recipes.parse_machine('a=1,2;b=3') == {'a': '1,2', 'b': '3'}
  assert recipes.parse_machine('') == {}


def test_a_script_is_bash(tmp_path):
  on = recipes.parse_machine(ON['sky'])
  task = yaml.safe_load(recipes.sky('n', COMMAND, on, 1).text)
  assert task['resources']['use_spot'] is True
  slurm = recipes.slurm(
    'n', COMMAND, recipes.parse_machine(ON['slurm']), 1
  ).text
  for text in (task['run'], task['setup'], slurm):
    subprocess.run(['bash', '-n'], input=text, text=True, check=True)


def told_to_end(tmp_path, exits):
  """A stand-in for a trainer: ends with the next of these exit codes."""
  (tmp_path / 'codes').write_text(' '.join(map(str, exits)))
  code = (
    'import pathlib, sys\n'
    f'path = pathlib.Path({str(tmp_path / "codes")!r})\n'
    'first, *rest = path.read_text().split()\n'
    'path.write_text(" ".join(rest))\n'
    'sys.exit(int(first))'
  )
  return [sys.executable, '-c', code]


@pytest.mark.parametrize(
  ('exits', 'status', 'left'),
  [
    ([75, 75, 0, 1], 0, '1'),
    ([75, 3, 0], 3, '0'),
    ([75, 75, 75, 75], 75, '75'),
  ],
)
def test_a_tpu_vm_starts_again_what_was_told_to_end(
  tmp_path, exits, status, left
):
  recipe = recipes.gcloud(
    'n', told_to_end(tmp_path, exits), {'zone': 'z'}, retries=2
  )
  venv = tmp_path / 'hybrid-latent/.venv/bin'
  venv.mkdir(parents=True)
  (venv / 'activate').touch()
  inner = recipe.command[-1].removeprefix('--command=')
  env = {'HOME': str(tmp_path), 'PATH': '/usr/bin:/bin'}
  assert subprocess.run(['sh', '-c', inner], env=env).returncode == status
  assert (tmp_path / 'codes').read_text() == left


def test_a_pod_of_xpk_tells_the_trainer(tmp_path):
  """What XPK 1.16 puts around a command: a shell that passes SIGTERM on to the
  shell of the command."""
  trainer = (
    'import pathlib, signal, sys, time\n'
    f'signal.signal(signal.SIGTERM, lambda *_: sys.exit({RESTART}))\n'
    f'pathlib.Path({str(tmp_path / "up")!r}).touch()\n'
    'time.sleep(60)'
  )
  recipe = recipes.xpk(
    'n', [sys.executable, '-c', trainer], {'cluster': 'c'}, 1
  )
  inner = recipe.command[-1].removeprefix('--command=')
  around = (
    '_sigterm() (kill -SIGTERM $! 2>/dev/null;); trap _sigterm SIGTERM; '
    f'(export X=0 && {inner}) & PID=$!; '
    'while kill -0 $PID 2>/dev/null; do sleep 0.1; done; wait $PID; exit $?'
  )
  pod = subprocess.Popen(['bash', '-c', around])
  try:
    while not (tmp_path / 'up').exists():
      assert pod.poll() is None
      time.sleep(0.05)
    pod.send_signal(signal.SIGTERM)
    assert pod.wait(20) == RESTART
  finally:
    pod.kill()
