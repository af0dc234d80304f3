"""Data of one's own: rows, names of fields, a function, sets for testing."""

import json
from functools import partial

import pytest

from experiments.configs import (
  grpo_gsm8k,
  hrpo_gsm8k,
  hrpo_math,
  hrpo_mmlu,
  hyrea_rl_math,
  hyrea_sft_math,
  lrt,
  sft,
  soft_tokens_gsm8k,
)
from experiments.fields.data_check import check_data
from experiments.fields.eval_datasets import trains_on_all
from experiments.fields.named import problems_of
from hybrid_latent.curricula.cot import worked_solutions
from hybrid_latent.data import arithmetic

PAGES = (grpo_gsm8k, hrpo_gsm8k, hrpo_math, hrpo_mmlu, hyrea_rl_math,
         hyrea_sft_math, lrt, sft, soft_tokens_gsm8k)  # fmt: skip
ROWS = [
  {'question': 'What is 6 * 7?', 'answer': 42},
  {'question': 'And 3 / 2?', 'answer': 1.5, 'level': 'hard'},
]
READ = [
  {'question': 'What is 6 * 7?', 'answer': '42', 'level': None},
  {'question': 'And 3 / 2?', 'answer': '1.5', 'level': 'hard'},
]


@pytest.fixture
def config(tmp_path, monkeypatch):
  """A GRPO config as README has it."""
  monkeypatch.setenv('TFDS_DATA_DIR', str(tmp_path / 'made'))
  return grpo_gsm8k.get_config('none')


def write(path, rows):
  path.write_text('\n'.join(map(json.dumps, rows)) + '\n')


def train_rows(config, **data):
  config.data.update(data)
  return [*problems_of(config.data)(split=config.data.train_split)]


def message(call):
  with pytest.raises((ValueError, FileNotFoundError)) as caught:
    call()
  return str(caught.value)


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.__name__[20:])
def test_every_config_trains_on_plain_rows(page, config, tmp_path, caplog, now):
  caplog.set_level('INFO')
  write(tmp_path / 'train.jsonl', ROWS)
  config = page.get_config('none')
  assert train_rows(config, path=str(tmp_path)) == READ
  log = [record.getMessage() for record in caplog.records]
  assert log[0].startswith(
    f"{tmp_path}/train.jsonl: read as plain rows (question from 'question', "
    f"answer from 'answer'), not as task {config.data.kwargs.task}; in "
  )
  now('plain rows', f'{page.__name__} with data.path=FOLDER', READ)


@pytest.mark.parametrize(
  ('name', 'text'),
  [
    ('mine.jsonl', '{"prompt": "x", "target": 4}'),
    ('mine.csv', 'problem,final_answer\nx,4\n'),
    ('mine.json', '[{"query": "x", "ground_truth": "4"}]'),
    ('mine.tsv', 'input\tlabel\nx\t4\n'),
  ],
)
def test_one_file_with_names_that_are_known(name, text, config, tmp_path, now):
  (tmp_path / name).write_text(text)
  rows = train_rows(config, path=str(tmp_path / name))
  assert rows == [{'question': 'x', 'answer': '4'}]
  now('plain rows', text, rows)


def test_home_is_expanded(config, tmp_path, monkeypatch, now):
  monkeypatch.setenv('HOME', str(tmp_path))
  write(tmp_path / 'mine.jsonl', ROWS)
  assert train_rows(config, path='~/mine.jsonl') == READ
  now('~ in data.path', '~/mine.jsonl', 'read')


