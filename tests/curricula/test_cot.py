import numpy as np
import pytest

from hybrid_latent.curricula.base import Piece, document, token_ids
from hybrid_latent.curricula.cot import worked_solutions
from hybrid_latent.data import arithmetic

PROMPT = [7, 8, 9]


def test_the_whole_solution_and_the_end_are_targets(tokenizer, row, rng):
  made = worked_solutions(tokenizer).document(PROMPT, row, 0, rng)
  text = '12+7=19 19-5=14 14*2=28 #### 28'
  assert made.tokens.tolist() == [
    *PROMPT,
    *tokenizer(text).input_ids,
    tokenizer.eos_token_id,
  ]
  assert made.weights.tolist() == [0.0] * 3 + [1.0] * (len(made.tokens) - 3)
  assert not (made.latent.any() or made.align_position.any() or made.view.any())
  *arrays, targets, shares = made
  kinds = [x.dtype for x in arrays]
  assert kinds == [np.int32, np.float32, bool, np.int32, bool]
  assert {x.shape for x in arrays} == {made.tokens.shape}
  assert targets is shares is None


def test_without_steps_the_ending_is_learnt(tokenizer, row, rng):
  curriculum = worked_solutions(tokenizer, steps=False)
  made = curriculum.document(PROMPT, row, 0, rng)
  assert tokenizer.decode(made.tokens[3:]) == ' #### 28<|end|>'
  assert made.weights.sum() == len(made.tokens) - 3


def test_every_stage_is_the_same_and_has_no_latents(tokenizer, row, rng):
  curriculum = worked_solutions(tokenizer)
  for stage in range(3):
    made = curriculum.document(PROMPT, row, stage, rng)
    first = curriculum.document(PROMPT, row, 0, rng)
    np.testing.assert_array_equal(np.stack(made[:5]), np.stack(first[:5]))
    assert curriculum.num_latents(stage) == 0
    assert curriculum.spans(stage) == {}


@pytest.mark.parametrize('which', ['tokenizer', 'smollm2'])
def test_step_by_step_is_tokenised_as_at_once(which, request, rng):
  tokenizer = request.getfixturevalue(which)
  curriculum = worked_solutions(tokenizer)
  for row in arithmetic.problems('train', count=100, steps=(1, 4), worked=0.9):
    made = curriculum.document(PROMPT, row, 0, rng)
    whole = tokenizer(row['solution'], add_special_tokens=False).input_ids
    assert made.tokens[3:-1].tolist() == whole


@pytest.mark.parametrize(
  'solution',
  [
    'She has $2*3=6.$ Then 6 more.  So\n \\[x = 7.\\]\nIt is \\boxed{13}.',
    'Weng earns 12/60 = $<<12/60=0.2>>0.2 per minute.\n'
    'She has 5 of it. So 3*2=<<3*2=6>>6, then 6+1=7 - or so.\n#### 7',
  ],
)
def test_prose_is_tokenised_as_at_once(solution, smollm2, rng):
  curriculum = worked_solutions(smollm2)
  made = curriculum.document(PROMPT, {'solution': solution}, 0, rng)
  whole = smollm2(solution, add_special_tokens=False).input_ids
  assert made.tokens[3:-1].tolist() == whole


def test_pieces_are_put_together():
  first = [Piece([1, 2]), Piece([], 5.0), Piece([3], latent=True)]
  made = document(first, [Piece([4, 5], 0.5, align_position=True), Piece([6])])
  assert made.tokens.tolist() == [1, 2, 3, 4, 5, 6]
  assert made.weights.tolist() == [0, 0, 0, 0.5, 0.5, 0]
  assert made.latent.tolist() == [False, False, True, False, False, False]
  assert made.view.tolist() == [0, 0, 0, 1, 1, 1]
  assert made.align_position.tolist() == [
    False,
    False,
    False,
    False,
    True,
    False,
  ]


def test_a_missing_token_is_named(tokenizer):
  assert len({*token_ids(tokenizer, '<latent>', '<|end|>')}) == 2
  with pytest.raises(ValueError, match=r"\['<think>'\].*config.model.new_tok"):
    token_ids(tokenizer, '<latent>', '<think>')
