"""The supervised start, against transformers and torch."""

import math

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from experiments import sft
from experiments.configs import sft_arithmetic
from experiments.policies import chat_ids
from experiments.port import logit_gap
from hybrid_latent.data import arithmetic
from hybrid_latent.formats.pretrained import pretrained
from tests.experiments.runs import quick_compiler, steps

ROWS = 8


@pytest.fixture(scope='module')
def config(model_folder):
  config = sft_arithmetic.get_config(str(model_folder))
  config.update(steps=12, batch=ROWS, micro_batches=2)
  config.update(prompt_length=64, max_tokens=24)
  config.mesh.update(fsdp=2, tensor=2)
  config.data.of.count = ROWS  # every batch holds them all
  config.optimizer.update(schedule='constant', warmup=0.0)
  config.optimizer.groups.all.lr = 1e-2
  return config


@pytest.fixture(scope='module')
def run(config, tmp_path_factory):
  folder = tmp_path_factory.mktemp('sft')
  with quick_compiler():
    assert sft.train(config, str(folder)) == f'{folder}/model'
  return folder


def test_the_first_loss_is_what_torch_computes(run, config, model_folder):
  """Minus the mean log-probability of every solution token and the end."""
  tokenizer = pretrained(model_folder).tokenizer
  model = AutoModelForCausalLM.from_pretrained(model_folder)
  total, count = 0.0, 0
  source = arithmetic.problems('train', **config.data.of)
  for row in map(source.__getitem__, range(ROWS)):
    prompt = chat_ids(tokenizer, '', row['question'])
    solution = [
      *tokenizer.encode(row['solution'], add_special_tokens=False),
      tokenizer.eos_token_id,
    ]
    assert len(prompt) <= 64 and len(solution) <= 24
    with torch.no_grad():
      logits = model(torch.tensor([prompt + solution])).logits[0]
    scores = torch.log_softmax(logits[len(prompt) - 1 : -1], -1)
    total -= float(scores[range(len(solution)), solution].sum())
    count += len(solution)
  assert steps(run)[0]['loss'] == pytest.approx(total / count, rel=1e-5)


def test_the_loss_falls(run):
  losses = [row['loss'] for row in steps(run)]
  assert len(losses) == 12
  assert losses[0] > 0.9 * math.log(384)
  assert losses[-1] < 0.5 * losses[0]


def test_the_folder_is_a_model_for_us_and_for_transformers(run, model_folder):
  before, after = pretrained(model_folder), pretrained(run / 'model')
  assert after.model.config == before.model.config
  assert after.generation['eos_token_id'] == before.generation['eos_token_id']
  text = 'Tom has 12 apples.'
  assert after.tokenizer.encode(text) == before.tokenizer.encode(text)
  assert not np.array_equal(after.model.table, before.model.table)
  assert logit_gap(after, run / 'model') < 1e-4
