"""The benchmarks by name: rows of every layout, and gold answers that their
parsers read and their graders find right."""

import importlib
import json
import os
import re
import sys
from fractions import Fraction
from pathlib import Path

import pytest
import tensorflow_datasets as tfds

from hybrid_latent.data.answer_formats import (
  LETTER,
  MATH,
  NUMBER,
  SENTENCE,
  TEXT,
)
from hybrid_latent.data.benchmark_rows import benchmark_rows
from hybrid_latent.data.benchmarks import BENCHMARKS
from hybrid_latent.data.tasks import problem
from tests.data.hub_rows import GPQA, HUB, SAME

DATA = Path(os.environ.get('HYBRID_LATENT_DATA', '../shared/data'))
AT_HAND = [
  name
  for name, benchmark in BENCHMARKS.items()
  if (DATA / benchmark.file).is_file()
]


def test_every_data_set_of_a_hub_is_tested():
  on_hub = {name for name, benchmark in BENCHMARKS.items() if benchmark.hub}
  assert on_hub == {*HUB, *SAME}
  for name, same in SAME.items():
    assert BENCHMARKS[name].hub.task == BENCHMARKS[same].hub.task


@pytest.mark.parametrize('name', HUB)
def test_rows_of_a_copy_of_a_hub_repository(name, tmp_path, monkeypatch):
  datasets = pytest.importorskip('datasets')
  monkeypatch.setattr('datasets.config.HF_DATASETS_CACHE', tmp_path / 'cache')
  datasets.disable_progress_bars()
  hub, (raw, expected) = BENCHMARKS[name].hub, HUB[name]
  folder = tmp_path / 'copy'
  file = folder / 'data' / f'{hub.split}-00000-of-00001.parquet'
  datasets.Dataset.from_list([raw]).to_parquet(file)
  config = hub.config or 'default'
  card = {'config_name': config, 'data_files': [
    {'split': hub.split, 'path': f'data/{hub.split}-*'}]}  # fmt: skip
  (folder / 'README.md').write_text(
    f'---\nconfigs: {json.dumps([card])}\n---\n'
  )
  (row,) = benchmark_rows(name, str(folder))
  assert row | expected == row
  assert graded(name, row) == 1


def test_rows_of_tensorflow_datasets(tmp_path, monkeypatch):
  raw, expected = HUB['arc_c']
  lettered = {
    'choices': raw['choices'] | {'label': ['A', 'B', 'C']},
    'answerKey': 'C',
  }
  builder = tfds.builder(
    BENCHMARKS['arc_c'].tfds.tfds, data_dir=tmp_path, file_format='array_record'
  )
  examples = lambda *_: {'test': iter([('0', raw | lettered)])}
  monkeypatch.setattr(builder, '_split_generators', examples)
  builder.download_and_prepare()
  (row,) = benchmark_rows('arc_c', data_dir=str(tmp_path))
  assert row | expected == row


def test_the_table_of_the_documentation():
  formats = [NUMBER, MATH, LETTER, TEXT, SENTENCE]
  kinds = 'number', 'math', 'letter', 'text', 'sentence'
  page = (Path(__file__).parents[2] / 'docs/benchmarks.md').read_text()
  for name, b in BENCHMARKS.items():
    place = ', '.join(filter(None, b.hub[:2])) if b.hub else ''
    place = f'{b.tfds.tfds} of tensorflow-datasets' if b.tfds else place
    cells = (
      b.title,
      f'`{name}`',
      b.rows,
      kinds[formats.index(b.format)],
      f'`{b.file}`',
    )
    cells = *cells, b.source, place, b.licence
    assert f'| {" | ".join(map(str, cells))} |\n' in page


def test_gpqa_s_choices_are_shuffled_by_the_question_alone():
  letters = {
    problem(BENCHMARKS['gpqa'].task, GPQA | {'Question': f'{i}?'})['answer']
    for i in range(30)
  }
  assert letters == {*'ABCD'}


