"""Questions to train on that are apart from the published ones."""

import json

import pytest

from hybrid_latent.data import prosqa
from hybrid_latent.data.prosqa_benchmark import problems

SMALL = {'count': 40, 'nodes': 8, 'steps': (2, 3)}


@pytest.fixture
def folder(tmp_path):
  """Generated rows in the layout of the published ones."""
  for split, seed in ('valid', 1), ('test', 2):
    rows = [
      row | {'steps': [step.strip() for step in row['steps']]}
      for row in prosqa.problems('train', seed=seed, **SMALL)
    ]
    (tmp_path / f'prosqa_{split}.json').write_text(json.dumps(rows))
  return tmp_path


@pytest.mark.parametrize(('split', 'seed'), [('valid', 1), ('test', 2)])
def test_what_is_published_is_read(split, seed, folder, monkeypatch, tmp_path):
  monkeypatch.setenv('TFDS_DATA_DIR', str(tmp_path / 'prepared'))
  rows = problems(split, path=str(folder), **SMALL)
  names = 'question', 'steps', 'ending', 'answer'
  pick = lambda rows: [[row[name] for name in names] for row in rows]
  assert pick(rows) == pick(prosqa.problems('train', seed=seed, **SMALL))


def test_training_rows_are_apart_from_it(folder):
  train = problems('train', path=str(folder), seed=1, **SMALL)
  files = [str(file) for file in folder.iterdir()]
  apart = prosqa.problems('train', seed=1, apart_from=files, **SMALL)
  assert list(train) == list(apart)
  # The same seed drew the published ones: without the files it does again.
  assert list(train) != list(problems('train', seed=1, **SMALL))


def test_without_files_all_is_generated():
  rows = list(problems('test', path=None, **SMALL))
  assert rows == list(prosqa.problems('test', **SMALL))


def test_a_folder_without_the_files(tmp_path):
  with pytest.raises(FileNotFoundError, match=r"or path='' to generate"):
    problems('train', path=str(tmp_path), **SMALL)
