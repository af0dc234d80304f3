"""What stands in examples/ runs as it stands."""

import runpy
from pathlib import Path

EXAMPLES = Path(__file__).parents[1] / 'examples'


def test_a_model_of_ones_own_is_sampled_and_scored(capsys):
  names = runpy.run_path(str(EXAMPLES / 'rollout_in_your_project.py'))
  sampled, again = names['trajectory'], names['scores']
  assert sampled.tokens.shape == (8, 24)
  assert 0 < sampled.latent.max() < 1
  assert abs(sampled.log_probs - again.log_probs).max() < 1e-5
  assert capsys.readouterr().out
