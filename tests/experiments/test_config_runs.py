"""Every config makes a step, with a small model and short completions."""

import json
import shutil
from functools import partial

import numpy as np
import pytest

from hybrid_latent.ops.thinking import STOP_IDS
from tests.experiments import lrt_tiny
from tests.experiments.runs import lines, steps, taught, trained, tuned
from tests.experiments.test_configs import EVERY, TAUGHT, TUNED, built

pytestmark = pytest.mark.slow
each = partial(pytest.mark.parametrize, ('name', 'words'))


@each(EVERY)
def test_what_a_config_names_fits_together(name, words, model_folder, tmp_path):
  if 'latent_grpo' in words:  # what does not end has advantage 0
    model_folder = with_more_ends(model_folder, tmp_path / 'model')
  config = tiny(built(name, f'{model_folder}{words},smoke'))
  evaluations = trained(config, tmp_path).evaluations
  assert len(steps(tmp_path)) == config.max_steps
  if not config.max_steps:
    assert 0 < evaluations[0]['eval/hidden_ratio'] <= 1
    return
  (row,) = lines(tmp_path / 'metrics.jsonl')
  # null: a judge of letters has nothing to say of numbers.
  silent = {f'rewards/{name}/' for name in config.rewards
            if row[f'rewards/{name}/ungraded'] == 1}  # fmt: skip
  assert silent <= {'rewards/accuracy/'}
  heard = [x for name, x in row.items() if not name.startswith((*silent,))]
  assert np.isfinite(heard).all()
  assert row['rewards/digits/std'] > 0
  assert row['grad_norm'] > 0
  assert {f'rewards/{name}/mean' for name in config.rewards} <= row.keys()
  if config.num_iterations * config.num_mini_batches == 1:
    # Times 1e4, which is what fuzzy does to logits, 1e-6 is much.
    limit = (
      0.1 if config.feedback.init_kwargs.get('temperature') == 1e-4 else 1e-3
    )
    assert row['sampling/sampling_logp_difference/max'] < limit


@each(TAUGHT)
def test_what_a_supervised_config_names_fits_together(
  name, words, model_folder, tmp_path
):
  config = built(name, f'{model_folder}{words},smoke')
  stages, last = len(config.stages.starts), config.max_steps
  config = tiny(config, max_steps=last)
  with config.unlocked():
    config.data.function = 'tests.experiments.sft_tiny:problems'
    # '<<' is one token of the released models, and not of this one.
    tokens = (x.partition('=')[0] for x in config.model.new_tokens)
    config.model.new_tokens = tuple(tokens)
  evaluations = taught(config, tmp_path).evaluations
  rows = steps(tmp_path)
  assert [row['stage'] for row in rows] == [i // 2 for i in range(2 * stages)]
  assert all(np.isfinite([*row.values()]).all() for row in rows)
  assert all(row['grad_norm'] > 0 for row in rows)
  assert evaluations[-1]['eval/stage'] == stages - 1
  assert ('latent_norm' in rows[-1]) == ends_in_latents(config.curriculum)
  distilled = 'codi:self_distillation' in str(config.objective)
  assert ('distillation/2' in rows[-1]) == distilled


@each(TUNED)
def test_what_a_reasoners_config_names_fits_together(
  name, words, model_folder, tmp_path
):
  config = tiny(
    built(name, f'{model_folder}{words},smoke'), max_steps=2
  ).unlock()
  config.feedback.init_kwargs.update(backbone=str(model_folder), latents=4)
  if config.rollout.num_generations == 1:
    config.data.sft_answers_dir = str(lrt_tiny.TRIPLES)
  tuned(config.lock(), tmp_path)
  rows = steps(tmp_path)
  assert len(rows) == 2
  assert all(np.isfinite([*row.values()]).all() for row in rows)
  assert all(row['grad_norm'] > 0 for row in rows)
  assert ('rewards/accuracy/mean' in rows[0]) == (
    config.rollout.num_generations > 1
  )
  assert (tmp_path / 'reasoner' / 'model.safetensors').is_file()


def with_more_ends(model_folder, folder):
  """A copy of the model whose completions end at one token of some thirty."""
  shutil.copytree(model_folder, folder)
  ends = {'eos_token_id': [*range(20, 20 + STOP_IDS - 1)]}
  (folder / 'generation_config.json').write_text(json.dumps(ends))
  return folder


def ends_in_latents(curriculum):
  kwargs = curriculum.kwargs
  counted = [
    kwargs.get(name) for name in ('num_latents', 'c_thought', 'latents')
  ]
  return any(counted) and kwargs.get('replace') != 'none'


def tiny(config, max_steps=1):
  """As the config has it but for the data, in float32, with prompts that such a
  model can hold and a reward that it can earn."""
  config = config.unlock()
  config.max_steps = min(config.max_steps, max_steps)
  config.model.update(dtype='float32', param_dtype='float32')
  config.data.update(
    function='arithmetic:problems',
    train_split='train',
    test_split='test',
    system_prompt='',
    prompt_template=config.data.prompt_template and '{question}',
  )
  config.data.kwargs = dict(count=16, steps=(1, 2), largest=20)
  del config.data.path
  if 'max_length' in config:
    config.max_length = min(config.max_length, 128)
  config.rollout.update(
    max_prompt_length=64, max_completion_length=48, cache_stages=1
  )
  if (
    config.rollout.max_thinking_tokens
  ):  # a letter of it may end this model's rows
    config.rollout.forced_text.update(
      after_thinking='####', on_truncation='####'
    )
  config.rewards.digits = dict(
    function='tests.experiments.rewards:digits', weight=1.0, kwargs={}
  )
  config.grader.workers = 1
  return config.lock()
