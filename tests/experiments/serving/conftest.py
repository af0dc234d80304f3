"""A server of a random model with latents, which the tests share."""

from functools import partial

import jax
import pytest

from experiments.serving.http_server import running
from experiments.serving.loading import load_server
from hybrid_latent import sharding
from tests.experiments import ways_tiny
from tests.experiments.runs import quick_compiler


@pytest.fixture(scope='package')
def server(model_folder, tmp_path_factory):
  config = ways_tiny.get_config(str(model_folder)).unlock()
  folder = tmp_path_factory.mktemp('reasoners') / 'one'
  source = ways_tiny.new_reasoner(folder, model_folder, 1)
  config.feedback.init_kwargs.source = source
  config.rollout.update(prompts_per_step=1, buckets=1)
  one_device = partial(sharding.mesh, devices=jax.devices()[:1])
  with pytest.MonkeyPatch.context() as patch:  # the tests decode much
    patch.setattr(sharding, 'mesh', one_device)
    return load_server(config)


@pytest.fixture(scope='package')
def http(server):
  with quick_compiler(), running(server, '127.0.0.1', 0, 64) as http:
    yield http
