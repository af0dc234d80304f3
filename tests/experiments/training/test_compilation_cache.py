"""Where compiled programs are kept."""

import jax
import pytest

from experiments.training.compilation_cache import keep_compiled

NAMES = (
  'jax_compilation_cache_dir',
  'jax_compilation_cache_max_size',
  'jax_persistent_cache_min_compile_time_secs',
)


@pytest.fixture(autouse=True)
def _as_before():
  before = {name: getattr(jax.config, name) for name in NAMES}
  yield
  for name, value in before.items():
    jax.config.update(name, value)


@pytest.mark.parametrize(
  ('given', 'folder'),
  [
    (None, '/home/someone/.cache/hybrid_latent/jax'),
    ('~/elsewhere', '/home/someone/elsewhere'),
    ('', None),
  ],
)
def test_a_folder_of_the_user(given, folder, monkeypatch):
  monkeypatch.setenv('HOME', '/home/someone')
  monkeypatch.delenv('HYBRID_LATENT_CACHE', raising=False)
  if given is not None:
    monkeypatch.setenv('HYBRID_LATENT_CACHE', given)
  jax.config.update('jax_compilation_cache_dir', None)
  keep_compiled()
  assert jax.config.jax_compilation_cache_dir == folder


def test_one_that_jax_was_given_stays(tmp_path):
  jax.config.update('jax_compilation_cache_dir', str(tmp_path))
  before = jax.config.jax_compilation_cache_max_size
  keep_compiled()
  assert jax.config.jax_compilation_cache_dir == str(tmp_path)
  assert jax.config.jax_compilation_cache_max_size == before
