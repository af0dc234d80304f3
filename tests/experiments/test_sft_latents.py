"""Supervised training through latents, stage by stage."""

import numpy as np
import pytest

from experiments.configs import sft_arithmetic
from experiments.configs.sft import SPAN_TOKENS
from hybrid_latent.formats.pretrained import pretrained
from tests.experiments.runs import lines, saved, steps, taught

PROBLEMS, ROWS = 16, 8
HYREA, COCONUT = (0, 2, 4), (0, 1)  # where their stages begin


def in_stages(model_folder, method, begin, steps):
  """Each stage is evaluated at its end."""
  config = sft_arithmetic.get_config(f'{model_folder},{method}').unlock()
  config.update(max_steps=steps, batch_size=ROWS, packing=False)
  config.stages.update(
    starts=begin,
    data_fraction=(0.25, 0.5, 1.0)[: len(begin)],
    reset_optimizer=True,
  )
  config.data.kwargs.count = PROBLEMS
  config.eval.num_prompts = 3
  config.rollout.update(
    prompts_per_step=2, num_generations=2, max_completion_length=16
  )
  config.checkpoint.update(every=1, keep=steps)
  config.grader.workers = 1
  return config


@pytest.fixture(scope='module')
def hyrea(model_folder, tmp_path_factory):
  """Two steps of each stage; what they replace is drawn."""
  config = in_stages(model_folder, 'random', HYREA, 6).lock()
  return taught(config, tmp_path_factory.mktemp('hyrea'))


@pytest.fixture(scope='module')
def coconut(model_folder, tmp_path_factory):
  """A step in words and one with two latents."""
  config = in_stages(model_folder, 'coconut', COCONUT, 2)
  config.curriculum.kwargs.c_thought = 2
  return taught(config.lock(), tmp_path_factory.mktemp('coconut'))


@pytest.mark.parametrize(
  ('method', 'stages', 'latents'),
  [('hyrea', [0, 0, 1, 1, 2, 2], 1), ('coconut', [0, 1], 2)],
)
def test_a_stage_follows_the_other(method, stages, latents, request):
  run = request.getfixturevalue(method)
  rows = steps(run.folder)
  assert [row['stage'] for row in rows] == stages
  for row, batch in zip(rows, run.batches, strict=True):
    assert np.isfinite(list(row.values())).all() and row['grad_norm'] > 0
    assert ('latent_norm' in row) == (row['stage'] > 0)
    assert (batch['latent'].sum(1) == latents * row['stage']).all()


@pytest.mark.parametrize(
  ('method', 'at', 'stages'),
  [('hyrea', [0, 2, 4, 6], [0, 0, 1, 2]), ('coconut', [0, 1, 2], [0, 0, 1])],
)
def test_each_stage_is_evaluated_at_its_end(method, at, stages, request):
  run = request.getfixturevalue(method)
  rows = lines(run.folder / 'metrics.jsonl')
  found = [row for row in rows if 'eval/stage' in row]
  assert [row['step'] for row in found] == at
  assert [row['eval/stage'] for row in run.evaluations] == stages
  for written, returned in zip(found, run.evaluations, strict=True):
    assert returned.items() <= written.items()
    assert returned['eval/completions/mean_length'] > 0


def test_a_later_stage_reads_more_of_the_data(hyrea):
  """And all that those before it have read."""
  rows, read = steps(hyrea.folder), (set(), set(), set())
  for row, batch in zip(rows, hyrea.batches, strict=True):
    # Up to where the answer begins; replaced steps are behind that.
    answer = np.cumsum(batch['weights'], axis=1) > 0
    read[int(row['stage'])].update(
      map(bytes, np.where(answer, 0, batch['tokens']))
    )
  assert [len(prompts) for prompts in read] == [4, 8, 16]
  assert read[0] < read[1] < read[2]


def test_a_stage_begins_with_a_new_optimizer(hyrea):
  for step in range(1, 7):
    state = [
      x for name, x in saved(hyrea.folder, step).items() if name[:2] == '1.'
    ]
    assert any(x.any() for x in state) == (step not in HYREA), step


def test_a_model_opens_with_the_latents_of_its_stage(coconut):
  """And thinks no more: the tokens that begin a span are none of the likeliest
  of this random model."""
  figures = [
    (row['eval/switches'], row['eval/latent_tokens'])
    for row in coconut.evaluations
  ]
  assert figures == [(0, 0), (0, 0), (1, 2)]


def test_the_folder_has_the_tokens_of_a_span(coconut):
  vocabulary = pretrained(coconut.folder / 'model').tokenizer.get_vocab()
  assert vocabulary.keys() >= {*SPAN_TOKENS}


@pytest.mark.parametrize(
  ('method', 'metric', 'latents'),
  [
    ('pccot', 'distillation/2', 3),
    ('kava', 'kv_distance', 3),
    ('colar', 'embedding_loss', 0),  # its inputs are tokens, summed
  ],
)
def test_a_method_of_one_stage_trains_and_is_evaluated(
  method, metric, latents, model_folder, tmp_path
):
  config = in_stages(model_folder, method, (0,), 2)
  run = taught(config.lock(), tmp_path)
  for row, batch in zip(steps(tmp_path), run.batches, strict=True):
    assert row[metric] > 0 and np.isfinite(list(row.values())).all()
    assert (batch['latent'].sum(1) == latents).all()
  for row in run.evaluations:
    assert row['eval/judged'] == 3 and row['eval/completions/mean_length'] > 0
