"""The entropies of steps, against torch; and a job that stops and goes on."""

import json
import os
import random
import re
import shutil
import signal
from pathlib import Path

import jax
import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from experiments import step_entropy
from experiments.training import entropy_examples
from experiments.training.actor import shard
from hybrid_latent import cluster, sharding
from hybrid_latent.curricula.hyrea import hyrea
from hybrid_latent.curricula.steps import split_solution
from hybrid_latent.data import arithmetic
from hybrid_latent.data.jsonl import problems
from hybrid_latent.formats.pretrained import pretrained
from hybrid_latent.formats.tokenizer import chat_ids
from tests.experiments import entropy_tiny
from tests.experiments.entropy_tiny import ROWS, SIZE
from tests.experiments.processes import child, finished, started
from tests.experiments.runs import lines, quick_compiler


@pytest.fixture(scope='module')
def config(model_folder):
  return entropy_tiny.get_config(str(model_folder))


@pytest.fixture(scope='module')
def source(config):
  return arithmetic.problems('train', **config.data.kwargs)


@pytest.fixture(scope='module')
def tokenizer(model_folder):
  return pretrained(model_folder).tokenizer


@pytest.fixture(scope='module')
def run(config, tmp_path_factory):
  """A job that nothing stopped, on a mesh of 2 x 2 x 2."""
  folder = tmp_path_factory.mktemp('entropy')
  annotated(config, folder)
  return folder


def annotated(config, folder: Path) -> list[dict]:
  with quick_compiler():
    path = step_entropy.annotate(config, str(folder))
  assert path == f'{folder}/steps.jsonl'
  return lines(folder / 'steps.jsonl')


def test_the_entropies_are_what_torch_computes(run, source, model_folder):
  """On the solution encoded at once, by where each token lies in the text."""
  tokenizer = pretrained(model_folder).tokenizer
  model = AutoModelForCausalLM.from_pretrained(model_folder)
  total = 0
  for row, raw in zip(lines(run / 'steps.jsonl'), source, strict=True):
    prompt = chat_ids(tokenizer, '', raw['question'])
    whole = tokenizer(
      raw['solution'], add_special_tokens=False, return_offsets_mapping=True
    )
    ids = prompt + whole['input_ids']
    with torch.no_grad():
      logits = model(torch.tensor([ids])).logits[0, len(prompt) - 1 : -1]
    found = torch.distributions.Categorical(logits=logits).entropy().numpy()
    ends = np.cumsum([len(step) for step in row['steps']])
    last = [end for _, end in whole['offset_mapping']]
    step = np.searchsorted(ends, last)  # that each token belongs to
    expected = [found[step == k].mean() for k in range(len(ends))]
    np.testing.assert_allclose(row['entropies'], expected, atol=1e-4)
    total += len(expected)
  assert total > ROWS


def test_the_rows_are_those_of_the_data_in_its_order(run, source):
  rows = lines(run / 'steps.jsonl')
  for row, raw in zip(rows, source, strict=True):
    assert [*row] == ['question', 'steps', 'ending', 'entropies', 'answer']
    assert all(row[name] == raw[name] for name in ('question', 'answer'))
    assert (row['steps'], row['ending']) == split_solution(raw)
    assert len(row['entropies']) == len(row['steps'])
  assert any(row['steps'] == row['entropies'] == [] for row in rows)


def test_the_task_steps_reads_them(run, tmp_path):
  found = problems('steps', str(run), 'train', data_dir=str(tmp_path))
  assert [*found] == lines(run / 'steps.jsonl')


@pytest.mark.parametrize('sizes', [(2, 2, 2, 1), (1, 1, 4, 2)])
def test_a_mesh_computes_what_one_device_does(
  sizes, config, source, tokenizer, model_folder
):
  model = pretrained(model_folder).model
  rows = step_entropy.encode_rows([*source], tokenizer, config.data)

  def found(mesh):
    run, at = step_entropy.entropy_program(7, mesh), shard(model, mesh)
    with jax.set_mesh(mesh), quick_compiler():
      return [
        run(at, *sharding.from_host(tuple(batch), mesh))
        for _, *batch in step_entropy.batches(rows, 4, 96, 3)
      ]

  one = found(sharding.mesh(devices=jax.devices()[:1]))
  for a, b in zip(one, found(sharding.mesh(*sizes)), strict=True):
    np.testing.assert_allclose(a, b, atol=1e-4)


