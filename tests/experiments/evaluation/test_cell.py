"""Shards of an arm on a data set."""

from typing import Any

from etils import epath

from experiments.evaluation.cell import Cell


def test_a_cut_shard_is_missing(tmp_path):
  unused: Any = None
  cell = Cell(unused, unused, epath.Path(tmp_path))
  whole, cut, empty = map(cell.shard, range(3))
  for path, text in (
    (whole, '{"shards": 3}\n{"prompt": 0}\n'),
    (cut, '{"shards": 3}\n{"prom'),
    (empty, ''),
  ):
    path.write_text(text)
  assert cell.is_complete()
  cell.remove_damaged()
  assert [path.exists() for path in (whole, cut, empty)] == [True, False, False]
  assert not cell.is_complete()
