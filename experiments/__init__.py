"""Trainers, measurements and reports: all that is run and not imported."""

import glob
import importlib.util
import os

PACKAGE = __name__  # in a wheel hybrid_latent.experiments

# The research set includes libtpu for its compiler. On a machine without a TPU
# (or another accelerator's plugin) jax would look for one, and complain.
if (
  'JAX_PLATFORMS' not in os.environ
  and importlib.util.find_spec('libtpu')
  and not importlib.util.find_spec('jax_plugins')
  and not glob.glob('/dev/accel*') + glob.glob('/dev/vfio/[0-9]*')
):
  os.environ['JAX_PLATFORMS'] = 'cpu'
