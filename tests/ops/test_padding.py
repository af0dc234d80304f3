"""Prompts as a batch."""

import numpy as np
import pytest

from hybrid_latent.ops.padding import left_padded


def test_prompts_end_where_the_batch_does():
  prompt = left_padded([[7, 8], [4, 5, 6]], pad_id=9, ids=[3, 1])
  np.testing.assert_array_equal(prompt.tokens, [[9, 7, 8], [4, 5, 6]])
  np.testing.assert_array_equal(prompt.mask, [[0, 1, 1], [1, 1, 1]])
  assert prompt.ids.tolist() == [3, 1] and prompt.mode is None
  wide = left_padded([[7]], length=3)
  assert wide.tokens.tolist() == [[0, 0, 7]] and wide.ids.tolist() == [0]


@pytest.mark.parametrize('prompts', [[[1], []], [[1, 2, 3]]])
def test_a_prompt_has_a_token_and_fits(prompts):
  with pytest.raises(ValueError, match='prompts of 1 to length=2'):
    left_padded(prompts, length=2)


@pytest.mark.parametrize(
  'prompts', [5, [], 'ab', [1, 2], ['ab'], [[1.5, 2.0]], [[-1, 2]], [[[1]]]]
)
def test_prompts_are_lists_of_token_ids(unchecked, prompts):
  with pytest.raises(ValueError, match='a list of lists of token ids >= 0'):
    left_padded(prompts)
