"""The README's first command on a released model, cut to two steps."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hybrid_latent.formats.pretrained import local_path
from tests.experiments.runs import lines, steps

ROOT = Path(__file__).parents[2]
QUESTION = {'question': 'What is 3 + 4?', 'answer': '3 + 4 = 7\n#### 7'}


@pytest.mark.slow
def test_smollm2_trains_and_resumes(tmp_path):
  try:
    local_path('smollm2-135m')
  except FileNotFoundError as error:
    pytest.skip(str(error))
  data, workdir = tmp_path / 'gsm8k', tmp_path / 'run'
  data.mkdir()
  for split in ('train', 'test'):
    rows = [QUESTION | {'question': f'What is 3 + 4, {i}?'} for i in range(4)]
    (data / f'{split}.jsonl').write_text('\n'.join(map(json.dumps, rows)))
  for count in (1, 2):
    subprocess.run(
      [
        *(sys.executable, '-m', 'experiments.grpo'),
        '--config=experiments/configs/hrpo_gsm8k.py:smollm2-135m,smoke',
        f'--config.data.path={data}',
        f'--config.max_steps={count}',
        f'--workdir={workdir}',
      ],
      cwd=ROOT,
      env=os.environ
      | {
        'PYTHONPATH': os.pathsep.join([str(ROOT), str(ROOT / 'kernels')]),
        'JAX_COMPILATION_CACHE_DIR': str(tmp_path / 'jax'),
        'TFDS_DATA_DIR': str(tmp_path / 'tfds'),
        'XLA_FLAGS': '',
      },
      check=True,
    )
    rows = steps(workdir)
    assert [row['step'] for row in rows] == list(range(count))
    assert (workdir / 'checkpoints' / str(count)).is_dir()
  first, second = rows
  assert second['num_tokens'] > first['num_tokens'] > 8
  for row in rows:
    assert row['sampling/sampling_logp_difference/max'] < 1e-3
    assert 0 < row['hidden_ratio'] < 0.1  # r_min 0.99
    assert 0 <= row['rewards/accuracy/mean'] <= 1
  samples = lines(workdir / 'completions.jsonl')
  assert len({row['prompt'] for row in samples}) == 4
  assert all(row['answer'] == '7' for row in samples)
