"""Several real processes tune a reasoner as one does, in either stage."""

import numpy as np
import pytest
from safetensors.numpy import load_file

from tests.experiments import lrt_tiny
from tests.experiments.processes import finished
from tests.experiments.runs import lines, timeless

pytestmark = pytest.mark.slow
# At a usual rate rounding grows, in the second stage into other samples.
OPTIONS = {
  'optimizer.groups.backbone.lr': 1e-5,
  'optimizer.groups.ends.lr': 1e-5,
  'eval.num_prompts': 6,
  # of those that process 0 has in any number of them
  'num_logged_completions': 1,
}


@pytest.fixture(scope='module', params=['sft', 'rl'])
def stage(request):
  return request.param


@pytest.fixture(scope='module')
def alone(stage, model_folder, tmp_path_factory):
  """One process with eight devices."""
  folder = tmp_path_factory.mktemp('alone')
  finished(command(model_folder, stage, folder), folder)
  return folder / 'run'


@pytest.mark.parametrize('hosts', [2, 4])
def test_several_processes_tune_as_one_does(
  hosts, stage, alone, model_folder, tmp_path
):
  words = command(model_folder, stage, tmp_path)
  finished(words, tmp_path, processes=hosts)
  ours, theirs = tmp_path / 'run', alone
  for path in alone.glob('*.jsonl'):
    assert_close(lines(ours / path.name), lines(path))
  ours, theirs = (
    load_file(folder / 'reasoner' / 'model.safetensors')
    for folder in (ours, theirs)
  )
  assert ours.keys() == theirs.keys()
  for name, x in theirs.items():
    np.testing.assert_allclose(ours[name], x, rtol=0, atol=1e-4, err_msg=name)


def command(model_folder, stage, folder) -> list[str]:
  """The trainer in FOLDER/run."""
  argument = f'{model_folder},{stage},{model_folder}'
  return [
    *('-m', 'experiments.lrt', f'--workdir={folder}/run'),
    f'--config={lrt_tiny.__file__}:{argument}',
    *[f'--config.{name}={value}' for name, value in OPTIONS.items()],
  ]


def assert_close(ours, theirs):
  """The same rows, up to rounding."""
  for row, expected in zip(timeless(ours), timeless(theirs), strict=True):
    assert row.keys() == expected.keys()
    for name, x in expected.items():
      if name.startswith('sampling/sampling_logp_difference'):
        continue  # rounding itself
      if isinstance(x, float):
        np.testing.assert_allclose(
          row[name], x, rtol=1e-3, atol=1e-5, err_msg=f'{row["step"]} {name}'
        )
      else:
        assert row[name] == x, name
