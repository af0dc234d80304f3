import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from experiments.configs import noisy_states as configs
from experiments.new_model import new_model
from experiments.studies.likelihoods import solution_likelihoods
from experiments.studies.soft_tokens import MODEL
from hybrid_latent.data import noisy_states


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  path = tmp_path_factory.mktemp('model') / 'start'
  return new_model(path, noisy_states.tokenizer(), MODEL, seed=3)


def greedy_rows(folder, tokenizer, count=6):
  """Problems whose solutions are what transformers decodes greedily."""
  model, rows = AutoModelForCausalLM.from_pretrained(folder), []
  for row in noisy_states.problems('test', count=count):
    ids = tokenizer(row['question'], return_tensors='pt')['input_ids']
    out = model.generate(
      ids, do_sample=False, max_new_tokens=5, pad_token_id=0, eos_token_id=-1
    )
    words = [tokenizer.decode(i) for i in out[0, ids.shape[1] :]]
    text = {'steps': words[:3], 'solution': ''.join(words)}
    rows.append({'question': row['question']} | text)
  return rows


def reference(folder, tokenizer, row):
  """Log-probabilities of the tokens of the solution by transformers."""
  model = AutoModelForCausalLM.from_pretrained(folder)
  start, rest = (
    tokenizer(text)['input_ids'] for text in (row['question'], row['solution'])
  )
  with torch.no_grad():
    logits = model(torch.tensor([start + rest])).logits[0]
  scores = torch.log_softmax(logits[len(start) - 1 : -1], -1)
  return scores[range(len(rest)), rest].double().numpy()


def test_likelihoods_are_those_of_transformers(folder):
  tokenizer = noisy_states.tokenizer()
  config = configs.get_config(f'{folder},hard')
  own = greedy_rows(folder, tokenizer)
  right = list(noisy_states.problems('test', count=6))
  found = solution_likelihoods(config, '', 0, [*own, *right])
  scores = [reference(folder, tokenizer, row) for row in (*own, *right)]
  np.testing.assert_allclose(found.nats, [-x.mean() for x in scores], 1e-4)
  assert found.greedy.tolist() == [True] * 6 + [False] * 6
  # The answer of an untrained model is wrong, whatever its thinking.
  thinking = [np.exp(x[:3].sum()) for x in scores[:6]]
  np.testing.assert_allclose(found.probability, thinking + [0.0] * 6, 1e-3)
