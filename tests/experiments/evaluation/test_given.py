"""Given answers, against Hugging Face and the harness's own code."""

import jax
import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from experiments.evaluation import given
from experiments.evaluation.given import given_answers, given_rows, tokenized
from hybrid_latent import sharding
from hybrid_latent.feedback.discrete import discrete
from hybrid_latent.formats.pretrained import pretrained
from hybrid_latent.measures.given import given_answers as measures
from hybrid_latent.policy import Policy

ROWS = [
  {
    'question': 'Question: Which is a fruit?\nOptions:\nA. nut\nB. an apple',
    'stem': 'Which is a fruit?',
    'choices': ['nut', 'an apple'],
    'answer': 'B',
  },
  {
    'question': 'Question: 7+5?\nOptions:\nA. 12\nB. 2\nC. 35 or so',
    'stem': '7+5?',
    'choices': ['12', '2', '35 or so'],
    'answer': 'A',
  },
  {'question': 'Tom has 12 apples. He buys 7 more.', 'answer': ['19', '20']},
]


@pytest.fixture(scope='module')
def tokenizer(model_folder):
  return AutoTokenizer.from_pretrained(model_folder)


def test_scores_are_those_of_hugging_face(model_folder, tokenizer):
  """Each continuation alone, without padding."""
  torch_model = AutoModelForCausalLM.from_pretrained(
    model_folder, dtype=torch.float32
  )
  mesh = sharding.mesh()
  score = given.pair_scorer(
    Policy(jax.device_put(pretrained(model_folder).model)),
    discrete(),
    mesh,
    batch=8,
    pad=tokenizer.pad_token_id,
  )
  rows = [*given_rows('base', 'arc_c', ROWS, tokenizer, score, first=7)]
  assert [row['prompt'] for row in rows] == [7, 8, 9]
  assert [row['answer'] for row in rows] == [1, 0, 0]
  assert rows[1]['choices'] == ['12', '2', '35 or so']
  for row, source in zip(rows, ROWS, strict=True):
    context = f'Question: {source.get("stem", source["question"])}\nAnswer:'
    nll = []
    for choice, found in zip(row['choices'], row['log_probs'], strict=True):
      ids = tokenizer(f'{context} {choice}', return_tensors='pt').input_ids
      with torch.no_grad():
        logits = torch_model(ids).logits[0, :-1].log_softmax(-1)
      of_ids = logits.gather(-1, ids[0, 1:, None])[:, 0]
      np.testing.assert_allclose(found, of_ids[-len(found) :], atol=1e-4)
      text = tokenizer.decode(ids[0, -len(found) :])
      assert text == f' {choice}'
      nll.append(-of_ids[-len(found) :].mean())
    np.testing.assert_allclose(
      measures([row]).nll, nll[row['answer']], rtol=1e-4
    )


def test_contexts_are_those_of_the_harness():
  problem = lambda name, row: given_answers(name, ROWS[row])
  assert problem('hellaswag', 0) == (
    'Which is a fruit?',
    [' nut', ' an apple'],
    1,
  )
  assert problem('mmlu', 1) == (
    '7+5?\nA. 12\nB. 2\nC. 35 or so\nAnswer:',
    [' A', ' B', ' C'],
    0,
  )
  assert problem('gsm8k', 2)[1:] == ([' 19'], 0)


@pytest.mark.parametrize(
  ('context', 'continuation'),
  [
    ('Answer:', ' 12'),
    ('Tom has ', '7 apples'),
    ('He bu', 'ys 7'),
    ('a\n', 'b'),
  ],
)
def test_the_boundary_is_that_of_the_harness(tokenizer, context, continuation):
  model = pytest.importorskip(
    'lm_eval.api.model', reason='needs the extra harness'
  )

  class Encoder(model.TemplateLM):
    tok_encode = staticmethod(lambda text, **_: tokenizer(text)['input_ids'])
    eot_token_id = loglikelihood_rolling = generate_until = None
    _loglikelihood_tokens = None

  expected = Encoder()._encode_pair(context, continuation)
  assert tokenized(tokenizer, context, continuation) == expected