def test_mistakes_are_named(tmp_path, monkeypatch):
  with pytest.raises(ValueError, match=r"benchmark='gsm9k'.*'gsm8k'"):
    benchmark_rows('gsm9k')
  with pytest.raises(FileNotFoundError, match=r'svamp/test.*ChilleD/SVAMP'):
    benchmark_rows('svamp', str(tmp_path))
  with pytest.raises(ValueError, match=r'nq/test.jsonl.*answers.*contexts'):
    benchmark_rows('nq')
  (tmp_path / 'amc.json').write_text('[{"problem": "What?", "answer": "x"}]')
  with pytest.raises(ValueError, match=r"amc.json, row 1: answer = 'x'"):
    benchmark_rows('amc83', str(tmp_path))[0]
  monkeypatch.setitem(sys.modules, 'datasets', None)
  with pytest.raises(ModuleNotFoundError, match=r'hybrid-latent\[benchmarks\]'):
    benchmark_rows('svamp')


def test_without_a_network_the_file_is_named(monkeypatch):
  pytest.importorskip('datasets')
  monkeypatch.setattr('datasets.config.HF_HUB_OFFLINE', True)
  monkeypatch.setattr('huggingface_hub.constants.HF_HUB_OFFLINE', True)
  with pytest.raises(ValueError, match=r'ChilleD/SVAMP.*svamp/test.jsonl'):
    benchmark_rows('svamp')


def graded(name, row):
  """The grade of the gold answer in the form that the instruction asks for."""
  benchmark, gold = BENCHMARKS[name], row['answer']
  gold = gold[0] if isinstance(gold, list) else gold
  module, function = benchmark.format.reward['function'].split(':')
  reward = getattr(importlib.import_module(module), function)
  text = f'First, 7. {benchmark.format.written % gold}'
  kwargs = benchmark.format.reward['kwargs']
  (grade,) = reward([text], answer=[row['answer']], **kwargs)
  return grade


# What the parser spells otherwise than the file, beside numbers with commas, as
# fractions or with a power of ten, and what dollars or \text{} enclose.
RESPELLED = {
  'math500': {r'1\frac{4}{5}': '1.8', r'137 \frac{1}{2}': '137.5'},
  'math_agieval': {
    r'1\frac{12}{13}': '25/13',
    r'3\frac18': '3.125',
    r'11 \frac{2}{3}': '35/3',
  },
  'olympiadbench': {
    r'$\frac{-1}{1997}$': '-1/1997',
    r'$\quad(2+\sqrt{2}, 1+\sqrt{2})$': r'(2+\sqrt{2}, 1+\sqrt{2})',
  },
}


@pytest.mark.parametrize('name', AT_HAND)  # skipped where there are none
def test_gold_answers_of_the_files_are_read_and_right(name):
  rows = [*benchmark_rows(name, str(DATA))]
  assert len(rows) == BENCHMARKS[name].rows
  read = {row['answer']: parsed(name, row['answer']) for row in rows}
  others = {gold: x for gold, x in read.items() if not spells(x, gold)}
  assert others == RESPELLED.get(name, {})
  # tests/faults/test_a_judges.py grades all formulas, slowly.
  step = 20 if BENCHMARKS[name].format == MATH else 1
  assert {graded(name, row) for row in rows[::step]} == {1}


def parsed(name, gold):
  answer_format = BENCHMARKS[name].format
  return answer_format.parse(f'Not 7. {answer_format.written % gold}')


def spells(text, gold):
  """Whether a text is the gold answer, or the same number."""
  if text in (gold, gold.strip('$'), gold[6:-1] * gold.startswith('\\text{')):
    return True
  bare = re.sub(r'\\[!$ ]|[$, ]', '', gold)
  bare = re.sub(r'\\[dt]?frac\{?(\d+?)\}?\{?(\d+)\}?$', r'\1/\2', bare)
  try:
    return Fraction(text) == Fraction(bare)
  except ValueError:
    return False
