"""Each target finds its number, and the newest run of its command counts."""

import argparse
import json
from importlib import import_module

import pytest

from experiments.benchmarks import log_probs, targets
from experiments.benchmarks.records import Record, records, report
from experiments.benchmarks.targets import Target, cell, ratio

ABOUT = {'date': 'x', 'revision': '0123456789', 'device': 'cpu', 'cores': 2}
COMMAND = 'benchmarks.refill --rows=4'
FASTER = Target('speed', '>=', 2.0, COMMAND, cell('ratio', batch=8))


def kept(monkeypatch, path, options, rows, name='benchmarks.refill'):
  """The file after a run of a benchmark with these options."""
  monkeypatch.setattr('sys.argv', ['x', *options.split()])
  report(argparse.Namespace(out=path), name, rows, ABOUT)
  return records(path)


def test_the_newest_table_of_the_same_command_counts(monkeypatch, tmp_path):
  path, run = tmp_path / 'new' / 'cpu.jsonl', '--rows=4 --repeats=2'
  found = kept(monkeypatch, path, run, [{'batch': 8, 'ratio': 3.0}])
  found = kept(
    monkeypatch, path, f'--out {path} --rows 4', [
      {'batch': 1, 'ratio': 9.0}, {'batch': 8, 'ratio': 1.5}]
  )  # fmt: skip
  # Other options, another benchmark, and a table without the number.
  other = [{'batch': 8, 'ratio': 7.0}]
  kept(monkeypatch, path, '--rows=4 --vocab=9', other)
  kept(monkeypatch, path, '--rows=4', other, 'benchmarks.decode')
  found = kept(monkeypatch, path, '--rows=4', [{'batch': 2, 'ratio': 7.0}])
  assert len(found) == 5
  (row,) = targets.rows([FASTER], found)
  assert row['measured'] == 1.5 and row['outcome'] == 'missed'
  assert (row['target'], row['commit']) == ('≥ 2', '0123456')
  assert (row['hardware'], row['command']) == ('2 CPU cores', f'`{COMMAND}`')


@pytest.mark.parametrize(
  ('relation', 'value', 'outcome'),
  [('>=', 2.0, 'reached'), ('>=', 1.99, 'missed'),
   ('<=', 2.0, 'reached'), ('<=', 2.01, 'missed')],
)  # fmt: skip
def test_a_limit_is_reached_where_it_is_equal(relation, value, outcome):
  line = f'python -m experiments.{COMMAND}'
  table = [{'batch': 8, 'ratio': value}]
  record = Record('benchmarks.refill', line, ABOUT, table)
  target = FASTER._replace(relation=relation)
  assert targets.rows([target], [record])[0]['outcome'] == outcome
  assert targets.rows([target], [])[0]['outcome'] == '–'


def test_a_ratio_needs_both_numbers():
  speed = ratio(cell('s', of='plain'), cell('s', of='gated'))
  plain = {'of': 'plain', 's': 3.0}
  assert speed([{'of': 'gated', 's': 2.0}, plain]) == 1.5
  assert speed([plain]) is None and speed([plain, {'of': 'gated'}]) is None


def test_the_file_of_an_accelerator_is_a_table(tmp_path):
  path, about = tmp_path / 'device.json', ABOUT | {'small': False}
  parts = {
    'decode': {'rows': [{'batch': 64, 'share of the floor': 0.7}]},
    'update': {'status': 'failed'},
  }
  outcomes = lambda: {
    row['what'].partition(': ')[2]: row['outcome']
    for row in targets.rows(targets.TARGETS, records(path))
    if row['command'] == '`benchmarks.device`'
  }
  path.write_text(json.dumps({'about': about, 'parts': parts}))
  found = outcomes()
  assert found['decoding, 1.5B, batch 64, share of the floor'] == 'reached'
  assert found['update, MFU'] == '–'
  path.write_text(
    json.dumps({'about': about | {'small': True}, 'parts': parts})
  )
  assert {*outcomes().values()} == {'–'}


@pytest.mark.parametrize('command', targets.COMMANDS)
def test_the_options_of_a_command_exist(command):
  name, *options = command.split()
  module = import_module(f'experiments.{name}')
  parser = getattr(module, '_parser', None)
  parse = parser().parse_args if parser else module._flags
  assert parse([*options, '--out=x']).out


def test_chunks_of_logits_have_their_numbers():
  flags = argparse.Namespace(
    lengths=(2048, 8192), vocab=128, width=16, chunk=128, memory=1, repeats=1
  )
  line = 'python -m experiments.benchmarks.log_probs'
  table = [*log_probs.rows(flags)]
  found = targets.rows(
    targets.TARGETS, [Record('benchmarks.log_probs', line, ABOUT, table)]
  )
  rows = [row for row in found if row['command'] == '`benchmarks.log_probs`']
  assert len(rows) == 4 and all(row['measured'] > 0 for row in rows)
  small, large = (row['chunks, GiB'] / row['full, GiB'] for row in table)
  assert large < small < 0.5


def test_the_page_keeps_what_is_around_the_table():
  page = targets.PAGE.read_text()
  assert page.count(targets.BEGIN) == page.count(targets.END) == 1
