"""A model from any checkpoint of a run."""

import json
import re
import shlex
import subprocess
import sys
from functools import partial
from pathlib import Path

import jax
import numpy as np
import pytest

import hybrid_latent as hl
from experiments.export import (
  _metrics_at,
  evaluation_command,
  export,
  export_rollout,
)
from experiments.training.actor import load_actor
from experiments.training.cli import resolved
from experiments.training.model_card import model_card
from experiments.training.sampler import merged_for_decoding
from experiments.training.trained_run import open_run
from hybrid_latent import sharding
from hybrid_latent.formats.pretrained import pretrained
from hybrid_latent.trees import named_leaves
from tests.experiments.runs import saved

# Of ml_collections, where it loads a config file.
pytestmark = pytest.mark.filterwarnings('ignore:the load_module')

EXAMPLE = Path(__file__).parents[2] / 'examples/exported_rollout.py'
CONFIGS = Path(__file__).parents[2] / 'experiments/configs'


@pytest.mark.parametrize(('which', 'step'), [('3', 3), ('latest', 4)])
def test_the_adapters_of_that_step_are_merged(
  hrpo, model_folder, tmp_path, which, step
):
  assert export(str(hrpo.folder), which, tmp_path / 'model') == step
  after = named_leaves(pretrained(tmp_path / 'model').model)
  before = named_leaves(pretrained(model_folder).model)
  trained = saved(hrpo.folder, step)
  a, b = (trained[f'0.model.layers.q.lora.{x}'] for x in 'ab')
  expected = before['layers.q.weight'] + 2.0 * b @ a  # alpha / rank
  np.testing.assert_allclose(after['layers.q.weight'], expected, atol=1e-6)
  np.testing.assert_array_equal(after['embedding'], before['embedding'])
  card = (tmp_path / 'model' / 'README.md').read_text()
  assert 'library_name: transformers' in card.split('---')[1]
  assert '`gated:gated`' in card


def test_a_card_says_what_was_trained_and_what_others_leave_out():
  config = resolved(f'{CONFIGS}/hrpo_gsm8k.py:Qwen/Qwen2.5-1.5B-Instruct', [])
  card = model_card(config)
  assert 'base_model: Qwen/Qwen2.5-1.5B-Instruct\n' in card
  assert "    data.kwargs.task = 'gsm8k'\n" in card
  assert 'python -m experiments.grpo ' in card
  assert '    rollout.sampling.temperature = 0.5\n' in card
  words = model_card(resolved(f'{CONFIGS}/sft_gsm8k.py:{CONFIGS}', []))
  assert 'base_model' not in words and '`generate`' not in words
  assert 'python -m experiments.sft ' in words


def test_a_run_without_an_evaluation_shows_what_that_needs(tmp_path):
  def shown(*options):
    card = model_card(resolved(f'{CONFIGS}/hrpo_gsm8k.py:M', [*options]))
    return re.findall(r'--config\.(?:eval|data)\S+', card)

  rows = '--config.data.path=FILE_OF_TEST_ROWS'
  assert shown() == []
  assert shown('--config.eval.num_prompts=0') == [
    '--config.eval.num_prompts=64'
  ]
  assert shown('--config.data.kwargs.task=deepscaler') == [rows]
  (tmp_path / 'train.jsonl').write_text('{}')  # training rows alone
  assert shown(f'--config.data.path={tmp_path}') == [rows]


def test_a_card_says_the_step_and_what_was_measured_until_then(tmp_path):
  config = resolved(f'{CONFIGS}/hrpo_gsm8k.py:M', ['--config.max_steps=5000'])
  rows = [
    {'step': 0, 'eval/accuracy': 0.1},
    *({'step': i, 'loss': 0.0, 'reward': i / 1000} for i in range(600)),
    {'step': 400, 'eval/accuracy': 0.5},
    {'step': 600, 'eval/accuracy': 0.9},
  ]
  text = ''.join(f'{json.dumps(row)}\n' for row in rows)
  (tmp_path / 'metrics.jsonl').write_text(text)
  card = model_card(config, 488, _metrics_at(str(tmp_path), 488))
  assert '    step 488 of 5000\n    eval/accuracy: 0.5\n    loss: 0\n' in card
  assert '    reward: 0.487\n' in card
  assert len(card.splitlines()) < 60 and '.lr = ' in card


def test_the_next_command_is_one_that_a_shell_reads(hrpo, tmp_path):
  assert evaluation_command(str(tmp_path), 1, tmp_path) == ''
  folder = tmp_path / 'a b'
  folder.symlink_to(hrpo.folder)
  command = evaluation_command(str(folder), 4, tmp_path / 'm').splitlines()[-1]
  assert shlex.split(command)[2:6] == [
    'experiments.grpo',
    f'--config=saved:{folder.resolve()}/config.json',
    f'--config.model.source={tmp_path}/m',
    '--config.max_steps=0',
  ]


@pytest.mark.parametrize(
  ('workdir', 'which', 'told'),
  [
    ('', '7', r"step 7 of .*: write one of \['latest', 3, 4\]"),
    ('', 'best', r"step best of .*: write one of \['latest', 3, 4\]"),
    ('elsewhere', 'latest', 'elsewhere has no checkpoints'),
  ],
)
def test_what_is_not_there_is_told(hrpo, tmp_path, workdir, which, told):
  with pytest.raises(ValueError, match=told):
    export(workdir or str(hrpo.folder), which, tmp_path / 'model')
  assert not any(tmp_path.iterdir())


def test_an_exported_rollout_runs_without_this_package(hrpo, tmp_path):
  pytest.importorskip('flatbuffers')
  folder = tmp_path / 'rollout'
  assert export_rollout(str(hrpo.folder), 'latest', folder) == 4
  facts = json.loads((folder / 'rollout.json').read_text())
  assert facts['feedback']['function'] == 'gated:gated'
  assert facts['arguments']['tokens'].startswith('int32[u,')
  code = (
    'import runpy, sys\n'
    f'sys.argv = ["x", {str(folder)!r}, "12", "7", "99"]\n'
    f'runpy.run_path({str(EXAMPLE)!r}, run_name="__main__")\n'
    'assert not {"flax", "hybrid_latent"} & set(sys.modules)'
  )
  done = subprocess.run(
    [sys.executable, '-c', code], capture_output=True, text=True, check=True
  )
  # Ours, of the same prompt and seed.
  run = open_run(str(hrpo.folder))
  mesh = sharding.mesh(devices=jax.devices()[:1])
  actor = load_actor(run.config, mesh, run.init_key)
  width = run.config.rollout.max_prompt_length
  trajectory = jax.jit(partial(hl.rollout, feedback=hl.gated(), max_steps=8))(
    merged_for_decoding(run.restored(actor.policy)),
    prompt=hl.left_padded([[12, 7, 99]], length=width),
    key=jax.random.key(0),
    sampling=hl.sampling(**run.config.rollout.sampling),
    stop=actor.stop,
  )
  ours = trajectory.tokens[0][trajectory.mask[0]]
  assert [*map(int, done.stdout.split())] == ours.tolist()