@pytest.mark.parametrize(
  ('fields', 'raw', 'expected'),
  [
    (
      'question=ask,answer=result.value',
      {'ask': 'x', 'result': {'value': 4}, 'level': 1},
      {'question': 'x', 'answer': '4', 'level': 1},
    ),
    (
      ' question = the task , answer=a.b',
      {'the task': 'x', 'a.b': '4'},
      {'question': 'x', 'answer': '4'},
    ),
    (
      'question=ask',  # and the answer is GSM8K's
      {'ask': 'x', 'answer': 'y\n#### 4'},
      {'question': 'x', 'answer': '4', 'solution': 'y\n#### 4'},
    ),
    (
      'solution=work,answer=final',
      {'question': 'x', 'work': 'y', 'final': 4},
      {'question': 'x', 'answer': '4', 'solution': 'y'},
    ),
    ('answer=', {'prompt': 'x'}, {'question': 'x', 'answer': ''}),
  ],
)
def test_fields_are_named(fields, raw, expected, config, tmp_path, now):
  write(tmp_path / 'train.jsonl', [raw])
  rows = train_rows(config, path=str(tmp_path), fields=fields)
  assert rows == [expected]
  now('a map of fields', f'{fields} of {raw}', rows[0])


@pytest.mark.parametrize(
  ('fields', 'says'),
  [
    (
      'question=probelm,answer=final',
      "line 1: no field 'probelm' in a row that has ['final', 'problem']: "
      'write data.fields=question=problem',
    ),
    (
      'question=problem,anwser=final',
      "data.fields='question=problem,anwser=final': 'anwser' is not one of "
      'our fields: accepted are question, answer, solution, steps, ending; '
      'did you mean answer?',
    ),
    ('question', "data.fields='question': write 'question=problem,answer=fin"),
    ('question=', "data.fields='question=': write 'question=problem,answer=f"),
    (
      'question=problem,answer=problem',
      "data.fields='question=problem,answer=problem': question and answer are "
      "both 'problem': write a column for each",
    ),
    ('answer=a,answer=b', "data.fields='answer=a,answer=b': write each field"),
    (
      'question=problem,answer=result.val',
      "line 1: no field 'result.val' in a row that has ['problem', 'result'] "
      "and, within, ['result.value']: "
      'write data.fields=answer=result.value',
    ),
    (
      'problem=question,final=answer',
      "data.fields='problem=question,final=answer' is reversed: write "
      "'question=problem,answer=final', our field on the left and the column",
    ),
  ],
)
def test_a_wrong_map_of_fields(fields, says, config, tmp_path, now):
  row = {'problem': 'x', 'final': 4}
  if 'result' in fields:
    row = {'problem': 'x', 'result': {'value': 4}}
  write(tmp_path / 'train.jsonl', [row])
  told = message(partial(train_rows, config, path=str(tmp_path), fields=fields))
  assert says in told
  now('a map of fields', fields, told.replace(f'{tmp_path}/', ''))


def test_rows_of_ones_own_may_be_split_into_files(config, tmp_path, now):
  write(tmp_path / 'a.jsonl', ROWS)
  (tmp_path / 'dev.csv').write_text('question,answer\nx,4\n')
  test = lambda: problems_of(config.data)(split=config.data.test_split)
  assert train_rows(config, path=str(tmp_path), train_split='a.jsonl') == READ
  told = message(test)
  assert told.startswith(f'{tmp_path}/test.jsonl does not exist ({tmp_path} ')
  assert (
    "['a.jsonl', 'dev.csv']" in told
    and 'as data.train_split or data.test_split' in told
  )
  for name in ('dev', 'dev.csv', str(tmp_path / 'dev.csv')):
    config.data.test_split = name
    assert [*test()] == [{'question': 'x', 'answer': '4'}]
  now('a split that is missing', 'a.jsonl and dev.csv', told)


@pytest.mark.parametrize('one', ['', 'train.jsonl'])
def test_training_rows_alone_train_without_an_evaluation(
  one, config, tmp_path, caplog, now
):
  write(tmp_path / 'train.jsonl', ROWS)
  config.data.path = str(tmp_path / one)
  assert config.eval.num_prompts == 256
  check_data(config)
  told = caplog.records[-1].getMessage()
  assert trains_on_all(config)
  assert told == (
    f'no evaluation: {config.data.path} has training rows alone; write '
    'data.test_split=FILE to evaluate, or eval.num_prompts=0'
  )
  config.checkpoint.best = 'eval/accuracy'  # it is what the run is for
  assert not trains_on_all(config)
  now('no test rows', one or 'a folder of train.jsonl', told)


