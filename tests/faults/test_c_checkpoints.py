"""Checkpoints that something has damaged: what is wrong with which file, and
the newest whole step instead."""

import json
import logging
import re
import shutil
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest

from hybrid_latent.checkpoint import Checkpoints

STATE = {'w': jnp.arange(4096.0), 'layers': {'b': jnp.ones((3, 5))}}
LIKE = {'w': jnp.zeros(4096), 'layers': {'b': jnp.zeros((3, 5))}}
NOTES = {'config': '{"seed": 7}', 'data': {'next': 3}}
BOOKKEEPING = '_CHECKPOINT_METADATA', 'commit_success.txt'  # Orbax's own


@pytest.fixture(scope='module')
def run(tmp_path_factory):
  """Two steps of one run."""
  folder = tmp_path_factory.mktemp('run')
  checkpoints = Checkpoints(str(folder), keep=3, best='eval/x')
  for step in 1, 2:
    checkpoints.save(step, scaled(step), NOTES, {'eval/x': -step})
  checkpoints.close()
  return folder


@pytest.fixture
def folder(run, tmp_path):
  """A copy of it to damage."""
  return Path(shutil.copytree(run, tmp_path / 'checkpoints'))


def scaled(by):
  return {'w': by * STATE['w'], 'layers': {'b': by * STATE['layers']['b']}}


def files(step: Path) -> list[Path]:
  return sorted(path for path in step.rglob('*') if path.is_file())


def flip(path: Path, at: float = 0.5) -> None:
  content = bytearray(path.read_bytes())
  content[int(at * (len(content) - 1))] ^= 4
  path.write_bytes(content)


def some_array(step: Path) -> Path:
  """The largest file, which holds numbers."""
  return max(files(step), key=lambda path: path.stat().st_size)


def cut(path: Path) -> None:
  path.write_bytes(path.read_bytes()[:-7])


def emptied(step: Path) -> None:
  shutil.rmtree(step)
  step.mkdir()


def replaced(step: Path) -> None:
  shutil.rmtree(step)
  shutil.copytree(step.parent / '1', step)


def redigest(step: Path, edit) -> None:
  path = step / 'digests/digests.json'
  saved = json.loads(path.read_text())
  path.write_text(json.dumps({x: edit(x, *saved[x]) for x in saved}))


KINDS = {
  'one flipped bit': (
    lambda step: flip(some_array(step)),
    r'state/.* has other content than was saved',
  ),
  'a cut array': (
    lambda step: cut(some_array(step)),
    r'state/.* has \d+ bytes, and \d+ were saved',
  ),
  'a missing part': (
    lambda step: some_array(step).unlink(),
    r'state/.* is missing',
  ),
  'all arrays missing': (
    lambda step: shutil.rmtree(step / 'state'),
    'state/_METADATA is missing',
  ),
  'garbled notes': (
    lambda step: (step / 'notes/metadata').write_text('{"config": '),
    'notes/metadata is not a JSON object',
  ),
  'notes that are a list': (
    lambda step: (step / 'notes/metadata').write_text('[]'),
    'notes/metadata is not a JSON object',
  ),
  'notes that are not UTF-8': (
    lambda step: (step / 'notes/metadata').write_bytes(b'\xff\xfe{}'),
    'notes/metadata is not a JSON object',
  ),
  'other notes': (
    lambda step: flip(step / 'notes/metadata'),
    'notes/metadata ',
  ),
  'notes missing': (
    lambda step: shutil.rmtree(step / 'notes'),
    'notes/metadata is missing',
  ),
  'an empty newest folder': (emptied, '_CHECKPOINT_METADATA is missing'),
  'names of arrays garbled': (
    lambda step: (step / 'state/_METADATA').write_text('null'),
    'state/_METADATA is not a JSON object',
  ),
  'metadata missing': (
    lambda step: (step / '_CHECKPOINT_METADATA').unlink(),
    '_CHECKPOINT_METADATA is missing',
  ),
  'metadata garbled': (
    lambda step: (step / '_CHECKPOINT_METADATA').write_text('{{'),
    '_CHECKPOINT_METADATA is not a JSON object',
  ),
  'garbled metrics': (
    lambda step: (step / 'metrics/metrics').write_text('{"eval/x": '),
    'metrics/metrics is not a JSON object',
  ),
  'digests missing': (
    lambda step: (step / 'digests/digests.json').unlink(),
    'digests/digests.json is missing',
  ),
  'digests garbled': (
    lambda step: (step / 'digests/digests.json').write_text('{"a": 3}'),
    'digests/digests.json is not what was saved',
  ),
  'a digest that is no text': (
    lambda step: redigest(step, lambda name, size, digest: [size, []]),
    'digests/digests.json is not what was saved',
  ),
  'the folder of another step': (replaced, 'it was saved as step 1'),
  'digests of nothing': (
    lambda step: (step / 'digests/digests.json').write_text('{}'),
    'digests/digests.json is not what was saved',
  ),
}


