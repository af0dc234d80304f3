"""Tokenizers that do not say what ends a text, templates that refuse, and what
a feedback left beside the model."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from hybrid_latent.formats.export import write_json
from hybrid_latent.formats.pretrained import fits, open_model, pretrained
from hybrid_latent.formats.tokenizer import chat_ids, pad_id, stop_ids
from tests.faults import folders
from tests.faults.folders import edited


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
  return folders.write_whole(tmp_path_factory.mktemp('models') / 'whole')


@pytest.fixture
def folder(whole, tmp_path):
  """A copy of it to break."""
  return Path(shutil.copytree(whole, tmp_path / 'model'))


def test_what_the_generation_config_ends_and_pads(folder, now):
  """Where the tokenizer says neither."""
  drop = lambda x: [x.pop(name, None) for name in ('eos_token', 'pad_token')]
  edited('tokenizer_config.json', lambda x: drop(x) and x)(folder)
  write_json(
    folder / 'generation_config.json',
    {'eos_token_id': [7, 1], 'pad_token_id': 3},
  )
  files = open_model(folder)
  assert stop_ids(files.tokenizer, files.generation) == [1, 7]
  assert (files.tokenizer.eos_token_id, pad_id(files.tokenizer)) == (7, 3)
  now('no pad and no eos', 'both in generation_config.json', 'taken from there')
  write_json(folder / 'generation_config.json', {})
  with pytest.raises(ValueError) as error:
    pad_id(open_model(folder).tokenizer)
  now('no pad and no eos', 'nowhere', error.value)
  assert str(error.value).startswith(
    f'{folder} has no pad_token and no eos_tok'
  )
  assert 'generation_config.json' in str(error.value)


@pytest.mark.parametrize(
  ('template', 'told'),
  [
    (
      None,
      r"there is none: write config\.data\.prompt_template='\{question\}'",
    ),
    ('{% for %}', r'line 1: .*write config\.data\.prompt_template'),
    (
      "{% if messages[0]['role'] == 'system' %}"
      "{{ raise_exception('System role not supported') }}{% endif %}",
      r"\['system', 'user'\]: System role not supported: write config\.data",
    ),
    (
      '{{ messages + 1 }}',
      r'cannot render the roles .*config\.data\.prompt_template',
    ),
    ('{{ messages.__class__.__mro__ }}', r'cannot render .* is unsafe'),
    ('{% for i in range(9999999999) %}{% endfor %}', r'cannot render .*'),
  ],
)
def test_chat_templates(template, told, folder, now):
  if template is None:
    (folder / 'chat_template.jinja').unlink()
  else:
    (folder / 'chat_template.jinja').write_text(template)
  tokenizer = open_model(folder).tokenizer
  with pytest.raises(ValueError, match=told) as error:
    chat_ids(tokenizer, 'Add.', 'Hi?')
  now('chat templates', template, error.value)
  assert str(error.value).startswith(f'{folder}: chat template')
  assert len(str(error.value)) < 500


@pytest.mark.parametrize(
  ('owned', 'told'),
  [
    ({}, None),
    ({'w_r': (2, 3)}, True),
    ({'other': (2, 3)}, False),
    ({'w_r': (3, 3)}, r'w_r: \(2, 3\), expected \(3, 3\)'),
    ({'w_r': (2, 3), 'w_i': (2,)}, r'w_i: None, expected \(2,\)'),
  ],
)
def test_what_a_feedback_owns(owned, told, folder, caplog, now):
  source = pretrained(folder)
  arrays = {name: np.zeros(shape) for name, shape in owned.items()}
  if isinstance(told, str):
    with pytest.raises(ValueError, match=told) as error:
      fits(source, arrays)
    now('feedback.safetensors', owned, error.value)
    assert 'config.feedback' in str(error.value)
    return
  assert fits(source, arrays) is bool(told)
  now('feedback.safetensors', owned, caplog.text or 'read')
  assert (
    "ignored: config.feedback has no parameters ['w_r']" in caplog.text
  ) is (not told)
