"""A new user's first hour with export, generate, entropy, and as a library."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from etils import epath

from experiments import generate
from experiments.training.cli import named, resolved
from experiments.training.model_card import model_card
from experiments.training.next_command import next_command
from experiments.training.run_config import write_run
from hybrid_latent.models.transformer import unstack
from hybrid_latent.ops.thinking import stopping_rule
from tests.foreign_models import plain

# Of ml_collections, where it loads a config file.
pytestmark = pytest.mark.filterwarnings('ignore:the load_module')

ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / 'experiments/configs'


def test_what_generate_keeps_is_not_called_right(tmp_path, capsys, now):
  row = {'complete': False, 'reasoning_tokens': 1, 'response_tokens': 1}
  (tmp_path / 'part').write_text(f'{json.dumps({**row, "reward": 0.0})}\n' * 8)
  folder = epath.Path(tmp_path)
  generate.merge_shards([folder / 'part'], folder, -np.inf, 8)
  told = capsys.readouterr().out
  now('generate: least=-inf, every reward 0', '8 completions', told)
  assert told.startswith(
    '8 sampled, 0 complete, 0 ungraded, 0 with a reward above 0, 8 kept '
    '(generate.min_reward=-inf); '
  )


@pytest.mark.parametrize(
  ('tool', 'config', 'trainer', 'stage'),
  [
    ('step_entropy', 'hyrea_sft_math.py:M,smoke', 'sft', None),
    ('generate', 'lrt_gsm8k.py:M,words', 'lrt', 'sft'),
  ],
)
def test_a_command_that_a_tool_prints_resolves(
  tool, config, trainer, stage, monkeypatch, now
):
  options = f'--config={CONFIGS}/{config}', '--config.data.path=my data'
  monkeypatch.setattr(sys, 'argv', [f'{tool}.py', *options, '--workdir=w'])
  new = (
    '--config.data.step_entropy_dir=s'
    if tool == 'step_entropy'
    else '--config.seed=1'
  )
  command = next_command(tool, trainer, new, stage=stage)
  now(f'{tool}: the next command', shlex.join(options), command)
  _, _, module, _, path, *rest = shlex.split(command)
  assert module == f'experiments.{trainer}'
  assert resolved(path.partition('=')[2], rest).data.path == 'my data'


def test_an_export_says_what_transformers_leaves_out(now):
  card = model_card(resolved(f'{CONFIGS}/hrpo_gsm8k.py:M', []))
  told = card.partition('**')[2].partition('**')[0]
  now('export: the model card', 'a model of HRPO', told)
  assert told == '`generate` of transformers feeds back tokens alone.'
  assert 'experiments.grpo --workdir=evaluation --config.max_steps=0' in card


@pytest.mark.parametrize(
  'name', ['saved', 'saved.py', str(ROOT / 'experiments/training/saved.py')]
)
def test_a_saved_config_is_read_from_anywhere(name, tmp_path, monkeypatch, now):
  """As the run of `tmp_path/run` had it, whose paths are relative."""
  began, elsewhere = tmp_path / 'began', tmp_path / 'elsewhere'
  (began / 'models/m').mkdir(parents=True)
  elsewhere.mkdir()
  (began / 'train.jsonl').write_text('')
  (began / 'judges_of_a_run.py').write_text('def exact(): return 7')
  monkeypatch.setattr(sys, 'path', [str(began), *sys.path])
  monkeypatch.chdir(began)
  options = 'data.path=train.jsonl', 'data.test_split=other.jsonl', 'seed=3'
  fields = [f'--config.{option}' for option in options]
  config = resolved(f'{CONFIGS}/hrpo_gsm8k.py:models/m', fields)
  write_run(config, 'run')
  saved = f'{name}:{began}/run/config.json'
  assert resolved(saved, []) == config
  monkeypatch.chdir(elsewhere)
  monkeypatch.setattr(sys, 'path', sys.path[1:])
  again = resolved(saved, ['--config.max_steps=0'])
  found = again.model.source, again.data.path, again.data.test_split
  now('saved config in another folder', f'--config={saved}', found)
  assert found == (f'{began}/models/m', f'{began}/train.jsonl', 'other.jsonl')
  assert named('judges_of_a_run:exact', 'hybrid_latent.rewards')() == 7


def test_a_model_of_ones_own_is_decoded_as_it_is(now):
  model = plain()
  now('library: unstack', 'a model without config', type(unstack(model)))
  assert unstack(model) is model


def test_a_stop_needs_no_automaton(now):
  stop = stopping_rule([1], 24)
  now(
    'library: stopping_rule',
    'stopping_rule([1], 24)',
    jax.tree.map(jnp.shape, stop),
  )
  assert stop.max_tokens == 24 and stop.pad_id == 0 and not stop.delimiter.any()


def test_contributing_says_where_a_feedback_joins(now):
  text = (ROOT / 'CONTRIBUTING.md').read_text()
  places = re.findall(r'`((?:tests|experiments)/[\w/]+\.py)`', text)
  now('CONTRIBUTING', 'a new feedback', places)
  assert {'tests/tiny.py', 'experiments/configs/rl_arithmetic.py'} <= {*places}
  assert all((ROOT / place).exists() for place in places)


@pytest.mark.slow
def test_a_package_that_is_missing_is_named_with_its_extra(now):
  """A subprocess that cannot see it; the whole base install has a test too."""
  code = 'import sys; sys.modules["tqdm"] = None; import hybrid_latent'
  done = subprocess.run(
    [sys.executable, '-c', f'{code}.telemetry'],
    cwd=ROOT, capture_output=True, text=True,
  )  # fmt: skip
  told = done.stderr.splitlines()[-1]
  now('the base install', 'import hybrid_latent.telemetry', told)
  assert 'tqdm is not installed: pip install "hybrid-latent[train]"' in told
  assert told.endswith('pip install ".[train]"')
