"""Processes that are one run: two real ones, and what one knows alone.

    python tests/test_cluster.py FOLDER

is each of the two.
"""

import os
import signal
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hybrid_latent import cluster, processes, sharding
from hybrid_latent.checkpoint import Checkpoints
from tests.experiments.processes import alive, child, started

ROWS = np.arange(24, dtype=np.float32).reshape(8, 3)  # of both hosts
WEIGHT = np.arange(32, dtype=np.float32).reshape(4, 8)
SUPERVISED = """
import os, signal, sys, time
from hybrid_latent import cluster, processes
if not processes.is_child():
  sys.exit(processes.supervised('runs/x'))
"""
WAITS = """
with processes.ending_together('runs/x'):
  cluster.preemption_requested(0)
  print('begun', flush=True)
  while not cluster.preemption_requested(1):
    time.sleep(0.01)
  raise cluster.Preempted(1, 'runs/x')
"""
GIVEN = {
  'JAX_COORDINATOR_ADDRESS': 'localhost:1',
  'JAX_NUM_PROCESSES': '2',
  'JAX_PROCESS_ID': '0',
}


@pytest.mark.parametrize(
  ('environ', 'several'),
  [
    ({}, False),
    (GIVEN, True),
    ({'JAX_PROCESS_ID': '0'}, True),  # which `join` refuses
    ({'SLURM_NTASKS': '1'}, False),
    ({'SLURM_NTASKS': '4'}, True),
    ({'TPU_WORKER_HOSTNAMES': 'localhost'}, False),
    ({'TPU_WORKER_HOSTNAMES': '10.0.0.1,10.0.0.2'}, True),
    ({'HYBRID_LATENT_DISTRIBUTED': '0'}, False),
    ({'HYBRID_LATENT_DISTRIBUTED': '1'}, True),
  ],
)
def test_the_environment_says_whether_there_are_others(environ, several):
  assert processes.expected(environ) == several


@pytest.mark.parametrize('missing', GIVEN)
def test_half_an_address_is_refused(missing):
  environ = {name: x for name, x in GIVEN.items() if name != missing}
  with pytest.raises(ValueError, match=rf"set \['{missing}'\] too, or none"):
    processes.join(environ)


@pytest.mark.parametrize(
  ('number', 'code', 'cause'),
  [(signal.SIGTERM, 75, 'SIGTERM'), (signal.SIGINT, 130, 'Ctrl-C')],
)
def test_a_process_alone_is_told_by_a_signal(number, code, cause, capsys):
  before = signal.getsignal(number)
  with pytest.raises(SystemExit) as end, processes.ending_together('runs/x'):
    assert not cluster.preemption_requested(4)
    assert not cluster.preemption_requested(5)
    os.kill(os.getpid(), number)
    assert cluster.preemption_requested(6)
    raise cluster.Preempted(6, 'runs/x')
  assert end.value.code == code
  assert cluster.RESTART == 75
  said = capsys.readouterr().err
  assert f'{cause}: saved step 6 in runs/x, exit code {code}' in said
  assert signal.getsignal(number) == before


def test_an_error_of_a_process_alone_is_its_own():
  with pytest.raises(KeyError), processes.ending_together('runs/x'):
    raise KeyError('x')


@pytest.fixture(scope='module')
def two(tmp_path_factory):
  """What two processes leave behind, and what they said."""
  folder = tmp_path_factory.mktemp('two')
  with started([__file__, folder], folder, processes=2, devices=4) as run:
    assert run.codes() == [cluster.RESTART] * 2, run.said()
    return folder, run.said()


def test_two_processes_share_arrays_and_end_at_the_same_step(two):
  _, said = two
  ends = [line for line in said.splitlines() if 'SIGTERM: saved' in line]
  assert len(ends) == 2
  assert len({*ends}) == 1


