"""Where the thinking of a real tokenizer's text ends, on the device."""

import jax
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hybrid_latent.formats.gguf import gguf_tokenizer
from hybrid_latent.formats.pretrained import local_path
from hybrid_latent.formats.tokenizer import token_bytes
from hybrid_latent.ops.automaton import delimiter_automaton, unfinished

DELIMITERS = '####', '</think>', 'The final answer is:'
LENGTH = 32
# Whole texts, and pieces that a model could put together as it likes.
pieces = st.sampled_from(
  [
    *('#', '##', '###', '####', ' #', '# ', '\n', '12', 'naïve', '🙂'),
    *('The', ' The', ' final', ' answer', ' is', 'is:', ':', ' is:'),
    *('<', '</', 'think', '>', '</th', 'ink>', '</think>.', '<|im_end|>'),
  ]
)
program = jax.jit(unfinished)


@pytest.fixture(scope='module')
def smollm2():
  try:
    path = local_path('smollm2-135m')
  except FileNotFoundError as error:
    pytest.skip(str(error))
  return gguf_tokenizer(path)


@pytest.fixture(scope='module')
def tables(smollm2):
  spelled = token_bytes(smollm2)
  return {
    delimiter: delimiter_automaton(delimiter.encode(), spelled, len(smollm2))
    for delimiter in DELIMITERS
  }


@pytest.mark.parametrize('delimiter', DELIMITERS)
@settings(max_examples=60, deadline=None, derandomize=True)
@given(parts=st.lists(pieces, min_size=1, max_size=12), whole=st.booleans())
@example(parts=['1', '####', ' 4'], whole=True)
@example(parts=['#', '<|im_end|>', '###'], whole=False)
@example(parts=['The', ' final', ' answer', ' is', ':'], whole=False)
def test_thinking_ends_where_the_decoded_text_holds_it(
  smollm2, tables, delimiter, parts, whole
):
  texts = [''.join(parts)] if whole else parts
  ids = [i for text in texts for i in smollm2.encode(text)][:LENGTH]
  decoded = [
    smollm2.decode(ids[: n + 1], skip_special_tokens=True)
    for n in range(len(ids))
  ]
  rows = np.zeros((1, LENGTH), np.int32)
  rows[0, : len(ids)] = ids
  thinking = np.asarray(program(tables[delimiter], rows))[0, : len(ids)]
  assert thinking.tolist() == [delimiter not in text for text in decoded]
