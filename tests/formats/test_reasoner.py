"""A reasoner's folder: what is in it, and what is refused."""

import dataclasses
import shutil
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from safetensors.numpy import load_file, save_file

from hybrid_latent.data import arithmetic
from hybrid_latent.feedback.prefix import reasoner
from hybrid_latent.formats.export import write_json, write_model
from hybrid_latent.formats.export_reasoner import write_reasoner
from hybrid_latent.formats.parsed import read_json
from hybrid_latent.models.reasoner import Prefix, Reasoner
from hybrid_latent.models.transformer import Transformer
from hybrid_latent.policy import Policy
from hybrid_latent.trees import named_leaves
from tests import tiny

CLOSING = '\n</think>\n\n'
SIZES = dataclasses.replace(
  tiny.CONFIG, family='qwen3', width=12, heads=2, kv_heads=1, qk_norm=True
)


@pytest.fixture(scope='module')
def tokenizer():
  return arithmetic.tokenizer()


@pytest.fixture(scope='module')
def policy():
  """One whose width is not that of the backbone."""
  config = dataclasses.replace(tiny.CONFIG, dtype='bfloat16', remat='dots')
  return Policy(Transformer(config, jax.random.key(0)))


@pytest.fixture(scope='module')
def backbone(tmp_path_factory):
  folder = tmp_path_factory.mktemp('backbone')
  write_model(Transformer(SIZES, jax.random.key(1)), folder)
  return folder


@pytest.fixture(scope='module')
def made(policy, backbone, tokenizer) -> Prefix:
  how = {'backbone': str(backbone), 'latents': 5, 'closing': CLOSING}
  return reasoner(jax.random.key(2), policy, tokenizer, **how)


@pytest.fixture(scope='module')
def written(made, tmp_path_factory) -> Path:
  folder = tmp_path_factory.mktemp('runs') / 'reasoner'
  write_reasoner(made, folder)
  return folder


@pytest.fixture
def folder(written, tmp_path) -> Path:
  """A copy of it to break."""
  return Path(shutil.copytree(written, tmp_path / 'reasoner'))


def read(policy, folder):
  return reasoner(jax.random.key(3), policy, None, source=str(folder))


def test_what_is_written_is_read_bit_for_bit(written, made, policy):
  again = read(policy, written)
  assert jax.tree.structure(again) == jax.tree.structure(made)
  jax.tree.map(np.testing.assert_array_equal, again, made)
  assert again.closing.dtype == jnp.int32
  config = again.reasoner.backbone.config
  assert config == made.reasoner.backbone.config
  # As the policy is computed; the sizes are the backbone's.
  assert (config.dtype, config.remat) == ('bfloat16', 'dots')
  assert (config.width, config.family, config.qk_norm) == (12, 'qwen3', True)


def test_nothing_of_a_vocabulary_is_in_it(written, made):
  assert sorted(path.name for path in written.iterdir()) == [
    *('config.json', 'model.safetensors')
  ]
  assert len({path.stat().st_mode for path in written.iterdir()}) == 1
  arrays = load_file(written / 'model.safetensors')
  assert arrays.keys() == named_leaves(made).keys()
  assert not [x for x in arrays.values() if SIZES.vocab in x.shape]
  assert made.closing.tolist() == arithmetic.tokenizer().encode(
    CLOSING, add_special_tokens=False
  )


def test_a_new_one_goes_on_from_the_backbone(made, backbone, policy):
  """With latents as long as the policy's embeddings."""
  arrays = load_file(backbone / 'model.safetensors')
  layers = made.reasoner.backbone.layers
  for i in range(SIZES.layers):
    name = f'model.layers.{i}.mlp.gate_proj.weight'
    np.testing.assert_array_equal(layers.gate.weight[i], arrays[name])
  assert made.reasoner.r.shape == (5, SIZES.width)
  hidden = jax.random.normal(jax.random.key(4), (4, 3, tiny.CONFIG.width))
  made_of = jax.jit(Reasoner.__call__, compiler_options=tiny.QUICK)
  z = made_of(made.reasoner, hidden, np.ones((4, 3), bool))
  rms = lambda x: np.sqrt(np.mean(np.square(np.asarray(x, np.float32))))
  assert rms(z) == pytest.approx(rms(policy.table), rel=0.3)


