"""A trainer's config has the fields that it reads, and no others."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from ml_collections import ConfigDict

from experiments import grpo, lrt, sft
from experiments.configs import lrt as lrt_base
from experiments.configs import rl as rl_base
from experiments.configs import sft as sft_base
from experiments.configs import sft_arithmetic
from experiments.fields.overrides import leaves
from experiments.training import setup
from tests.experiments.lrt_tiny import TRIPLES
from tests.experiments.runs import quick_compiler

pytestmark = pytest.mark.slow
# What no trainer reads, and the command that it is for.
OTHER_COMMANDS = {
  'generate.': 'generate.py',
  'evaluate.': 'evaluate.py',
  'entropy.': 'step_entropy.py',
  'rollout.forced_text.no_thinking': 'evaluate.py and serve.py',
}


def test_grpo_reads_its_config(model_folder, tmp_path):
  """Plain, and with all that reads more: a critic, a reference that moves."""
  config = tiny(rl_base.defaults(str(model_folder)), tmp_path)
  config.update(export=True, dump_every=1)
  config.rollout.update(prompts_per_step=2, num_generations=4, logits_chunk=8)
  config.reference.sync_steps = 1
  config.reward_kl.beta = 0.1
  config.optimizer.groups.lora.pattern = r'^model\..*\.lora\.'
  assert unread(grpo, config, tmp_path) == []


def test_sft_reads_its_config_in_words_or_in_latents(model_folder, tmp_path):
  config = tiny(sft_base.defaults(str(model_folder)), tmp_path)
  config.update(batch_size=8, max_length=128)
  config.rollout.update(prompts_per_step=2, num_generations=4)
  found = [{*unread(sft, config, tmp_path / 'words')}]
  for method in 'codi', 'sim_cot':
    config = sft_arithmetic.get_config(f'{model_folder},{method}').unlock()
    config.update(batch_size=8, max_length=128, max_steps=1)
    config.stages.update(starts=(0,), data_fraction=(1.0,))
    config.lora.rank = 4
    config.data.kwargs.count = 16
    config.rollout.max_completion_length = 8
    config.eval.num_prompts = 2
    found.append({*unread(sft, config, tmp_path / method)})
  assert set.intersection(*found) == set()


def test_lrt_reads_its_config_in_one_stage_or_the_other(model_folder, tmp_path):
  found = []
  for stage in 'sft', 'rl':
    config = tiny(lrt_base.defaults(str(model_folder), stage), tmp_path)
    config.feedback.init_kwargs.update(backbone=str(model_folder), latents=3)
    config.rollout.update(
      prompts_per_step=8, num_generations=1, max_completion_length=8
    )
    config.rollout.end_of_thinking = '</think>'
    if stage == 'sft':
      config.data.sft_answers_dir = str(TRIPLES)
      config.lora.rank = 4
      config.optimizer.groups.lora = dict(
        pattern=r'^model\..*\.lora\.', lr=1e-3, weight_decay=0.0
      )
    else:
      config.rollout.update(prompts_per_step=2, num_generations=4)
    found.append({*unread(lrt, config, tmp_path / stage)})
  assert set.intersection(*found) == set()


def unread(trainer, config: ConfigDict, folder) -> list[str]:
  """The fields that a run of one step, its evaluation and its export do not
  read, and no other command does."""
  with recorded(config.lock()) as read, quick_compiler():
    trainer.train(config, str(folder / 'run'))
  return [
    name
    for name, _ in leaves(config)
    if name not in read and not name.startswith((*OTHER_COMMANDS,))
  ]


@contextmanager
def recorded(config: ConfigDict) -> Iterator[set[str]]:
  """The dotted names of the fields that are read. The checks of every field,
  and what writes all of them down, do not count."""
  parts, read, quiet = {}, set(), [0]

  def name_parts(part, prefix):
    parts[id(part)] = prefix
    for name, value in part.items():
      if isinstance(value, ConfigDict):
        name_parts(value, f'{prefix}{name}.')

  name_parts(config, '')
  get, as_dict = ConfigDict.__getitem__, ConfigDict.to_dict

  def __getitem__(self, name):
    if not quiet[0] and id(self) in parts:
      read.add(f'{parts[id(self)]}{name}')
    return get(self, name)

  def to_dict(self, *args, **kwargs):
    if not quiet[0] and id(self) in parts:  # it becomes keyword arguments
      read.update(f'{parts[id(self)]}{name}' for name, _ in leaves(self))
    return as_dict(self, *args, **kwargs)

  def without_record(function):
    def call(*args, **kwargs):
      quiet[0] += 1
      try:
        return function(*args, **kwargs)
      finally:
        quiet[0] -= 1

    return call

  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(setup, 'check', without_record(setup.check))
    for name in 'to_json', 'to_json_best_effort':
      function = getattr(ConfigDict, name)
      patch.setattr(ConfigDict, name, without_record(function))
    patch.setattr(ConfigDict, '__getitem__', __getitem__)
    patch.setattr(ConfigDict, 'to_dict', to_dict)
    yield read


def tiny(config: ConfigDict, folder) -> ConfigDict:
  """The base config with little data, for one step."""
  rows = [
    {'question': f'What is {i} and {i}?', 'answer': f'{i} + {i} #### {2 * i}'}
    for i in range(8)
  ]
  for split in 'train', 'test':
    text = ''.join(f'{json.dumps(row)}\n' for row in rows)
    (folder / f'{split}.jsonl').write_text(text)
  config.max_steps = config.gradient_accumulation_steps = 1
  config.data.kwargs.task, config.data.path = 'gsm8k', str(folder)
  config.data.system_prompt = ''
  config.model.update(dtype='float32', param_dtype='float32', remat='none')
  config.rollout.update(
    max_prompt_length=64, max_completion_length=8, buckets=1
  )
  config.eval.num_prompts = 2
  config.checkpoint.every = 1
  config.grader.workers = 1
  return config