@pytest.mark.parametrize('kind', KINDS)
def test_the_newest_whole_step_is_taken(folder, kind, caplog, now):
  damage, told = KINDS[kind]
  damage(folder / '2')
  checkpoints = Checkpoints(str(folder), best='eval/x')
  with caplog.at_level(logging.WARNING, 'hybrid_latent'):
    assert checkpoints.latest == 1
  assert 'step 1 is the newest whole checkpoint; delete what is' in caplog.text
  assert re.search(rf'{re.escape(str(folder))}/2: {told}', caplog.text)
  for read in checkpoints.notes, checkpoints.names:
    with pytest.raises(ValueError, match=rf'/2 is broken: {told}') as error:
      read(2)
  with pytest.raises(ValueError, match=told):
    checkpoints.restore(2, LIKE)
  now('a broken checkpoint', kind, error.value)
  assert checkpoints.best == 1
  assert checkpoints.notes(1) == NOTES
  same(checkpoints.restore(1, LIKE), 1)


def same(found, by):
  np.testing.assert_array_equal(found['w'], by * STATE['w'])
  np.testing.assert_array_equal(found['layers']['b'], np.full((3, 5), by))


@pytest.mark.parametrize('damage', [flip, cut, Path.unlink, 'emptied'])
def test_whatever_file_is_damaged_nothing_wrong_is_read(folder, damage):
  """Each in turn; those of Orbax's own that nobody reads may be."""
  unread = []
  for file in files(folder / '2'):
    before = file.read_bytes()
    if damage == 'emptied':
      file.write_bytes(b'')
    else:
      damage(file)
    checkpoints = Checkpoints(str(folder), best='eval/x')
    if checkpoints.latest == 2:
      unread.append(file.name)
      same(checkpoints.restore(2, LIKE), 2)
      assert checkpoints.notes(2) == NOTES
    file.write_bytes(before)
  assert {*unread} <= {*BOOKKEEPING}


def test_a_run_goes_on_beside_what_is_broken(folder, now):
  """It is out of the way of the same step, and nothing of it is lost."""
  flip(some_array(folder / '2'))
  (folder / '12.tmp').mkdir()
  (folder / '0007').mkdir()
  (folder / '9.orbax-checkpoint-tmp').mkdir()
  checkpoints = Checkpoints(str(folder), keep=3)
  checkpoints.save(2, scaled(5), NOTES)
  checkpoints.close()
  same(Checkpoints(str(folder)).restore(2, LIKE), 5)
  left = sorted(path.name for path in folder.iterdir())
  assert left == ['0007', '1', '12.tmp', '2', '2.broken']
  now('a broken checkpoint', 'the run goes on from the one before', left)


