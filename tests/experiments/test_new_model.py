"""A random model that any config may begin with."""

import sys

from experiments import new_model
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
