"""Rewards see what was put into the model's mouth."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.configs import rl
from experiments.policies import Subject
from experiments.sampler import Sampler, shown
from hybrid_latent import sharding
from hybrid_latent.data import arithmetic
from hybrid_latent.rewards.grader import Grader
from hybrid_latent.rewards.hyrea import FORMAT
from hybrid_latent.types import Stop, Trajectory
from tests.formats.test_answer_opening import QWEN3, R1_DISTILL

THOUGHT = 'So 14.</think>\\boxed{14}'
CASES = [  # chat template, config.data, completion, what the reward reads
  (R1_DISTILL, {}, THOUGHT, f'<think>\n{THOUGHT}'),
  (QWEN3, {'prefill': '<think>\n'}, THOUGHT, f'<think>\n{THOUGHT}'),
  (QWEN3, {'template': '{question}\n<think>'}, THOUGHT, f'<think>{THOUGHT}'),
  (QWEN3, {'enable_thinking': False}, '\\boxed{14}',
   '<think>\n\n</think>\n\n\\boxed{14}'),
  (QWEN3, {}, f'<think>{THOUGHT}', f'<think>{THOUGHT}'),
]  # fmt: skip


@pytest.mark.parametrize(('template', 'data', 'text', 'read'), CASES)
def test_the_format_of_what_a_template_began(now, template, data, text, read):
  """HyRea's: <think>, </think> and a box, from the first character on."""
  tokenizer = arithmetic.tokenizer()
  tokenizer.chat_template = template
  config = rl.get_config('model')
  config.data.update(data)
  ids = tokenizer(text, add_special_tokens=False)['input_ids']
  tokens = np.array([ids, ids])
  whole, nothing = np.ones(tokens.shape, bool), np.zeros(tokens.shape)
  out = Trajectory(
    tokens=tokens,
    mask=whole,
    free=whole,
    log_probs=nothing,
    behaviour=nothing,
    thinking=whole,
    latent=nothing,
    record=(),
    ended=whole[:, 0],
    steps=np.int32(len(ids)),
  )
  on_mesh = jax.tree.map(jnp.asarray, out)
  stop = Stop(*[None] * len(Stop._fields))._replace(thinking=jnp.int32(9))
  actor = Subject(None, None, tokenizer, {}, stop)
  rewards = {
    'format': {
      'function': 'hybrid_latent.rewards.math:format',
      'kwargs': {'pattern': FORMAT},
    },
    'length': {
      'function': 'hybrid_latent.rewards.lengths:soft_overlong',
      'kwargs': {'limit': len(ids), 'buffer': len(ids)},
    },
  }
  row = {'question': 'Six and eight?', 'answer': '14'}
  with Grader(rewards, workers=1) as grader:
    mesh = sharding.mesh()
    sampler = Sampler(config, mesh, actor, *[lambda: None] * 2, grader)
    rolled = sampler.rolled(None, on_mesh, [row])
    graded = rolled.grades()
  now('what opened the thinking is not seen', f'{data} {text}', graded)
  assert list(rolled.texts) == [read, read]
  assert shown(rolled, nothing[:, 0], tokenizer, 1)[0]['completion'] == read
  np.testing.assert_array_equal(graded['format'], [1, 1])
  # Lengths are those of what was generated.
  np.testing.assert_array_equal(graded['length'], [-1, -1])
