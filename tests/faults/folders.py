"""A model's folder, and what can be done to it."""

import json
from pathlib import Path

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from hybrid_latent.data import arithmetic
from hybrid_latent.formats.export import write_folder, write_json
from hybrid_latent.formats.parsed import read_json
from hybrid_latent.formats.pretrained import Pretrained, pretrained
from hybrid_latent.models.transformer import Transformer
from tests.experiments.conftest import MODEL

LFS = b'version https://git-lfs.github.com/spec/v1\noid sha256:4\nsize 9\n'
WEIGHTS = 'model.safetensors'
INDEX = f'{WEIGHTS}.index.json'
NORM = 'model.norm.weight'


def write_whole(folder: Path) -> Path:
  """A model, its tokenizer, ids that end, and what a feedback owns."""
  folder.mkdir()
  model = Transformer(MODEL, jax.random.key(0))
  owned = {'w_r': np.ones((2, 3), np.float32)}
  ends = {'eos_token_id': [1, 20]}
  write_folder(Pretrained(model, arithmetic.tokenizer(), ends, owned), folder)
  return folder


def refusal(folder) -> str:
  with pytest.raises((ValueError, FileNotFoundError)) as error:
    pretrained(folder)
  assert str(error.value).startswith(str(folder)), error.value
  text = str(error.value).replace(str(folder), 'MODEL')
  assert len(text) < 3000
  return text


def edited(name, edit):
  """A change of one JSON file: by a function, or by fields to write."""

  def change(folder):
    fields = read_json(folder / name)
    fields = edit(fields) or fields if callable(edit) else fields | edit
    (folder / name).write_text(json.dumps(fields))

  return change


def config(**fields):
  return edited('config.json', fields)


def data(name, content):
  return lambda folder: (folder / name).write_bytes(content)


def cut(name, share):
  def change(folder):
    whole = (folder / name).read_bytes()
    (folder / name).write_bytes(whole[: int(share * len(whole))])

  return change


def as_folder(name):
  def change(folder):
    (folder / name).unlink(missing_ok=True)
    (folder / name).mkdir()

  return change


def weights(edit, name=WEIGHTS):
  def change(folder):
    arrays = load_file(folder / name)
    edit(arrays)
    save_file(arrays, folder / name)

  return change


def header(edit, name=WEIGHTS):
  """A change of the header's text."""

  def change(folder):
    content = (folder / name).read_bytes()
    size = int.from_bytes(content[:8], 'little')
    text = edit(content[8 : 8 + size])
    body = content[8 + size :]
    (folder / name).write_bytes(len(text).to_bytes(8, 'little') + text + body)

  return change


def twice(text):
  """The first tensor of the header again, as one of another shape."""
  fields = json.loads(text)
  name = next(x for x in fields if x != '__metadata__')
  count = int(np.prod(fields[name]['shape']))
  again = json.dumps({name: fields[name] | {'shape': [count]}})
  return text.rstrip()[:-1] + b',' + again.encode()[1:]


def sharded(placed=None, more=None):
  """Two files and an index, which `placed` changes; `more` is in both."""

  def change(folder):
    arrays = load_file(folder / WEIGHTS)
    (folder / WEIGHTS).unlink()
    files = {'a.safetensors': {}, 'b.safetensors': {}}
    for i, (name, array) in enumerate(sorted(arrays.items())):
      files[[*files][i % 2]][name] = array
    index = {name: file for file, part in files.items() for name in part}
    if more:
      files['a.safetensors'][more] = files['b.safetensors'][more] = arrays[more]
    for file, part in files.items():
      save_file(part, folder / file)
    write_json(folder / INDEX, {'weight_map': index | (placed or {})})

  return change


def nan(name):
  def edit(arrays):
    arrays[name].reshape(-1)[1] = np.nan

  return edit
