"""Rewards see what a prompt put into the model's mouth, and evaluations count
the prompts that are too long."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.configs import rl
from experiments.training.actor import Actor
from experiments.training.prompts import eval_batches_of
from experiments.training.rollouts import sample_rows
from experiments.training.sampler import Sampler
from hybrid_latent import sharding
from hybrid_latent.data import arithmetic
from hybrid_latent.models.reasoner import Prefix
from hybrid_latent.policy import Policy
from hybrid_latent.rewards.grader import Grader
from hybrid_latent.rewards.hyrea import FORMAT
from hybrid_latent.types import StoppingRule, Trajectory
from tests.formats.test_answer_opening import QWEN3, R1_DISTILL

THOUGHT = 'So 14.</think>\\boxed{14}'
CASES = [  # chat template, config, completion, what the reward reads
  (R1_DISTILL, {}, THOUGHT, f'<think>\n{THOUGHT}'),
  (QWEN3, {'data.prefill': '<think>\n'}, THOUGHT, f'<think>\n{THOUGHT}'),
  (QWEN3, {'data.prompt_template': '{question}\n<think>'}, THOUGHT,
   f'<think>{THOUGHT}'),
  (QWEN3, {'data.enable_thinking': False}, '\\boxed{14}',
   '<think>\n\n</think>\n\n\\boxed{14}'),
  (QWEN3, {}, f'<think>{THOUGHT}', f'<think>{THOUGHT}'),
  # A reasoner's latents stand in a thinking, and </think> follows them.
  (QWEN3, {'data.prefill': '<think>\n', 'feedback.function': 'prefix:prefix'},
   '\\boxed{14}', '<think>\n\n</think>\n\n\\boxed{14}'),
  (QWEN3, {'feedback.function': 'prefix:prefix',
           'rollout.mode': 'chain_of_thought'},
   f'<think>{THOUGHT}', f'<think>{THOUGHT}'),
]  # fmt: skip


@pytest.mark.parametrize(('template', 'fields', 'text', 'read'), CASES)
def test_the_format_of_what_a_template_began(now, template, fields, text, read):
  """HyRea's: <think>, </think> and a box, from the first character on."""
  tokenizer = arithmetic.tokenizer()
  tokenizer.chat_template = template
  config = rl.get_config('model')
  config.update_from_flattened_dict(fields)
  ids = tokenizer(text, add_special_tokens=False)['input_ids']
  tokens = np.array([ids, ids])
  whole, nothing = np.ones(tokens.shape, bool), np.zeros(tokens.shape)
  out = Trajectory(
    tokens=tokens,
    mask=whole,
    policy_mask=whole,
    log_probs=nothing,
    behavior_log_probs=nothing,
    thinking_mask=whole,
    latent_share=nothing,
    record=(),
    terminated=whole[:, 0],
    steps=np.int32(len(ids)),
  )
  on_mesh = jax.tree.map(jnp.asarray, out)
  owned = None
  if config.feedback.function == 'prefix:prefix':
    closing = tokenizer('\n</think>\n\n', add_special_tokens=False)
    owned = Prefix(None, np.array(closing['input_ids']))
  stop = StoppingRule(*[None] * len(StoppingRule._fields))._replace(
    max_thinking_tokens=jnp.int32(9)
  )
  actor = Actor(Policy(None, owned), None, tokenizer, {}, stop)
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
    ours = Sampler(
      *(config.rollout, config.data, mesh, actor),
      *[lambda: None] * 2,
      grader,
    )
    rolled = ours.collect(None, on_mesh, [row])
    graded = rolled.grades()
  now('what opened the thinking is not seen', f'{fields} {text}', graded)
  assert list(rolled.texts) == [read, read]
  assert (
    sample_rows(rolled, nothing[:, 0], tokenizer, 1)[0]['completion'] == read
  )
  np.testing.assert_array_equal(graded['format'], [1, 1])
  # Lengths are those of what was generated.
  np.testing.assert_array_equal(graded['length'], [-1, -1])


@pytest.mark.parametrize(
  ('longest', 'happens'),
  [(13, '4 of 8 prompts are left out'), (12, '5 of 8 prompts are left out')],
)
def test_prompts_that_are_too_long_are_counted(now, longest, happens):
  batches = eval_batches_of(*evaluating(longest), encode, 0)
  found = f'{batches[0]["too_long"]} of 8 prompts are left out'
  now('evaluations drop rows unseen', f'max_prompt_length={longest}', found)
  assert found == happens


def test_an_evaluation_of_no_prompt_is_refused(now):
  with pytest.raises(
    ValueError, match='max_prompt_length is 9, and each'
  ) as caught:
    eval_batches_of(*evaluating(9), encode, 0)
  now('evaluations drop rows unseen', 'max_prompt_length=9', caught.value)
  assert str(caught.value) == (
    'max_prompt_length is 9, and each of the 8 prompts is longer: write '
    'max_prompt_length=17, which the longest has; the shortest has 10 tokens, '
    '10 of which are common to all prompts (data.system_prompt, template, '
    'data.prefill)'
  )


def evaluating(prompt_length):
  """Eight problems, whose prompts have 10 to 17 tokens."""
  config = rl.get_config('model').unlock()
  config.rollout.max_prompt_length = prompt_length
  rows = arithmetic.problems('test', count=8)
  return [*rows], config.rollout, config.eval


ROWS = [row['question'] for row in arithmetic.problems('test', count=8)]


def encode(row):
  return [0] * (10 + ROWS.index(row['question']))
