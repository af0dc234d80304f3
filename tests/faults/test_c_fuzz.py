"""Files that somebody changed at random: each loader gives what was written or
says which file cannot be read, and nothing else leaves it."""

import json
import os
import shutil

import hypothesis.strategies as st
import jax
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from experiments.serve import RequestError, read_requests
from hybrid_latent.data import arithmetic
from hybrid_latent.formats import rollouts
from hybrid_latent.formats.export import write_folder
from hybrid_latent.formats.files import FileError
from hybrid_latent.formats.parsed import file_tensors
from hybrid_latent.formats.pretrained import Pretrained, open_model
from hybrid_latent.models.transformer import Transformer
from tests.experiments.conftest import MODEL
from tests.formats.test_gguf import config as gguf_config
from tests.formats.test_gguf import write_gguf
from tests.formats.test_rollouts import NOTES, batch

EXAMPLES = int(os.environ.get('FUZZ_EXAMPLES', '40'))
ODD = [
  None,
  True,
  -1,
  0,
  1.5,
  2**40,
  10**400,
  float('nan'),
  '',
  'x',
  [],
  {},
  [[]],
]


def fuzzed(**strategies):
  """EXAMPLES, the same in every run."""

  def decorate(test):
    found = given(**strategies)(test)
    return settings(
      max_examples=EXAMPLES,
      derandomize=True,
      deadline=None,
      database=None,
      suppress_health_check=[HealthCheck.function_scoped_fixture],
    )(found)

  return decorate


@st.composite
def damaged(draw, content: bytes) -> bytes:
  """Cut, with bytes that are others, with some put in or taken out. What is at
  the beginning, such as a header, is met more often."""
  content = bytearray(content)
  places = st.integers(0, len(content) - 1) | st.integers(0, 400)
  for _ in range(draw(st.integers(1, 3))):
    at = min(draw(places), len(content) - 1)
    match draw(st.sampled_from(['flip', 'set', 'cut', 'insert', 'remove'])):
      case 'flip':
        content[at] ^= 1 << draw(st.integers(0, 7))
      case 'set':
        content[at] = draw(
          st.sampled_from([0, 1, 127, 255, ord('"'), ord('9')])
        )
      case 'cut':
        del content[max(at, 1) :]
      case 'insert':
        content[at:at] = draw(st.binary(min_size=1, max_size=9))
      case 'remove':
        del content[at : at + draw(st.integers(1, 9))]
    content = content or bytearray(b'\0')
  return bytes(content)


@st.composite
def retyped(draw, fields: dict) -> str:
  """A JSON text with one value, at any depth, deleted or replaced."""
  fields = node = json.loads(json.dumps(fields))
  while True:
    keys = [*node] if isinstance(node, dict) else range(len(node))
    key = draw(st.sampled_from(keys))
    inner = node[key]
    if not (isinstance(inner, dict | list) and inner and draw(st.booleans())):
      break
    node = inner
  if draw(st.booleans()):
    del node[key]
  else:
    node[key] = draw(st.sampled_from(ODD))
  return json.dumps(fields)


def outcome(load, path):
  """What is loaded, or None for a refusal that begins with the file."""
  try:
    return load(path)
  except (ValueError, FileNotFoundError) as error:
    assert type(error) in (FileError, ValueError, FileNotFoundError)
    assert str(error).startswith(str(path)), error
    return None


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
  folder = tmp_path_factory.mktemp('fuzz') / 'model'
  folder.mkdir()
  model = Transformer(MODEL, jax.random.key(0))
  ends = {'eos_token_id': [1, 20]}
  write_folder(Pretrained(model, arithmetic.tokenizer(), ends), folder)
  return folder


def arrays(path):
  return {name: t.read() for name, t in file_tensors(path).items()}


@fuzzed(data=st.data())
def test_safetensors(data, whole, tmp_path):
  path, original = tmp_path / 'x.safetensors', whole / 'model.safetensors'
  path.write_bytes(data.draw(damaged(original.read_bytes()[:4000])))
  assert outcome(arrays, path) is None  # it is cut
  path.write_bytes(data.draw(damaged(original.read_bytes())))
  loaded = outcome(arrays, path)
  if loaded is not None:
    assert sum(x.nbytes for x in loaded.values()) < path.stat().st_size


@pytest.mark.parametrize(
  'name',
  [
    *('config.json', 'generation_config.json', 'tokenizer.json'),
    *('tokenizer_config.json', 'chat_template.jinja'),
  ],
)
@fuzzed(data=st.data())
def test_the_small_files_of_a_folder(name, data, whole):
  folder = whole.with_name('broken')
  shutil.rmtree(folder, ignore_errors=True)
  shutil.copytree(whole, folder)
  text = (folder / name).read_bytes()
  if name.endswith('.json') and data.draw(st.booleans()):
    (folder / name).write_text(data.draw(retyped(json.loads(text))))
  else:
    (folder / name).write_bytes(data.draw(damaged(text)))
  outcome(open_model, folder)


@fuzzed(data=st.data())
def test_gguf(data, whole):
  path = whole.with_name('x.gguf')
  original = whole.with_name('whole.gguf')
  if not original.exists():
    write_gguf(Transformer(gguf_config(), jax.random.key(0)), original)
  path.write_bytes(data.draw(damaged(original.read_bytes())))
  outcome(open_model, path)


@fuzzed(data=st.data())
def test_rollouts(data, tmp_path):
  path = tmp_path / 'x'
  rollouts.write(path, *batch({'h': np.ones((2, 4))}), NOTES)
  path.write_bytes(data.draw(damaged(path.read_bytes())))
  outcome(rollouts.read, path)


@fuzzed(data=st.data())
def test_requests(data, tmp_path):
  path = tmp_path / 'requests.jsonl'
  path.write_bytes(
    data.draw(damaged(b'{"question": "Why?", "mode": ""}\n' * 3))
  )
  try:
    read_requests(path)
  except RequestError as error:
    assert str(error).startswith('line ')
