"""Models that are not there: which field names them, and what is accepted."""

import jax
import pytest

from experiments.configs import lrt
from experiments.training.actor import init_feedback, load_model
from hybrid_latent import sharding
from hybrid_latent.formats.pretrained import pretrained
from hybrid_latent.policy import Policy

HUB = "model 'Qwen/Qwen3-Embedding-0.6B' is no local folder, and its download "


@pytest.mark.parametrize(
  ('field', 'source', 'said'),
  [
    ('backbone', 'Qwen/Qwen3-Embedding-0.6B', HUB),
    (
      'backbone',
      '/nowhere',
      "model '/nowhere' does not exist: accepted is a p",
    ),
  ],
)
def test_the_field_of_a_reasoner(
  field, source, said, model_folder, monkeypatch, now
):
  monkeypatch.setattr('huggingface_hub.constants.HF_HUB_OFFLINE', True)
  feedback = lrt.get_config('none').feedback.unlock()
  feedback.init_kwargs[field] = source
  base = pretrained(model_folder)
  with pytest.raises(FileNotFoundError) as caught:
    init_feedback(
      feedback, jax.random.key(0), Policy(base.model), base.tokenizer
    )
  now('a model that is not there', f'{field}={source}', caught.value)
  assert str(caught.value).startswith(
    f'config.feedback.init_kwargs.{field}: {said}'
  )


@pytest.mark.parametrize(
  ('source', 'said'),
  [
    ('nowhere', "model 'nowhere' does not exist: accepted is a preset"),
    ('FOLDER/none', "none' does not exist: accepted is a preset"),
    ('FOLDER/a.txt', "a.txt' is no .gguf file: accepted is a preset"),
    ('FOLDER', 'has no config.json: write the path of a model folder'),
  ],
)
def test_the_field_of_a_model(source, said, tmp_path, now):
  (tmp_path / 'a.txt').write_text('')
  config = lrt.get_config('none').unlock()
  config.model.source = source.replace('FOLDER', str(tmp_path))
  with pytest.raises(FileNotFoundError) as caught:
    load_model(config, sharding.mesh(data=-1))
  now('a model that is not there', source, caught.value)
  assert str(caught.value).startswith('config.model.source: ')
  assert said in str(caught.value)
