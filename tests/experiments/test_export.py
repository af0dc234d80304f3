"""A model from any checkpoint of a run."""

import numpy as np
import pytest

from experiments.export import export
from hybrid_latent.formats.pretrained import pretrained
from hybrid_latent.trees import named_leaves
from tests.experiments.runs import saved


@pytest.mark.parametrize(('which', 'step'), [('3', 3), ('latest', 4)])
def test_the_adapters_of_that_step_are_merged(
  hrpo, model_folder, tmp_path, which, step
):
  assert export(str(hrpo.folder), which, tmp_path / 'model') == step
  after = named_leaves(pretrained(tmp_path / 'model').model)
  before = named_leaves(pretrained(model_folder).model)
  trained = saved(hrpo.folder, step)
  a, b = (trained[f'0.model.layers.q.lora.{x}'] for x in 'ab')
  expected = before['layers.q.weight'] + 2.0 * b @ a  # alpha / rank
  np.testing.assert_allclose(after['layers.q.weight'], expected, atol=1e-6)
  np.testing.assert_array_equal(after['embedding'], before['embedding'])


@pytest.mark.parametrize(
  ('workdir', 'which', 'told'),
  [
    ('', '7', r"--step=7: write one of \['latest', 3, 4\]"),
    ('', 'best', r"--step=best: write one of \['latest', 3, 4\]"),
    ('elsewhere', 'latest', 'elsewhere has no checkpoints'),
  ],
)
def test_what_is_not_there_is_told(hrpo, tmp_path, workdir, which, told):
  with pytest.raises(ValueError, match=told):
    export(workdir or str(hrpo.folder), which, tmp_path / 'model')
  assert not any(tmp_path.iterdir())
