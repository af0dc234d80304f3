"""A persistent compilation cache, so that a resumed run compiles nothing
again."""

import os
from pathlib import Path

import jax

_MOST_BYTES = 4 * 2**30  # a bound also makes jax lock the folder for each use


def keep_compiled() -> None:
  """Sets jax's compilation cache to HYBRID_LATENT_CACHE, by default
  ~/.cache/hybrid_latent/jax; '' disables it. A JAX_COMPILATION_CACHE_DIR takes
  precedence."""
  folder = os.environ.get('HYBRID_LATENT_CACHE', '~/.cache/hybrid_latent/jax')
  if folder and jax.config.values['jax_compilation_cache_dir'] is None:
    path = str(Path(folder).expanduser())
    jax.config.update('jax_compilation_cache_dir', path)
    jax.config.update('jax_compilation_cache_max_size', _MOST_BYTES)
    jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.5)
