"""A new user's first hour with generate, entropy, evaluate and fragments."""

import pytest

from experiments.training import resumable_shards
from tests.faults.test_b_runs import tiny


def test_a_tool_that_fails_before_its_first_result_leaves_nothing(
  tmp_path, now
):
  begun = lambda seed: resumable_shards.validate_job(
    tiny(), resumable_shards.epath.Path(tmp_path / 'w/job.json'),
    {'config.seed': seed}, [], 'answers',
  )  # fmt: skip
  begun(3)
  now(
    'a failed tool poisons its folder', 'seed=3, then 4', [*tmp_path.iterdir()]
  )
  assert not [*tmp_path.iterdir()]
  begun(4)()
  written = sorted(path.name for path in (tmp_path / 'w').iterdir())
  assert written == ['config.json', 'job.json']
  with pytest.raises(ValueError, match='holds answers of another config'):
    begun(3)