def test_a_batch_has_rows_of_one_length_and_one_of_few_shapes(
  config, source, tokenizer
):
  rows = step_entropy.encode_rows([*source], tokenizer, config.data)
  order = []
  for places, tokens, mask in step_entropy.batches(rows, 4, 96, 3):
    t = min(t for t in (24, 48, 96) if t >= mask.sum(1).max())
    assert tokens.shape == mask.shape == (4, t)
    for i, some, real in zip(places, tokens, mask, strict=False):
      assert some[real].tolist() == rows[i].ids
      assert real.tolist() == sorted(real.tolist(), reverse=True)
    assert not mask[len(places) :].any()
    order += places
  lengths = [len(rows[i].ids) for i in order]
  assert lengths == sorted(lengths)
  solved = [bool(split_solution(row)[0]) for row in source]
  assert sorted(order) == np.flatnonzero(solved).tolist()


def test_what_is_too_long_is_left_out(
  config, source, tokenizer, tmp_path, capsys
):
  rows = step_entropy.encode_rows([*source], tokenizer, config.data)
  lengths = [len(row.ids) for row in rows]
  limit = sorted(lengths)[ROWS // 2]
  config = config.copy_and_resolve_references()
  config.max_length = limit
  kept = [row['question'] for row in annotated(config, tmp_path)]
  assert kept == [
    row['question']
    for row, length in zip(source, lengths, strict=True)
    if length <= limit
  ]
  assert 0 < len(kept) < ROWS
  left = f'; {ROWS - len(kept)} have more than config.max_length={limit} tokens'
  assert left in capsys.readouterr().out


def test_measures_of_the_tokens_of_a_step():
  """Positions 1 and 2 predict the first step, 3 the second."""
  given = {'question': '', 'steps': [], 'ending': '', 'answer': ''}
  row = step_entropy.Row(given, ids=[7] * 5, ends=[2, 4, 5, 5])
  found = {
    measure: json.loads(
      step_entropy.json_line(row, np.array([9.0, 1.0, 2.0, 0.5, 9.0]), measure)
    )['entropies']
    for measure in step_entropy.MEASURES
  }
  assert found == {
    'mean': [1.5, 0.5, 0.0],
    'sum': [3.0, 0.5, 0.0],
    'max': [2.0, 0.5, 0.0],
  }
  with pytest.raises(FloatingPointError, match='nan'):
    step_entropy.json_line(row, np.full(5, np.nan), 'mean')


def test_a_stopped_job_computes_only_the_parts_that_are_missing(
  run, config, tmp_path
):
  shutil.copytree(run, tmp_path, dirs_exist_ok=True)
  whole = (tmp_path / 'steps.jsonl').read_text()
  for name in 'steps.jsonl', 'examples.txt', 'parts/00001.jsonl':
    (tmp_path / name).unlink()
  (tmp_path / 'parts' / '00001.jsonl.part').write_text('{"question": "Half')
  first = tmp_path / 'parts' / '00000.jsonl'
  marked = first.read_text().replace('Tom', 'Tim')
  assert marked != first.read_text()
  first.write_text(marked)
  annotated(config, tmp_path)
  rest = whole.splitlines(True)[SIZE:]
  assert (tmp_path / 'steps.jsonl').read_text() == marked + ''.join(rest)
  names = sorted(path.name for path in (tmp_path / 'parts').iterdir())
  assert names == ['00000.jsonl', '00001.jsonl', '00002.jsonl']


def test_a_finished_job_says_so(run, config, capsys):
  """Also on other devices: these change no entropy."""
  before = (run / 'steps.jsonl').stat().st_mtime_ns
  config = config.copy_and_resolve_references()
  config.update(batch_size=8, logits_chunk=99, buckets=1)
  config.mesh.fsdp, config.data.test_split = 1, 'other'
  annotated(config, run)
  assert capsys.readouterr().out == f'cached: {run}/steps.jsonl is complete\n'
  assert (run / 'steps.jsonl').stat().st_mtime_ns == before


def test_entropies_of_another_configuration_are_refused(run, config):
  other = config.copy_and_resolve_references()
  other.max_length, other.entropy.aggregation = 64, 'sum'
  other.data.kwargs.count = 20
  with pytest.raises(ValueError) as error:
    step_entropy.annotate(other, str(run))
  head, *fields, rows, advice = str(error.value).splitlines()
  assert head == f'{run} holds entropies of another configuration:'
  assert fields == [
    '  config.data.kwargs.count: 22 then, 20 now',
    "  config.entropy.aggregation: 'mean' then, 'sum' now",
    '  config.max_length: 96 then, 64 now',
  ]
  assert rows.startswith('  rows of the data, SHA-256: ')
  assert advice.endswith('or choose another --workdir.')


WRONG = [
  ('aggregation', 'median', "'median': write one of ['mean', 'sum', 'max']"),
  ('rows_per_shard', 0, 'rows_per_shard is 0: write at least 1'),
  ('example_steps', 0, 'example_steps is 0: write at least 1'),
]


@pytest.mark.parametrize('field, value, message', WRONG)
def test_settings_that_cannot_be(field, value, message, config, tmp_path):
  config = config.copy_and_resolve_references()
  config.entropy[field] = value
  with pytest.raises(ValueError, match=re.escape(message)):
    step_entropy.annotate(config, str(tmp_path))
  assert not [*tmp_path.iterdir()]


def test_an_example_can_be_read():
  row = {
    'question': 'Tom has 12 apples. He buys 7 more.\nHe gives away 5.',
    'steps': ['12+7=19\n', 'So\n', '19-5=14\n', '14*1=14\n'],
    'ending': '#### 14',
    'entropies': [1.234, 0.1, 0.5, 2.0],
  }
  text = entropy_examples.example(row, [6, 2, 6, 6], stage=2, num_latents=3)
  assert text == (
    'Tom has 12 apples. He buys 7 more. He gives away 5.\n'
    '\n'
    'entropy  stage  step\n'
    '   1.23      2  12+7=19\n'
    '   0.10      -  So\n'
    '   0.50      1  19-5=14\n'
    '   2.00      3  14*1=14\n'
    '                #### 14\n'
    '\n'
    'At stage 2:\n'
    '  <start-latent><latent><latent><latent><end-latent>So\n'
    '  <start-latent><latent><latent><latent><end-latent>14*1=14\n'
    '  #### 14\n'
  )


def test_examples_are_what_the_curriculum_makes(run, config, tokenizer):
  tokenizer.add_tokens([*config.model.new_tokens])
  document = hyrea(tokenizer, **config.curriculum.kwargs).document
  rows = [row for row in lines(run / 'steps.jsonl') if row['steps']]
  texts = (run / 'examples.txt').read_text().split('At stage 2:\n')[1:]
  assert len(texts) == entropy_examples.EXAMPLES
  for row, shown in zip(rows, texts, strict=False):
    solution = tokenizer.decode(document([], row, 2, random.Random(0)).tokens)
    solution = solution.removesuffix('<|end|>').strip()
    assert shown.splitlines()[0] == f'  {solution}'
    assert '<start-latent><latent><latent><end-latent>' in solution


@pytest.mark.slow
def test_killed_processes_go_on_to_the_same_file(run, model_folder, tmp_path):
  """Two processes, of which one is killed; then four to the end."""
  workdir = tmp_path / 'run'
  command = [
    *('-m', 'experiments.step_entropy', f'--workdir={workdir}'),
    f'--config={entropy_tiny.__file__}:{model_folder}',
    '--config.entropy.rows_per_shard=2',
  ]
  parts = lambda: [*workdir.glob('parts/*.jsonl')]
  with started(command, tmp_path, processes=2) as job:
    job.wait_for(lambda: len(parts()) > 1)
    os.kill(child(job.processes[1]), signal.SIGKILL)
    assert job.codes() == [cluster.RESTART] * 2, job.said()
  done = {path: path.stat().st_mtime_ns for path in parts()}
  finished(command, tmp_path, processes=4)
  assert 1 < len(done) < len(parts()) == ROWS // 2
  assert all(path.stat().st_mtime_ns == done[path] for path in done)
  both = (lines(f / 'steps.jsonl') for f in (workdir, run))
  for pair in zip(*both, strict=True):
    np.testing.assert_allclose(*(x.pop('entropies') for x in pair), atol=1e-4)
    assert pair[0] == pair[1]
