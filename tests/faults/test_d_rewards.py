"""Rewards that do not go with the rows: said before a model is loaded."""

import json

import pytest

from experiments.configs import grpo_gsm8k, rl, rl_arithmetic, soft_tokens_gsm8k
from experiments.fields.data_check import check_data

ROW = {'question': 'What is 17 + 5?', 'answer': '22'}
BOX = (
  "rewards '\\\\boxed{22}' and not 'The answer is 22.', and data.system_prompt"
)
MARK = "hrpo:gsm8k rewards '#### 22' and not 'The answer is 22.', and "


@pytest.fixture
def checked(tmp_path, monkeypatch, caplog):
  """What check_data says of a config with one plain row."""
  monkeypatch.setenv('TFDS_DATA_DIR', str(tmp_path / 'made'))
  monkeypatch.syspath_prepend(tmp_path)
  file = tmp_path / 'mine.jsonl'
  file.write_text(f'{json.dumps(ROW)}\n')

  def say(config, **fields):
    config.unlock().data.path, config.eval.num_prompts = str(file), 0
    config.update_from_flattened_dict(fields)
    check_data(config)
    return [
      x.getMessage() for x in caplog.records if ' rewards ' in x.getMessage()
    ]

  return say


@pytest.mark.parametrize(
  ('page', 'fields', 'said'),
  [
    (grpo_gsm8k, {}, ''),  # data.system_prompt asks for ####
    (
      grpo_gsm8k,
      {'data.system_prompt': ''},
      f'{MARK}data.system_prompt does not have',
    ),
    (
      grpo_gsm8k,
      {'data.prompt_template': 'Q: {question}\nA:'},
      f'{MARK}data.prompt_templat',
    ),
    (grpo_gsm8k, {'data.prompt_template': '{question} End with ####.'}, ''),
    (grpo_gsm8k, {'data.system_prompt': '', 'data.prefill': '#### '}, ''),
    (soft_tokens_gsm8k, {}, ''),
    (
      soft_tokens_gsm8k,
      {
        **{
          'data.prompt_template': '',
          'rollout.forced_text.after_thinking': '',
        },
        'rollout.forced_text.on_truncation': '',
      },
      BOX,
    ),
    (rl, {}, ''),  # its reward reads any form
  ],
)
def test_a_mark_that_no_text_asks_for(page, fields, said, checked, now):
  told = checked(page.get_config('none'), **fields)
  now('plain answers are paid nothing', f'{page.__name__}, {fields}', told)
  assert len(told) == bool(said)
  assert not said or said in told[0]


def test_our_own_problems_were_learnt_with_their_marks(caplog):
  config = rl_arithmetic.get_config('none,grpo').unlock()
  config.data.system_prompt = config.data.prompt_template = ''
  config.eval.num_prompts = 0
  check_data(config)
  assert not [x for x in caplog.records if ' rewards ' in x.getMessage()]


@pytest.mark.parametrize(
  ('kwargs', 'refused'), [({}, True), ({'difficulty': 3}, False)]
)
def test_a_column_that_is_missing(kwargs, refused, checked, tmp_path, now):
  (tmp_path / 'by_difficulty.py').write_text(
    '\n\ndef reward(completions, *, difficulty, **columns):\n  return []\n'
  )
  config = rl.get_config('none').unlock()
  config.rewards.mine = dict(
    function='by_difficulty:reward', weight=1.0, kwargs=kwargs
  )
  if not refused:
    assert checked(config) == []
    return
  with pytest.raises(ValueError) as caught:
    checked(config)
  told = str(caught.value)
  now('a column that rows have not', 'difficulty', told)
  assert told == (
    "config.rewards.mine.function is 'by_difficulty:reward' "
    f'({tmp_path}/by_difficulty.py, line 3), which takes (completions, *, '
    "difficulty, **columns): missing a required argument: 'difficulty'; the "
    "first row has ['answer', 'completion_ids', 'question']: give the rows this"
    ' column, or write --config.rewards.mine.kwargs'
  )
