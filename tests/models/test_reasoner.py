"""The reasoner against torch: transformers' decoder between two linear maps."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from hybrid_latent.models.families import size
from hybrid_latent.models.reasoner import READS, Reasoner
from hybrid_latent.models.transformer import Transformer
from tests.tiny import QUICK
from tests.torch_reasoner import LATENTS, TorchReasoner, in_jax, reading

WIDTH, P = 48, 7
close = partial(np.testing.assert_allclose, rtol=0, atol=1e-5)
made_of = jax.jit(Reasoner.__call__, compiler_options=QUICK)
both = pytest.mark.parametrize('reads', READS)


@pytest.fixture(scope='module')
def theirs():
  return TorchReasoner(WIDTH)


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  return tmp_path_factory.mktemp('backbone')


@pytest.fixture(scope='module')
def ours(theirs, folder):
  return in_jax(theirs, folder)


def read(*lengths):
  """States of prompts of these lengths, left padded with noise."""
  rng = np.random.default_rng(0)
  hidden = rng.normal(size=(len(lengths), P, WIDTH)).astype(np.float32)
  return hidden, np.arange(P) >= P - np.array(lengths)[:, None]


@both
def test_latents_of_a_left_padded_batch_are_those_of_torch(
  reads, theirs, ours, folder
):
  hidden, mask = read(P, 3, 1)
  z = made_of(reading(ours, reads), hidden, mask)
  assert z.shape == (3, LATENTS, WIDTH)
  for found, states, kept in zip(z, hidden, mask, strict=True):
    with torch.no_grad():
      close(found, theirs(torch.from_numpy(states[kept]), reads))
  assert np.abs(z[0] - z[1]).max() > 0.1
  names = load_file(folder / 'model.safetensors')  # of Qwen3-Embedding's kind
  assert not [name for name in names if name.startswith('model.')]


@both
def test_the_same_prompt_has_the_same_latents(reads, ours):
  hidden, mask = read(P, P, 4)
  hidden[1] = hidden[0]
  z = made_of(reading(ours, reads), hidden, mask)
  np.testing.assert_array_equal(z[0], z[1])
  np.testing.assert_array_equal(made_of(reading(ours, reads), hidden, mask), z)
  others = hidden.copy()
  others[:, 0] += 1  # a state that 'last' does not read
  z = made_of(reading(ours, reads), others, mask) - z
  assert [np.abs(x).max() > 1e-3 for x in z] == [reads == 'prompt'] * 2 + [
    False
  ]


@both
def test_a_latent_knows_nothing_of_those_after_it(reads, ours):
  hidden, mask = read(P, 4, 2)
  z = made_of(reading(ours, reads), hidden, mask)
  other = reading(ours, reads)
  other.r[...] = ours.r.at[2].add(1.0)
  gap = np.abs(made_of(reading(other, reads), hidden, mask) - z).max((0, 2))
  assert not gap[:2].any() and (gap[2:] > 1e-3).all()


def test_the_papers_has_the_size_it_states():
  """Qwen3-Embedding-0.6B without its table, two projections, 256 vectors."""
  count = lambda tree: sum(x.size for x in jax.tree.leaves(tree))
  config, d, j = size('qwen3-embedding-0.6b'), size('qwen3-1.7b').width, 256
  backbone = jax.eval_shape(partial(Transformer, config), jax.random.key(0))
  made = jax.eval_shape(
    partial(Reasoner, width=d, latents=j), jax.random.key(0), backbone
  )
  ends = 2 * config.width * d + config.width + d + j * config.width
  assert count(made) == count(backbone) - config.vocab * config.width + ends
  assert 0.44e9 < count(made) < 0.45e9
  assert backbone.embedding is not None  # which the model has kept


@both
@pytest.mark.parametrize('length', [0.03, 1.7])
def test_latents_begin_as_long_as_they_are_told(reads, length, ours):
  """Where all that an untrained reasoner reads is small or large, too."""
  new = partial(Reasoner, width=WIDTH, latents=LATENTS, length=length)
  made = new(jax.random.key(1), ours.backbone)
  hidden, mask = read(P, 2, 5)
  for scale in 0.1, 30.0:
    z = made_of(reading(made, reads), scale * hidden, mask)
    assert np.sqrt(np.mean(np.square(z))) == pytest.approx(length, rel=0.2)
  # The products of equation 5 begin near f_in(H).
  assert made.r.mean() == pytest.approx(1, abs=0.01)
  assert made.r.std() == pytest.approx(0.02, rel=0.2)


def test_latents_have_the_dtype_of_the_backbones_computation(ours):
  hidden, mask = read(P, 3, 1)
  made = reading(ours, 'last')
  made.backbone.config = dataclasses.replace(
    ours.backbone.config, dtype='bfloat16'
  )
  z = made_of(made, hidden, mask)
  assert z.dtype == jnp.bfloat16
  np.testing.assert_allclose(
    z.astype(jnp.float32), made_of(ours, hidden, mask), rtol=0, atol=0.2
  )


def test_another_reading_is_refused(ours):
  with pytest.raises(ValueError, match=r"reads='first': write .*'last', 'pro"):
    Reasoner(
      jax.random.key(0), ours.backbone, width=2, latents=1, reads='first'
    )