def test_what_is_half_deleted_is_removed(folder, now):
  (folder / '1/state/_METADATA').unlink()
  checkpoints = Checkpoints(str(folder), keep=3)
  assert checkpoints.latest == 2
  checkpoints.save(3, STATE, NOTES)
  checkpoints.close()
  left = sorted(path.name for path in folder.iterdir())
  assert left == ['2', '3']
  now('a half-deleted checkpoint', 'the older one lost a file', left)


def test_a_run_never_begins_anew_over_broken_checkpoints(folder, now):
  emptied(folder / '1')
  flip(some_array(folder / '2'))
  checkpoints = Checkpoints(str(folder))
  wanted = (
    rf'no checkpoint in {re.escape(str(folder))} is whole:\n'
    rf'  .*/2: state/.* has other content than was saved\n'
    rf'  .*/1: _CHECKPOINT_METADATA is missing\n'
    'Delete that folder to begin again, or choose another --workdir'
  )
  with pytest.raises(ValueError, match=wanted) as error:
    checkpoints.latest  # noqa: B018
  now('a broken checkpoint', 'no step is whole', error.value)
  with pytest.raises(ValueError, match=wanted):
    checkpoints.save(3, STATE, NOTES)
  assert sorted(path.name for path in folder.iterdir()) == ['1', '2']


def test_a_figure_that_is_not_a_number_is_never_the_best(tmp_path, now):
  checkpoints = Checkpoints(str(tmp_path), keep=1, best='eval/x')
  for step, figure in enumerate([float('nan'), 0.5, float('nan'), 0.25], 1):
    checkpoints.save(step, STATE, NOTES, {'eval/x': figure})
  checkpoints.close()
  best = Checkpoints(str(tmp_path), best='eval/x').best
  now('a best step', 'eval/x of NaN, 0.5, NaN, 0.25', best)
  assert (best, checkpoints.steps) == (2, [2, 4])


def test_a_step_that_is_not_there_is_told(folder):
  with pytest.raises(ValueError, match=r'/5 is no checkpoint: .* \[1, 2\]'):
    Checkpoints(str(folder)).notes(5)


def test_looking_changes_nothing(folder):
  before = files(folder)
  (folder / '9.orbax-checkpoint-tmp').mkdir()
  checkpoints = Checkpoints(str(folder))
  assert (checkpoints.latest, checkpoints.steps) == (2, [1, 2])
  checkpoints.close()
  assert files(folder) == before
  assert (folder / '9.orbax-checkpoint-tmp').exists()
  absent = Checkpoints(str(folder / 'absent'))
  assert (absent.latest, absent.best, absent.steps) == (None, None, [])
  assert not (folder / 'absent').exists()


@pytest.fixture
def older(tmp_path):
  """As versions without digests wrote it."""
  manager = ocp.CheckpointManager(tmp_path / 'older')
  state = {'w': STATE['w'], 'layers.b': STATE['layers']['b']}
  manager.save(
    4,
    args=ocp.args.Composite(
      state=ocp.args.StandardSave(state), notes=ocp.args.JsonSave(NOTES)
    ),
  )
  manager.close()
  return tmp_path / 'older'


def test_an_older_checkpoint_is_read(older, caplog):
  checkpoints = Checkpoints(str(older))
  assert checkpoints.latest == 4
  with caplog.at_level(logging.WARNING, 'hybrid_latent'):
    same(checkpoints.restore(4, LIKE), 1)
  assert f'{older}/4 is of an older version: it has no digests' in caplog.text


@pytest.mark.parametrize('damage', [cut, Path.unlink])
def test_damage_to_an_older_checkpoint_is_a_sentence(older, damage, now):
  for file in files(older / '4/state'):
    if '/d/' in str(file):
      damage(file)
  with pytest.raises(ValueError, match=r'/4/state: .*: delete it') as error:
    Checkpoints(str(older)).restore(4, LIKE)
  assert '\n' not in str(error.value)
  now('a broken checkpoint of an older version', damage.__name__, error.value)
