"""The texts of SIM-CoT's decoder, beside the examples of Coconut and CODI."""

import numpy as np
import pytest

from hybrid_latent.curricula import coconut, codi, sim_cot
from hybrid_latent.data.documents import document_batches

PROMPT = [7, 8, 9]


def texts(tokenizer, made):
  """What the decoder reads, of each view from 2 on: the number of latents, the
  words, and whether exactly the words are targets."""
  found = []
  for view in range(2, made.view.max() + 1):
    here = made.view == view
    latents = made.align_position[here]
    words = tokenizer.decode(made.tokens[here][~latents])
    targets = (made.weights[here] == ~latents).all()
    assert (np.diff(latents.astype(int)) <= 0).all()  # they come first
    found.append((latents.sum(), words, targets))
  return found


@pytest.mark.parametrize(
  ('stage', 'most', 'said'),
  [
    (0, 3, []),
    (2, 3, ['12+7=19<|end|>', '19-5=14<|end|>']),
    (3, 3, ['12+7=19<|end|>', '19-5=14<|end|>', '14*2=28<|end|>']),
    (2, 2, ['12+7=19<|end|>', '19-5=14 14*2=28<|end|>']),
    (1, 1, ['12+7=19 19-5=14 14*2=28<|end|>']),
    (
      4,
      4,
      [f'{x}<|end|>' for x in ('12+7=19', '19-5=14', '14*2=28', '#### 28')],
    ),
  ],
)
def test_each_step_has_the_latents_that_replace_it(
  tokenizer, row, rng, stage, most, said
):
  settings = {'c_thought': 2, 'max_latent_stage': most}
  curriculum = sim_cot.coconut(tokenizer, **settings)
  made = curriculum.document(PROMPT, row, stage, rng)
  found = texts(tokenizer, made)
  assert [(2, x.strip(), True) for x in said] == [
    (n, x.strip(), targets) for n, x, targets in found
  ]
  base = coconut.coconut(tokenizer, **settings)
  own = made.view < 2
  expected = base.document(PROMPT, row, stage, rng)
  for ours, x in zip(made[:5], expected[:5], strict=True):
    np.testing.assert_array_equal(ours[own], x)
  assert not made.latent[~own].any()
  assert curriculum.num_latents(stage) == base.num_latents(stage)


def test_codi_explains_what_its_teacher_reads(tokenizer, row, rng):
  settings = {'num_latents': 3, 'cue': ' ####'}
  curriculum = sim_cot.codi(tokenizer, **settings)
  made = curriculum.document(PROMPT, row, 0, rng)
  found = [(n, x.strip(), said) for n, x, said in texts(tokenizer, made)]
  assert found == [
    *((1, '12+7=19<|end|>', True), (1, '19-5=14<|end|>', True)),
    (1, '', True),
  ]
  base = codi.codi(tokenizer, **settings).document(PROMPT, row, 0, rng)
  for ours, x in zip(made[:5], base[:5], strict=True):
    np.testing.assert_array_equal(ours[made.view < 2], x)


@pytest.mark.parametrize('packed', [True, False])
def test_each_text_is_a_segment_of_its_row(tokenizer, row, rng, packed):
  curriculum = sim_cot.coconut(tokenizer, max_latent_stage=3)
  make = lambda number, row: curriculum.document(PROMPT, row, 3, rng)
  batch = next(
    iter(
      document_batches(
        [row] * 4, make, batch=1, length=128, pad=0, seed=0, packed=packed
      )
    )
  )
  segments = batch['segments'][0][batch['align_position'][0]]
  assert len({*segments}) == len(segments) == (9 if packed else 3)
  assert batch['latent'].sum() == len(segments)