def test_a_checkpoint_of_two_processes_is_read_by_one(two):
  checkpoints = Checkpoints(f'{two[0]}/checkpoints')
  place = placed(sharding.mesh(data=2, fsdp=2, tensor=2))
  like = {'weight': jax.device_put(jnp.zeros_like(WEIGHT), place)}
  found = checkpoints.restore(7, like)['weight']
  notes = checkpoints.notes(7)
  checkpoints.close()
  assert notes == {'of': 'both'}
  assert found.sharding == place
  np.testing.assert_array_equal(found, WEIGHT)


@pytest.mark.parametrize(
  ('how', 'code', 'said'),
  [
    ('sys.exit(3)', 3, ''),
    ('os.kill(os.getpid(), signal.SIGKILL)', 75,
     'ended by SIGKILL: this process was killed, or another process of the run '
     'was lost (see its log). The same command resumes from the last '
     'checkpoint in runs/x; exit code 75\n'),
  ],
)  # fmt: skip
def test_a_command_ends_as_its_child_does(how, code, said, tmp_path):
  with started(['-c', SUPERVISED + how], tmp_path) as run:
    assert run.codes() == [code]
  assert run.logs[0].read_text() == said


@pytest.mark.parametrize(
  ('number', 'ends'),
  [(signal.SIGTERM, 75), (signal.SIGINT, 130), (signal.SIGKILL, -9)],
)
def test_a_command_that_ends_takes_its_child_along(number, ends, tmp_path):
  with started(['-c', SUPERVISED + WAITS], tmp_path) as run:
    run.wait_for(lambda: 'begun' in run.said())
    trainer = child(run.processes[0])
    run.processes[0].send_signal(number)
    assert run.codes() == [ends]
    end = time.monotonic() + 10
    while alive(trainer) and time.monotonic() < end:
      time.sleep(0.01)
    assert not alive(trainer)


def placed(mesh):
  """The sharding of WEIGHT."""
  return sharding.shardings(WEIGHT, lambda _: 'v d', mesh)


def two_hosts(folder):
  """One of them: rows to the devices and back, a checkpoint by both, and one
  of the two is told to end."""
  processes.join()
  host = jax.process_index()
  ours = {
    'rows': ROWS[host * 4 :][:4],
    'uneven': ROWS[host * 3 :][:3],  # four devices do not divide them
    'one': ROWS[host:][:1],
    'scalar': np.float32(3),
  }
  whole = {'rows': ROWS, 'uneven': ROWS[:6], 'one': ROWS[:2]}
  by_host = sharding.mesh(data=2, fsdp=2)
  across = sharding.mesh(data=1, fsdp=2, tensor=2)
  for mesh in by_host, across, sharding.mesh(data=1, tensor=4):
    there = sharding.from_host(ours, mesh)
    for name, x in whole.items():
      assert there[name].shape == x.shape
      np.testing.assert_array_equal(jnp.sum(there[name], 0), x.sum(0))
    jax.tree.map(np.testing.assert_array_equal, sharding.to_host(there), ours)
  first = {s.data.shape for s in there['rows'].addressable_shards}
  assert first == {(8, 3)}
  gathered = cluster.all_rows({'rows': ours['rows'], 'one': ours['one']})
  for name, x in gathered.items():
    np.testing.assert_array_equal(x, whole[name])
  assert sharding.over_hosts(np.max, 10 + host) == 11
  assert sharding.over_hosts(np.min, 10 + host) == 10

  weight = jax.make_array_from_callback(
    WEIGHT.shape, placed(sharding.mesh(data=1, fsdp=4)), WEIGHT.__getitem__
  )
  assert {s.data.shape for s in weight.addressable_shards} == {(4, 2)}
  checkpoints = Checkpoints(f'{folder}/checkpoints')
  checkpoints.save(7, {'weight': weight}, {'of': 'both'})
  checkpoints.close()

  with processes.ending_together(folder):
    for step in range(1000):
      if host and step == 2:
        os.kill(os.getpid(), signal.SIGTERM)
      if cluster.preemption_requested(step):
        raise cluster.Preempted(step, folder)
      time.sleep(0.01)


if __name__ == '__main__':
  two_hosts(sys.argv[1])
