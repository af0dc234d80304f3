"""What is kept of a file, and what comes of it when it is broken."""

import json
import logging

import pytest

from hybrid_latent.data.array_records import records

ROWS = [{'question': f'{i}' * 400, 'answer': i} for i in range(40)]


@pytest.fixture
def file(tmp_path):
  path = tmp_path / 'train.jsonl'
  path.write_text('\n'.join(map(json.dumps, ROWS)))
  return path


def read(file, folder):
  _, source = records(file, str(folder))
  return [json.loads(source[i]['json']) for i in range(len(source))]


BREAK = {
  'cut': ('*array_record*', lambda path: path.write_bytes(b'x' * 100)),
  'empty': ('*array_record*', lambda path: path.write_bytes(b'')),
  'gone': ('*array_record*', lambda path: path.unlink()),
  'no index': ('dataset_info.json', lambda path: path.unlink()),
  'a garbled index': ('dataset_info.json', lambda path: path.write_text('{')),
  'no features': ('features.json', lambda path: path.unlink()),
  'garbled features': ('features.json', lambda path: path.write_text('[')),
}


@pytest.mark.parametrize('how', BREAK)
def test_what_is_broken_is_made_again(how, file, tmp_path):
  made = tmp_path / 'made'
  assert read(file, made) == ROWS
  pattern, broken = BREAK[how]
  (path,) = made.rglob(pattern)
  broken(path)
  assert read(file, made) == ROWS
  assert read(file, made) == ROWS


def test_rows_stay_in_memory_where_nothing_can_be_kept(file, tmp_path, caplog):
  (tmp_path / 'made').write_text('in the way')
  with caplog.at_level(logging.WARNING):
    assert read(file, tmp_path / 'made') == ROWS
  (said,) = [m for m in caplog.messages if 'cannot be written' in m]
  assert said.startswith(f'{tmp_path}/made cannot be written')
  assert 'TFDS_DATA_DIR' in said
