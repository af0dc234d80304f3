"""A file of one's own and nothing else: it trains."""

import json

import pytest

from tests.experiments import rl_tiny
from tests.experiments.runs import steps, trained


@pytest.mark.slow
def test_plain_rows_train_and_their_columns_reach_a_reward(
  model_folder, tmp_path
):
  rows = [
    {'prompt': f'What is {i} + 1?', 'target': i + 1, 'level': 'hard'}
    for i in range(8)
  ]
  file = tmp_path / 'mine.jsonl'
  file.write_text('\n'.join(map(json.dumps, rows)))
  config = rl_tiny.get_config(f'{model_folder},grpo').unlock()
  config.max_steps, config.eval.num_prompts = 2, 8
  config.data.function, config.data.path = 'jsonl:problems', str(file)
  config.data.kwargs = dict(task='gsm8k')
  config.rewards.digits.function = 'tests.experiments.rewards:hard_digits'
  run = trained(config.lock(), tmp_path / 'run')
  assert run.evaluations == []
  written = steps(run.folder)
  assert len(written) == 2
  assert 0 < max(row['rewards/digits/mean'] for row in written) <= 0.5
