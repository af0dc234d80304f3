"""Trainers, measurements and reports: all that is run and not imported."""

import glob
import importlib
import importlib.util
import os
import sys

PACKAGE = __name__  # in a wheel hybrid_latent.experiments


def check_extra() -> None:
  """Ends the process with one line and exit code 2 in a base install."""
  needs = importlib.import_module('hybrid_latent.extras').needs
  try:
    needs('train', 'absl', 'ml_collections')
  except ModuleNotFoundError as error:
    print(f'error: {error}', file=sys.stderr)
    sys.exit(2)


if sys.argv[:1] == ['-m']:  # set while `python -m` looks for a command
  check_extra()

# The research set includes libtpu for its compiler. On a machine without a TPU
# (or another accelerator's plugin) jax would look for one, and complain.
if (
  'JAX_PLATFORMS' not in os.environ
  and importlib.util.find_spec('libtpu')
  and not importlib.util.find_spec('jax_plugins')
  and not glob.glob('/dev/accel*') + glob.glob('/dev/vfio/[0-9]*')
):
  os.environ['JAX_PLATFORMS'] = 'cpu'
