"""What the command prints, writes and refuses."""

import csv
import json
import subprocess
import sys

import pytest

from experiments.evaluation.record import record_line
from experiments.measures import __main__ as command
from experiments.measures.formats import csv_text, latex_table, printable
from experiments.measures.results import by_name, read
from experiments.measures.tables import tables
from tests.experiments.measures.arms import BASE, HYREA, arm, given


def test_names_are_inert_in_every_format():
  hostile = 'a|b\x1b[31m\n&%_\\{'
  table = [{'arm': hostile, 'x': 0.123456}, {'arm': 'b', 'x': None, 'y': None}]
  assert printable(table) == [
    {'arm': 'a¦b�[31m�&%_\\{', 'x': 0.123456},
    {'arm': 'b', 'x': '–'},
  ]
  assert latex_table(table) == (
    '\\begin{tabular}{lr}\n\\toprule\narm & x \\\\\n\\midrule\n'
    'a\\textbar{}b?[31m?\\&\\%\\_\\textbackslash{}\\{ & 0.1235 \\\\\n'
    'b & -- \\\\\n'
    '\\bottomrule\n\\end{tabular}\n'
  )
  (first, second) = csv.DictReader(csv_text(table).splitlines(keepends=True))
  assert first == {'arm': hostile, 'x': '0.123456', 'y': ''}
  assert second['x'] == ''


@pytest.fixture
def folder(tmp_path):
  write(tmp_path / 'eval', [*BASE, *HYREA])
  return tmp_path / 'eval'


def write(folder, samples, answers=()):
  folder.mkdir()
  for name, rows in (('samples', samples), ('given', answers)):
    text = ''.join(map(record_line, rows))
    (folder / f'{name}.jsonl').write_text(text) if rows else None


def test_a_command_prints_the_tables_without_jax(folder, tmp_path):
  flags = '--record', str(folder), '--table=hyrea', f'--out={tmp_path}/out'
  code = (
    'import sys\nfrom experiments.measures import __main__\n'
    '__main__.main()\nassert "jax" not in sys.modules'
  )
  done = subprocess.run(
    [sys.executable, '-c', code, *flags], capture_output=True, text=True
  )
  assert done.returncode == 0, done.stderr
  assert '| hyrea | 0.8333 | 6 | 2 | 2 |' in done.stdout
  assert 'Not known for any arm: mcnemar_p' in done.stdout
  assert '## Controls of the latents\n\nThe record has no rows' in done.stdout
  files = {path.name for path in (tmp_path / 'out').iterdir()}
  names = 'hyrea', 'spans', 'paired_tests'
  assert files == {
    'tables.md', *(f'{n}.{x}' for n in names for x in ('csv', 'tex'))
  }  # fmt: skip
  assert (tmp_path / 'out/tables.md').read_text() in done.stdout


def test_all_tables_of_all_records(folder, tmp_path, capsys, monkeypatch):
  write(tmp_path / 'given', [], given('base', -1.0, -2.0))
  flags = ['--record', str(folder), str(tmp_path / 'given')]
  monkeypatch.setattr(sys, 'argv', ['measures', *flags])
  command.main()
  printed = capsys.readouterr().out
  assert all(f'## {title}\n' in printed for title in command.TITLES.values())
  json.dumps(tables(read(by_name(flags[1:]))))  # numbers of Python alone


def test_arms_of_two_records_begin_with_their_names(folder, tmp_path):
  write(tmp_path / 'other', arm('base', ['1', '1', '1', '0']))
  found = by_name([f'{folder}', f'{folder}/', str(tmp_path / 'other')])
  rows = read(found).samples
  assert [*dict.fromkeys(row['arm'] for row in rows)] == [
    *('eval/base', 'eval/hyrea', 'other/base'),
  ]  # fmt: skip
  assert len(rows) == len(BASE) + len(HYREA) + 4
  again = by_name([f'{folder}', f'{folder}/../eval'])
  assert len(read(again).samples) == len(BASE) + len(HYREA)
  assert [*by_name(['/x/eval', '/y/eval'])] == ['/x/eval', '/y/eval']


@pytest.mark.parametrize(
  ('flags', 'message'),
  [
    (['{0}', '--baseline=x'], "--baseline='x' is no arm without control: wri"),
    (['{0}/none'], 'none/samples.jsonl does not exist: write the --workdir'),
    (['{0}', '{0}/../more'], "prompt 0 of 'gsm8k' is 'How many?' for arm 'eva"),
    (['{0}/../none'], 'none have no rows: write an evaluation with at least'),
    (['{0}', '--out={0}/samples.jsonl'], 'samples.jsonl is no folder: write'),
    (['{0}/../twice'], "on 'gsm8k' has sample 0 of prompt 0 2 times: accepted"),
    (['{0}/../two'], "arm 'base' on 'gsm8k' has models ['base', 'other']: acc"),
  ],
)
def test_a_record_that_cannot_be(
  flags, message, folder, tmp_path, monkeypatch, capsys
):
  other = [BASE[0] | {'model': 'other'}, *BASE[1:]]
  write(tmp_path / 'two', other)
  write(tmp_path / 'twice', BASE * 2)
  write(tmp_path / 'more', arm('base', '1', question='Why?'))
  write(tmp_path / 'none', [])
  (tmp_path / 'none/samples.jsonl').write_text('')
  flags = ['--record', *(flag.format(folder) for flag in flags)]
  monkeypatch.setattr(sys, 'argv', ['measures', *flags])
  with pytest.raises(SystemExit, match='2'):
    command.main()
  assert message in capsys.readouterr().err
