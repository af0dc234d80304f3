"""What people and hostile inputs did to the project, and what happens now.

    python -m pytest tests/faults/test_a_*.py --table

A file test_<section>_<subject>.py holds rows of one section: a, grades; b, what
was accepted in silence; c, errors that named nothing; d, a new user's first
hour. Each test says with `now` what it tried and what came of it; `--table`
prints that as a table, whatever processes the tests ran in.
"""

import pytest

from tests.experiments.conftest import model_folder  # noqa: F401

HEADER = '| kind | tried | now |\n| --- | --- | --- |'


@pytest.fixture
def now(record_property):
  """(kind, what was tried, what happens now), a row of the table."""

  def row(kind: str, tried: object, happens: object) -> None:
    record_property('now', [str(kind), str(tried), str(happens)])

  return row


def pytest_terminal_summary(terminalreporter, config):
  if not config.getoption('--table'):
    return
  cell = lambda text: ' '.join(text.split()).replace('|', r'\|')
  terminalreporter.write_line(HEADER)
  for outcome in ('passed', 'failed'):
    for report in terminalreporter.getreports(outcome):
      for name, row in report.user_properties:
        if name == 'now':
          broken = 'FAILED: ' if outcome == 'failed' else ''
          cells = ' | '.join(map(cell, row))
          terminalreporter.write_line(f'| {broken}{cells} |')
