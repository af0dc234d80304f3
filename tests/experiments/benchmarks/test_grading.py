import json

import pytest

from experiments.benchmarks import grading
from experiments.benchmarks.hostile_texts import REPEATED, SMALL


def test_every_hostile_text_is_wrong_and_the_right_one_right(
  tmp_path, capsys, monkeypatch
):
  monkeypatch.setattr(grading, 'REPEATED', {'digits': REPEATED['digits']})
  monkeypatch.setattr(grading, 'SMALL', {'tower': SMALL['infinite tower']})
  out = tmp_path / 'grading.json'
  flags = ['--graders', 'math', '--lengths', '30', '--out', str(out)]
  grading.main(flags)
  row = json.loads(out.read_text())[0]
  assert (row['tried'], row['right'], row['ungraded']) == (25, 25, 0)
  assert 10 < row['peak'] < 4096
  assert '| math | 25 | 25 | 0 |' in capsys.readouterr().out


def test_an_unknown_grader_is_refused_and_the_known_ones_listed():
  with pytest.raises(SystemExit, match=r"--graders=nobody.*'knowledge'"):
    grading.main(['--graders', 'nobody'])


def test_the_speed_of_the_grader_is_printed(capsys):
  grading.main(['--groups', '1'])
  *_, row = capsys.readouterr().out.splitlines()
  assert float(row.split(' | ')[1].strip('| ')) > 0
