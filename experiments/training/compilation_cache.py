"""Compiled programs that outlive a process, so that a resumed run compiles
nothing again."""

import os
from pathlib import Path

import jax

_MOST_BYTES = 4 * 2**30  # a bound also makes jax lock the folder for each use


def keep_compiled() -> None:
  """Has jax keep what it compiles in HYBRID_LATENT_CACHE, by default
  ~/.cache/hybrid_latent/jax; nowhere if that is ''. A folder that jax has been
  given (JAX_COMPILATION_CACHE_DIR) stays what it is."""
  folder = os.environ.get('HYBRID_LATENT_CACHE', '~/.cache/hybrid_latent/jax')
  if folder and jax.config.values['jax_compilation_cache_dir'] is None:
    path = str(Path(folder).expanduser())
    jax.config.update('jax_compilation_cache_dir', path)
    jax.config.update('jax_compilation_cache_max_size', _MOST_BYTES)
    jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.5)
