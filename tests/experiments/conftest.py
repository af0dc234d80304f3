"""A random model of a few thousand parameters, as a folder."""

import jax
import pytest

from experiments.port import write_folder
from hybrid_latent.data import arithmetic
from hybrid_latent.formats.huggingface import new_folder
from hybrid_latent.formats.pretrained import Pretrained
from hybrid_latent.models.transformer import Transformer, TransformerConfig

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
EIGHT_ENDS = [1, *range(20, 160, 20)]  # so that a random model ends some rows


@pytest.fixture(scope='session')
def model_folder(tmp_path_factory):
  """What `experiments.quickstart` makes, narrower."""
  folder = tmp_path_factory.mktemp('models') / 'tiny'
  model = Transformer(MODEL, jax.random.key(0))
  model = jax.tree.map(lambda x: 5 * x if x.ndim > 1 else x, model)
  tokenizer = arithmetic.tokenizer()
  with new_folder(folder) as draft:
    ends = {'eos_token_id': EIGHT_ENDS}
    write_folder(Pretrained(model, tokenizer, ends), draft)
  return folder
