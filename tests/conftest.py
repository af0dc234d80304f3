"""What every test runs under: eight CPU devices, strict ranks, cached programs.

Warnings are errors as well, see pyproject.toml.
"""

import ctypes
import gc
import importlib
import os
import sys
from pathlib import Path

# Both are read when jax is first imported. What XLA_FLAGS says itself counts.
os.environ.setdefault('JAX_PLATFORMS', 'cpu')
os.environ['XLA_FLAGS'] = ' '.join(
  [
    '--xla_force_host_platform_device_count=8',
    # By default a device that waits 40 s for another ends the process, which
    # happens where other processes use the cores.
    '--xla_cpu_collective_call_terminate_timeout_seconds=600',
    # Half the time of the suite: the same programs, in slower machine code.
    '--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false'
    if os.environ['JAX_PLATFORMS'] == 'cpu'
    else '',
    os.environ.get('XLA_FLAGS', ''),
  ]
)

import jax
import jaxtyping
import pytest


def pytest_addoption(parser):
  """Here, since options are read before the other conftest.py are."""
  parser.addoption(
    '--table', action='store_true', help='print the rows of tests/faults'
  )
  parser.addoption(
    '--shapes', action='store_true', help='check the shapes of every call'
  )


def pytest_configure(config):
  """Compiled programs outlive the run, in pytest's own cache folder; and data
  that a trainer has prepared."""
  if config.getoption('--shapes'):  # before the first import of either
    importlib.import_module('tests.typechecker')
    checked = ['hybrid_latent', 'latent_kernels']
    jaxtyping.install_import_hook(checked, 'tests.typechecker.checked')
  prepared = str(config.cache.mkdir('tfds'))
  os.environ.setdefault('TFDS_DATA_DIR', prepared)
  cache = config.cache.mkdir('jax')
  jax.config.update('jax_compilation_cache_dir', str(cache))
  jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.2)
  # A bound also makes jax lock the folder: two runs may share it.
  jax.config.update('jax_compilation_cache_max_size', 512 * 2**20)
  # Catches [b] * [b t], which would broadcast along the wrong dimension.
  jax.config.update('jax_numpy_rank_promotion', 'raise')


def pytest_collection_finish():
  """What was imported stays: no later collection of garbage goes through it."""
  gc.collect()
  gc.freeze()


@pytest.fixture
def key():
  """The root of a test's randomness."""
  return jax.random.key(0)


@pytest.fixture
def unchecked(monkeypatch):
  """No shape is checked: for an error of ours about one."""
  monkeypatch.setattr(jaxtyping.config, 'jaxtyping_disable', True)


def resident_bytes() -> int:
  """The memory of this process, where Linux tells it."""
  file = Path('/proc/self/statm')
  pages = int(file.read_text().split()[1]) if file.exists() else 0
  return pages * os.sysconf('SC_PAGE_SIZE')


@pytest.fixture(autouse=True, scope='module')
def _forget_programs():
  """The programs of all files are 8 GB. Those that two files share are compiled
  again, or read from the folder of compiled programs."""
  yield
  if resident_bytes() > 2 * 2**30:
    jax.clear_caches()
    gc.collect()
    trim = getattr(ctypes.CDLL(None), 'malloc_trim', None)
    if trim:  # glibc keeps what is freed, and the process stays as large
      trim(0)


@pytest.fixture(autouse=True)
def _forget_modules(tmp_path_factory):
  """A module that a test wrote is no other test's, whatever its name."""
  yield
  written = str(tmp_path_factory.getbasetemp())
  for name, module in list(sys.modules.items()):
    if str(getattr(module, '__file__', None)).startswith(written):
      del sys.modules[name]
