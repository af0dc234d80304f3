"""The study that runs each method beside its relative."""

import json
from functools import partial

import pytest

from experiments.configs import states as config
from experiments.studies import hrpo_arms, methods, states
from experiments.studies.study import run_cell


@pytest.mark.slow
def test_every_method_runs_whole(tmp_path, monkeypatch):
  """A few steps of each, on real data."""
  monkeypatch.setattr(methods, 'Arm', partial(hrpo_arms.Arm, steps=2))
  short = {'worked': ('cot', 4, 'constant')}
  monkeypatch.setattr(hrpo_arms, 'BASES', short)
  monkeypatch.setitem(config.SIZES, 'whole', (8, 4, 1))
  monkeypatch.setattr(methods, 'STEPS', 2)
  for module in hrpo_arms, states:
    monkeypatch.setattr(module, 'PROBLEMS', 16)
  cells = [*methods.cells(1)]
  for cell in cells:
    run_cell(cell, tmp_path)
  files = (tmp_path / 'cells').iterdir()
  rows = [json.loads(x) for f in files for x in f.read_text().splitlines()]
  assert len(methods.table(rows)) == len(cells)
  controls = {row['arm'] for row in rows if row['control'] == 'other_problem'}
  assert {'SofT-GRPO', 'SIM-CoT', 'PCCoT', 'SwiReasoning'} <= controls
  assert {'CODI', 'CoLaR'} <= controls
  methods.figure(rows, tmp_path)
  assert (tmp_path / 'methods.png').stat().st_size > 10_000
