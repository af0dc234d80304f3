import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hybrid_latent.data.array_records import Lines
from hybrid_latent.data.jsonl import Problems, problems
from hybrid_latent.data.tasks import TASKS, Task

DATA = Path(os.environ.get('HYBRID_LATENT_DATA', '../shared/data'))
SIZES = {
  ('gsm8k', 'train'): 7473,
  ('gsm8k', 'test'): 1319,
  ('math500', 'test'): 500,
  ('math_agieval', 'test'): 1000,
  ('amc23', 'test'): 40,
  ('minerva_math', 'test'): 272,
  ('olympiadbench', 'test'): 675,
  ('mmlu_stem', 'test'): 3018,
  ('mawps', 'test'): 2065,
  ('lsat_ar', 'test'): 230,
  ('lsat_lr', 'test'): 510,
  ('lsat_rc', 'test'): 269,
  ('prosqa', 'valid'): 300,
  ('prosqa', 'test'): 500,
}
SUMS = Task({'test': 'sums.jsonl'}, {'question': 'ask', 'answer': 'say.it'})


def write(path, rows):
  path.write_text('\n'.join(map(json.dumps, rows)) + '\n')


@pytest.fixture
def sums(tmp_path):
  """A folder of one file, and where prepared files go."""
  rows = [{'ask': f' {i}+1 ', 'say': {'it': i + 1}} for i in range(300)]
  write(tmp_path / 'sums.jsonl', rows)
  return {'path': str(tmp_path), 'data_dir': str(tmp_path / 'prepared')}


def test_rows_keep_their_order_and_get_our_names(sums):
  source = problems(SUMS, split='test', **sums)
  assert len(source) == 300
  assert list(source) == [
    {'question': f'{i}+1', 'answer': f'{i + 1}'} for i in range(300)
  ]
  assert source[-1] == source[299]
  with pytest.raises(IndexError):
    source[300]


def test_a_file_is_prepared_once_and_again_when_it_changes(sums):
  problems(SUMS, split='test', **sums)
  prepared = Path(sums['data_dir'])
  files = {f: f.stat().st_mtime_ns for f in prepared.rglob('*') if f.is_file()}
  problems(SUMS, split='test', **sums)
  assert files == {
    f: f.stat().st_mtime_ns for f in prepared.rglob('*') if f.is_file()
  }
  write(Path(sums['path'], 'sums.jsonl'), [{'ask': 'new', 'say': {'it': 1}}])
  assert [r['question'] for r in problems(SUMS, split='test', **sums)] == [
    'new'
  ]


def test_a_changed_task_is_not_read_stale(sums):
  problems(SUMS, split='test', **sums)
  shout = SUMS._replace(user=lambda row: row['question'].strip() + '!')
  assert problems(shout, split='test', **sums)[3]['question'] == '3+1!'


def test_readers_that_start_together_all_read(sums):
  with ThreadPoolExecutor(4) as threads:
    sources = list(
      threads.map(lambda _: problems(SUMS, split='test', **sums), range(4))
    )
  assert [len(source) for source in sources] == [300] * 4
  assert {source[7]['answer'] for source in sources} == {'8'}
  assert not list(Path(sums['data_dir']).rglob('*incomplete*'))


@pytest.mark.parametrize('step', ['download_and_prepare', '_generate_examples'])
def test_a_reader_reads_what_another_has_built_meanwhile(
  sums, monkeypatch, step
):
  late = getattr(Lines, step)

  def overtaken(self, *args):
    monkeypatch.undo()
    problems(SUMS, split='test', **sums)
    return late(self, *args)

  monkeypatch.setattr(Lines, step, overtaken)
  source = problems(SUMS, split='test', **sums)
  assert (len(source), source[7]['answer']) == (300, '8')
  assert not list(Path(sums['data_dir']).rglob('*incomplete*'))


def test_a_json_list_and_unicode_line_ends_are_read(tmp_path):
  rows = [{'ask': 'a\u2028b\x85c', 'say': {'it': 'é'}}, {'ask': 1, 'say': {}}]
  (tmp_path / 'list.json').write_text(json.dumps(rows))
  (tmp_path / 'lines.jsonl').write_text(
    '\n' + json.dumps(rows[0], ensure_ascii=False) + '\r\n\n', encoding='utf-8'
  )
  for file, count in (('list.json', 2), ('lines.jsonl', 1)):
    source = problems(
      SUMS, str(tmp_path / file), 'test', data_dir=str(tmp_path / 'prepared')
    )
    assert len(source) == count
    assert source[0] == {'question': 'a\u2028b\x85c', 'answer': 'é'}


def test_rows_of_a_tfds_builder_are_read_as_those_of_the_file():
  raw = {
    'question': b'How many? ',
    'answer': b'1+2=<<1+2=3>>3\n#### 3',
    'annotation': b'1+2=<<1+2=3>>3\n',
    'short_answer': b'3',
  }
  assert Problems(TASKS['gsm8k'], [raw])[0] == {
    'question': 'How many?',
    'solution': '1+2=<<1+2=3>>3\n#### 3',
    'answer': '3',
  }


def test_mistakes_are_named(sums, tmp_path):
  with pytest.raises(ValueError, match=r"'gsm9k'.*'gsm8k'"):
    problems('gsm9k', None, 'test')
  with pytest.raises(ValueError, match=r"split='train'.*\['test'\]"):
    problems(SUMS, split='train', **sums)
  with pytest.raises(ValueError, match=r"no builder for task='math500'"):
    problems('math500', None, 'test')
  with pytest.raises(FileNotFoundError, match=r"has \['sums.jsonl'\]"):
    problems(SUMS._replace(splits={'test': 'sum.jsonl'}), split='test', **sums)
  lost = SUMS._replace(fields={'question': 'ask', 'answer': 'say.what'})
  with pytest.raises(
    ValueError, match=r"no field 'say.what'.*\['ask', 'say'\]"
  ):
    problems(lost, split='test', **sums)[0]
  (tmp_path / 'sums.jsonl').write_text('{"ask": 1}\n{"ask"\n')
  with pytest.raises(ValueError, match=r'sums.jsonl, line 2.*one JSON object'):
    problems(SUMS, split='test', **sums)


@pytest.mark.parametrize('task', sorted({task for task, _ in SIZES}))
def test_every_row_of_the_benchmarks_has_a_question_and_an_answer(
  task, tmp_path
):
  folder = DATA / task.split('_')[0] if 'lsat' in task else DATA / task
  if not folder.is_dir():
    pytest.skip('no benchmarks here: set HYBRID_LATENT_DATA to their folder')
  for split in TASKS[task].splits:
    if task == 'gsm8k' and split == 'train':
      continue  # the slowest, and the same format
    source = problems(task, str(folder), split, data_dir=str(tmp_path))
    assert len(source) == SIZES[task, split]
    for row in source:
      assert row['question'] == row['question'].strip() != ''
      assert row['answer'] == row['answer'].strip() != ''
      json.dumps(row)
      if 'choices' in row:
        assert row['answer'] in 'ABCDE'
        assert f'\n{row["answer"]}. ' in row['question']


def test_multiple_choice_is_asked_as_in_the_release():
  row = {'question': 'Which?', 'choices': ['this', 'that'], 'answer': 1}
  assert Problems(TASKS['mmlu_stem'], [row])[0] == {
    'question': 'Question: Which?\nOptions:\nA. this\nB. that',
    'choices': ['this', 'that'],
    'answer': 'B',
  }
