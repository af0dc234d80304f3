"""A random model as a folder, and one run that many tests look at."""

import jax
import pytest

from hybrid_latent.data import arithmetic
from hybrid_latent.formats.export import new_folder, write_folder
from hybrid_latent.formats.pretrained import Pretrained
from hybrid_latent.models.transformer import Transformer, TransformerConfig
from tests.experiments import rl_tiny
from tests.experiments.runs import trained

MODEL = TransformerConfig(
  family='qwen3',
  vocab=384,
  width=32,
  layers=2,
  heads=4,
  kv_heads=2,
  head_dim=8,
  mlp=48,
  rope_theta=1e4,
  qk_norm=True,
  max_positions=128,
)
ENDS = [1, *range(20, 160, 20)]  # as many as fit: a random model meets some


@pytest.fixture(scope='session')
def model_folder(tmp_path_factory):
  """What `studies.quickstart` makes, narrower and less indifferent."""
  folder = tmp_path_factory.mktemp('models') / 'tiny'
  model = jax.jit(Transformer, static_argnums=0)(MODEL, jax.random.key(0))
  model = jax.tree.map(lambda x: 5 * x if x.ndim > 1 else x, model)
  tokenizer = arithmetic.tokenizer()
  with new_folder(folder) as draft:
    write_folder(Pretrained(model, tokenizer, {'eos_token_id': ENDS}), draft)
  return folder


@pytest.fixture(scope='session')
def hrpo(model_folder, tmp_path_factory):
  """Four steps with adapters on a mesh of 2 x 2 x 2, never stopped."""
  config = rl_tiny.get_config(f'{model_folder},hrpo')
  config.eval.num_prompts = 3
  return trained(config, tmp_path_factory.mktemp('hrpo'))
