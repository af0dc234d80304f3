"""What the tuning of a reasoner refuses, and what it leaves out."""

import json
import logging

import pytest

from experiments.training.sft_answers import sft_answer_rows
from hybrid_latent.formats.pretrained import pretrained
from tests.experiments import lrt_tiny
from tests.experiments.runs import tuned


def tiny(model_folder, stage, changes):
  argument = f'{model_folder},{stage},{model_folder}'
  config = lrt_tiny.get_config(argument).unlock()
  if 'feedback.kwargs' in changes:
    config.feedback.kwargs = changes.pop('feedback.kwargs')
  config.update_from_flattened_dict(changes)
  return config.lock()


def answer_rows(config, tokenizer):
  closing = config.feedback.init_kwargs.closing
  return sft_answer_rows(config.data, config.rollout, closing, tokenizer)


def test_answers_that_do_not_fit_are_left_out(model_folder, caplog):
  config = tiny(model_folder, 'sft', {'rollout.max_completion_length': 5})
  caplog.set_level(logging.WARNING)
  rows = answer_rows(config, pretrained(model_folder).tokenizer)
  assert 0 < len(rows) < 8
  assert max(len(row['ids']) for row in rows) == 5
  assert f'{8 - len(rows)} of 8 answers of ' in caplog.text
  assert ' left out: longer' in caplog.text


def test_answers_of_openr1_math(model_folder, tmp_path):
  """The first generation that is right and complete; a row without is out."""
  row = {
    'problem': 'Tom? ',
    'answer': '4',
    'generations': ['<think>A</think> 5', '<think>A', '<think>A</think> 4'],
    'is_reasoning_complete': [True, False, True],
  }
  marks = [False, True, True], [False, True, False]
  rows = [row | {'correctness_math_verify': some} for some in marks]
  file = tmp_path / 'train.jsonl'
  file.write_text('\n'.join(map(json.dumps, rows)))
  changes = {
    'data.sft_answers_dir': str(file),
    'data.sft_answers_task': 'openr1_math',
  }
  tokenizer = pretrained(model_folder).tokenizer
  (row,) = answer_rows(tiny(model_folder, 'sft', changes), tokenizer)
  assert row['question'] == 'Tom?' and row['answer'] == '4'
  assert tokenizer.decode(row['ids'][:-1]) == ' 4'
  assert row['ids'][-1] == tokenizer.eos_token_id


@pytest.mark.parametrize(
  ('stage', 'changes', 'told'),
  [
    (
      'sft',
      {'rollout.num_generations': 2},
      r'\.data\.sft_answers_dir=.*num_generations=2: write num_generations=1',
    ),
    (
      'rl',
      {'rollout.num_generations': 1},
      r'num_generations=1: .* at least 2, .*data\.sft_answers_dir',
    ),
    (
      'rl',
      {'feedback.function': 'discrete:discrete', 'feedback.kwargs': {}},
      "'discrete:discrete': write one with a prefix, .*prefix:prefix",
    ),
    (
      'sft',
      {'feedback.init_kwargs.reads': 'all'},
      "reads is 'all': write 'last'",
    ),
    (
      'sft',
      {'feedback.init_kwargs.backbone': ''},
      "backbone='': write the f",
    ),
    ('rl', {'rollout.mode': 'laten'}, "mode is 'laten': write '', .*latent"),
    (
      'rl',
      {'rollout.mode': 'chain_of_thought'},
      "mode='chain_of_thought': .* no gradient",
    ),
    ('sft', {'rollout.mode': 'laten'}, "mode is 'laten': write '', .*latent"),
    (
      'sft',
      {'rollout.max_completion_length': 2},
      r'8 of 8 answers of config.data.sft_answers_dir=.* longer '
      r'.*max_completion_length=2; none',
    ),
    (
      'sft',
      {'gradient_accumulation_steps': 3},
      'prompts_per_step=4, .*gradient_accumulation_steps=3: write',
    ),
    ('rl', {'optimizer.groups.ends.pattern': 'gate$'}, "pattern 'gate\\$' is"),
  ],
)
def test_a_mistake_is_explained(stage, changes, told, model_folder, tmp_path):
  with pytest.raises(ValueError, match=told):
    tuned(tiny(model_folder, stage, changes), tmp_path)
  assert not (tmp_path / 'reasoner').exists()
