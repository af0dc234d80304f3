"""Every config makes a step, with a small model and short completions."""

import numpy as np
import pytest

from tests.experiments.runs import lines, steps, trained
from tests.experiments.test_configs import EVERY, built

QUICK = [('hyrea_rl_math', ',easyr1')]


@pytest.mark.parametrize(
  ('name', 'words'),
  [
    pytest.param(*one, marks=() if one in QUICK else pytest.mark.slow)
    for one in EVERY
  ],
)
def test_what_a_config_names_fits_together(name, words, model_folder, tmp_path):
  config = tiny(built(name, f'{model_folder}{words},smoke'))
  evaluations = trained(config, tmp_path).evaluations
  assert len(steps(tmp_path)) == config.steps
  if not config.steps:
    assert 0 < evaluations[0]['eval/hidden_ratio'] <= 1
    return
  (row,) = lines(tmp_path / 'metrics.jsonl')
  assert np.isfinite(list(row.values())).all()
  assert row['rewards/digits/std'] > 0
  assert row['grad_norm'] > 0
  assert {f'rewards/{name}/mean' for name in config.rewards} <= row.keys()
  if config.epochs * config.mini_batches == 1:
    # Times 1e4, which is what fuzzy does to logits, 1e-6 is much.
    limit = 0.1 if config.feedback.initial.get('temperature') == 1e-4 else 1e-3
    assert row['sampling/sampling_logp_difference/max'] < limit


def tiny(config):
  """As the config has it but for the data, in float32, with prompts that such a
  model can hold and a reward that it can earn."""
  config = config.unlock()
  config.steps = min(config.steps, 1)
  config.model.update(dtype='float32', param_dtype='float32')
  config.data.update(
    source='arithmetic:problems',
    train='train',
    test='test',
    system='',
    template=config.data.template and '{question}',
  )
  config.data.of = dict(count=16, steps=(1, 2), largest=20)
  del config.data.path
  config.rollout.update(prompt_length=64, max_tokens=48, stages=1)
  if config.rollout.thinking:  # a letter of it may end this model's rows
    config.rollout.closing.update(ended='####', cut='####')
  config.rewards.digits = dict(
    function='tests.experiments.rl_tiny:digits', weight=1.0, kwargs={}
  )
  config.grader.workers = 1
  return config.lock()
