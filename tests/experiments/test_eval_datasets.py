"""Several data sets in the evaluations of a run."""

import json

import pytest

from experiments.fields.check import check
from experiments.fields.data_check import check_data
from experiments.fields.eval_datasets import eval_datasets, trains_on_all
from experiments.fields.named import problems_of
from tests.experiments import rl_tiny
from tests.experiments.runs import trained


@pytest.fixture
def config(model_folder, tmp_path):
  """With the rows of its own test split as a file of GSM8K."""
  config = rl_tiny.get_config(f'{model_folder},grpo')
  rows = problems_of(config.data)(split='test')
  lines = [
    json.dumps(
      {'question': row['question'], 'answer': f'So\n#### {row["answer"]}'}
    )
    for row in rows
  ]
  (tmp_path / 'test.jsonl').write_text('\n'.join(lines))
  correct = 'hybrid_latent.rewards.answers:correct'
  config.rewards = {
    'accuracy': dict(function=correct, weight=1.0, kwargs=dict(kind='number'))
  }
  config.data.prompt_template = 'Sum: {question}'  # as it is for both
  config.eval.update(num_prompts=3, datasets=(f'gsm8k={tmp_path}',))
  return config.lock()


def test_a_data_set_is_evaluated_beside_that_of_the_run(config, tmp_path):
  """Under its name, with its own grader, and the same random numbers."""
  config.max_steps = 0
  (found,) = trained(config, tmp_path / 'run').evaluations
  own = {x for x in found if not x.startswith('eval/gsm8k/')}
  others = {x.replace('eval/', 'eval/gsm8k/') for x in own}
  assert {'eval/accuracy', 'eval/completions/mean_length'} < own
  assert {*found} == own | others
  for name in own:
    assert found[name.replace('eval/', 'eval/gsm8k/')] == found[name]


def test_rows_have_the_instruction_of_the_benchmark(config):
  (_, (_, own)), (name, (rewards, rows)) = eval_datasets(config).items()
  assert name == 'gsm8k' and len(own) == len(rows) == 3
  assert own[0]['question'] == rows[0]['question']
  assert own[0]['answer'] == rows[0]['answer']
  assert rewards['accuracy']['kwargs'] == {'kind': 'number'}
  config.data.update(prompt_template='', system_prompt='')
  _, rows = eval_datasets(config)['gsm8k']
  assert rows[0]['question'] == (
    f'{own[0]["question"]}\nPlease reason step by step, and put your '
    r'final answer within \boxed{}.'
  )
  config.eval.num_prompts = 0
  assert not eval_datasets(config)


@pytest.mark.parametrize(
  ('text', 'message'),
  [
    ('gsm9k=x', "config.eval.datasets, 'gsm9k=x': benchmark='gsm9k': acc"),
    ('gsm8k=absent', "config.eval.datasets, 'gsm8k=absent': absent has nei"),
  ],
)
def test_one_that_is_missing_is_refused_before_the_model(config, text, message):
  config.eval.datasets = (text,)
  with pytest.raises((ValueError, FileNotFoundError), match=message):
    check_data(config)


def test_the_best_checkpoint_may_be_that_of_a_data_set(config):
  best = 'eval/gsm8k/accuracy', 'eval/gsm8k/completions/mean_length'
  for config.checkpoint.best in best:
    check(config, 'grpo')
  config.checkpoint.best = 'eval/math500/accuracy'
  with pytest.raises(ValueError, match=r"such as 'eval/math500/accuracy'"):
    check(config, 'grpo')


def test_a_benchmark_is_evaluated_once(config):
  config.eval.datasets *= 2
  with pytest.raises(ValueError, match='write each benchmark once'):
    check_data(config)


def test_training_rows_alone_are_evaluated_on_others(config, tmp_path, caplog):
  train = tmp_path / 'train.jsonl'
  train.write_text('{"question": "1+1?", "answer": "2"}\n')
  with config.unlocked():
    config.data.update(function='jsonl:problems', path=str(train))
    config.data.kwargs = dict(task='plain')
  for config.checkpoint.best in '', 'eval/gsm8k/accuracy':
    assert trains_on_all(config) and [*eval_datasets(config)] == ['gsm8k']
  check_data(config)
  assert not caplog.records
  config.checkpoint.best = 'eval/accuracy'
  assert not trains_on_all(config)
