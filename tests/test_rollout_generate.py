"""Greedy decoding against `generate` of transformers."""

import jax.numpy as jnp
import numpy as np
import pytest
import torch

from hybrid_latent.formats.pretrained import pretrained
from hybrid_latent.ops.sampling import sampling
from hybrid_latent.policy import Policy
from tests import tiny
from tests.models.test_parity import CASES, left_padded, torch_model
from tests.tiny import FEEDBACKS, PAD, STEPS, sample, stop


@pytest.mark.parametrize('case', ['llama-gqa-untied-llama3', 'qwen3-gqa-tied'])
def test_greedy_equals_generate(case, tmp_path, key):
  theirs = torch_model(*CASES[case])
  theirs.save_pretrained(tmp_path)
  model = pretrained(tmp_path).model
  texts, tokens, mask = left_padded(9, 3, 7)
  prompt = tiny.Prompt(tokens, mask, jnp.arange(3))

  def ours(stops):
    return sample(
      Policy(model),
      FEEDBACKS['discrete'],
      prompt,
      key,
      group=1,
      sampling=sampling(greedy=True),
      stop=stop(stops, vocab=model.config.vocab),
    )

  eos = np.asarray(ours([]).tokens[:2, 6]).tolist()
  out = ours(eos)
  assert out.terminated[:2].all()
  for text, tokens, n in zip(texts, out.tokens, out.lengths, strict=True):
    expected = theirs.generate(
      torch.from_numpy(text)[None],
      attention_mask=torch.ones(1, len(text), dtype=torch.long),
      max_new_tokens=STEPS,
      do_sample=False,
      pad_token_id=PAD,
      eos_token_id=eos,
    )
    np.testing.assert_array_equal(tokens[:n], expected[0, len(text) :])
