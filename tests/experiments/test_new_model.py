"""A random model that any config may begin with."""

import sys
from pathlib import Path

import pytest

from experiments import new_model
from experiments.fields.model import check_model
from experiments.fields.overrides import resolved
from hybrid_latent.data import prosqa
from hybrid_latent.formats.pretrained import pretrained


def test_sizes_and_tokenizer_are_those_asked_for(tmp_path, monkeypatch):
  tokenizer = prosqa.tokenizer()
  folder = tmp_path / 'start'
  words = ['--tokenizer=prosqa:tokenizer', '--width=32', '--layers=2']
  monkeypatch.setattr(sys, 'argv', ['new_model', f'--to={folder}', *words])
  new_model.main()
  source = pretrained(str(folder))
  config = source.model.config
  assert (config.width, config.layers) == (32, 2)
  assert len(tokenizer) <= config.vocab < len(tokenizer) + 64
  assert source.tokenizer.get_vocab() == tokenizer.get_vocab()
  assert source.generation['eos_token_id'] == tokenizer.eos_token_id


@pytest.mark.parametrize(
  ('word', 'told'),
  [
    ('--kv_heads=2', 'num_key_value_heads = 2: accepted is a divisor of 3'),
    ('--head_dim=33', 'head_dim = 33: accepted is an even number'),
    ('--to={}', 'exists: write elsewhere'),
  ],
)
def test_what_is_refused_writes_nothing(
  tmp_path, monkeypatch, capsys, word, told
):
  words = [f'--to={tmp_path}/new', '--tokenizer=prosqa:tokenizer']
  words += [word.format(tmp_path)]
  monkeypatch.setattr(sys, 'argv', ['new_model', *words])
  with pytest.raises(SystemExit) as end:
    new_model.main()
  assert end.value.code == 2 and told in capsys.readouterr().err
  assert not [*tmp_path.iterdir()]


CONFIGS = Path(__file__).parents[2] / 'experiments/configs'


@pytest.mark.filterwarnings('ignore:the load_module')  # of ml_collections
@pytest.mark.parametrize('page', [x.stem for x in CONFIGS.glob('[a-z]*.py')])
def test_its_positions_are_enough_for_a_try_of_every_config(page):
  words = {
    'lrt_arithmetic': ',rl,B',
    'rl_arithmetic': ',grpo',
    'running_sums': ',rl,B',
  }
  try:
    config = resolved(f'{page}:M,smoke', [])
  except ValueError:
    config = resolved(f'{page}:M{words.get(page, "")}', [])
  check_model(config, new_model.SMALL, None)