@pytest.mark.parametrize(
  ('name', 'test', 'warns'),
  [
    ('train.jsonl', 'test', True),
    ('mine.jsonl', 'test', True),
    ('test.jsonl', 'test', False),
    ('train.jsonl', 'test.jsonl', False),
  ],
)
def test_an_evaluation_of_the_one_file(
  name, test, warns, config, tmp_path, caplog, now
):
  for file in {name, 'test.jsonl'}:
    write(tmp_path / file, ROWS)
  config.max_steps, config.data.test_split = 0, test
  config.data.path = str(tmp_path / name)
  check_data(config)
  told = [
    x.getMessage() for x in caplog.records if 'data.test_split' in x.message
  ]
  now(
    'max_steps=0 evaluates training rows',
    f'{name}, data.test_split={test}',
    told,
  )
  expected = (
    f'data.test_split: the evaluation reads all 2 rows of {tmp_path}/{name}, '
    'the only file; where the model is trained on them write '
    'data.test_split=FILE'
  )
  assert told == [expected] * warns


def test_sets_for_testing_need_no_training_rows(config, tmp_path, now):
  raw = {'problem': 'x', 'answer': '4'}
  write(tmp_path / 'test.jsonl', [raw])
  config.data.kwargs.task, config.data.path = 'math500', str(tmp_path)
  told = message(partial(check_data, config))
  assert told == (
    f"split='train': this task has ['test'], and {tmp_path} has no train.jsonl"
    ", .json or .csv (it has ['test.jsonl']): write max_steps=0 to evaluate "
    'only, or a file as data.train_split or data.test_split'
  )
  config.max_steps = 0
  check_data(config)
  config.data.path = str(tmp_path / 'test.jsonl')
  check_data(config)
  now('a set for testing alone', 'math500, steps=934; steps=0', told)


def test_what_must_be_downloaded_is_said_at_once(config, now):
  config.data.kwargs.task = 'numinamath_cot'
  told = message(partial(check_data, config))
  assert told.startswith('data.path is empty, and tensorflow-datasets has no')
  assert told.endswith('write data.path=FOLDER, or a file')
  now('no data.path', 'numinamath_cot', told)


def test_answers_alone_are_learnt_where_there_is_no_solution(
  config, tmp_path, now
):
  write(tmp_path / 'train.jsonl', ROWS)
  config = sft.get_config('none')
  config.data.path = str(tmp_path)
  check_data(config)
  rows = train_rows(config)

  tokenizer = arithmetic.tokenizer()
  learnt = worked_solutions(tokenizer).document([1], rows[0], 0, None)
  assert tokenizer.decode(learnt.tokens[1:]) == '42<|end|>'
  hyrea = hyrea_sft_math.get_config('none')
  hyrea.data.path = str(tmp_path)
  write(tmp_path / 'test.jsonl', ROWS)
  write(tmp_path / 'train.jsonl', [ROWS[0] | {'solution': 'x'}, ROWS[0]])
  assert message(partial(check_data, hyrea)).startswith('row 2: a row with the')
  rows = train_rows(config)
  learnt = worked_solutions(tokenizer).document([1], rows[1], 0, None)
  assert tokenizer.decode(learnt.tokens[1:]) == '42<|end|>'
  write(tmp_path / 'train.jsonl', ROWS)
  told = message(partial(check_data, hyrea))
  assert "accepted is 'solution'" in told
  assert told.endswith('data.fields=solution=NAME')
  now('rows without a solution', 'sft; hyrea_sft_math', told)