def test_after_an_error_the_folder_is_what_it_was(made, folder, policy):
  """And there is none where there was none."""
  broken = jax.tree.map(lambda x: x + 1, made.reasoner)
  broken.backbone.config = dataclasses.replace(SIZES, family='another')
  for path in folder, folder.parent / 'new':
    with pytest.raises(ValueError, match="'another'"):
      write_reasoner(made._replace(reasoner=broken), path)
  assert [path.name for path in folder.parent.iterdir()] == ['reasoner']
  jax.tree.map(np.testing.assert_array_equal, read(policy, folder), made)


def test_a_folder_is_replaced(made, folder, policy):
  """By one that has fewer latents: nothing of the old one is left."""
  less = jax.tree.map(lambda x: x, made.reasoner)
  less.r = nnx.Param(less.r[:2])
  write_reasoner(made._replace(reasoner=less), folder)
  assert read(policy, folder).reasoner.r.shape == (2, SIZES.width)


def test_without_a_source_there_has_to_be_a_backbone(policy, tokenizer):
  told = "source and backbone are both '': .*Qwen/Qwen3-Embedding-0.6B"
  with pytest.raises(ValueError, match=told):
    reasoner(jax.random.key(0), policy, tokenizer)


def test_the_reasoner_of_another_model_is_refused(written):
  config = dataclasses.replace(tiny.CONFIG, width=24)
  other = Policy(Transformer(config, jax.random.key(0)))
  told = 'reasoner has latents of 16 channels and the model embeddings of 24'
  with pytest.raises(ValueError, match=told):
    read(other, written)


def test_a_model_is_no_reasoner(backbone, policy, tmp_path):
  told = "model_type = 'qwen3': accepted is 'latent_reasoner'; .*backbone"
  with pytest.raises(ValueError, match=told):
    read(policy, backbone)
  with pytest.raises(FileNotFoundError, match=r'no config\.json.*reasoner'):
    read(policy, tmp_path)


@pytest.mark.parametrize(
  ('edit', 'told'),
  [
    (lambda x: x.pop('closing'), r'closing: None, expected \(10,\)'),
    (lambda x: x.update(more=x['closing']), r'more: \(10,\), expected None'),
    (
      lambda x: x.update({'reasoner.r': x['reasoner.r'][:, :3].copy()}),
      r'reasoner\.r: \(5, 3\), expected \(5, 12\)',
    ),
    (
      lambda x: x.pop('reasoner.backbone.layers.q_norm'),
      r'layers\.q_norm: None, expected \(2, 8\)',
    ),
  ],
)
def test_tensors_that_do_not_fit_are_named(edit, told, folder, policy):
  file = folder / 'model.safetensors'
  arrays = load_file(file)
  edit(arrays)
  save_file(arrays, file)
  with pytest.raises(ValueError, match=told):
    read(policy, folder)


def test_sizes_that_do_not_fit_are_named(folder, policy):
  fields = read_json(folder / 'config.json')
  write_json(folder / 'config.json', fields | {'latents': 6})
  with pytest.raises(ValueError, match=r'r: \(5, 12\), expected \(6, 12\)'):
    read(policy, folder)


@pytest.mark.parametrize(
  ('fields', 'told'),
  [
    ({'width': None}, 'width = None: accepted is a whole number'),
    ({'latents': 0}, 'latents = 0: accepted is a whole number'),
    ({'closing': 2.5}, 'closing = 2.5: accepted is a whole number'),
    (
      {'reads': 'all'},
      r"reads = 'all': accepted is one of \('last', ",
    ),
    ({'backbone': 'qwen3'}, "backbone = 'qwen3': accepted is an object"),
    ({'backbone': {}}, 'model_type = None: accepted is one of'),
  ],
)
def test_senseless_fields_are_named(fields, told, folder, policy):
  old = read_json(folder / 'config.json')
  write_json(folder / 'config.json', old | fields)
  with pytest.raises(ValueError, match=f'reasoner/config.json: {told}'):
    read(policy, folder)


def test_parameters_that_are_not_finite_are_named(folder, policy):
  arrays = load_file(folder / 'model.safetensors')
  arrays['reasoner.r'][1, 2] = np.nan
  save_file(arrays, folder / 'model.safetensors')
  with pytest.raises(ValueError, match=r'tensor reasoner\.r has 1 of 60 '):
    read(policy, folder)
  arrays['closing'] = arrays['closing'].astype(np.float32)
  arrays['reasoner.r'][1, 2] = 0
  save_file(arrays, folder / 'model.safetensors')
  with pytest.raises(ValueError, match=r'closing has dtype float32: .*int32'):
    read(policy, folder)
