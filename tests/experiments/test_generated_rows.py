"""Where the text of a completion is parted, and which rows are kept."""

import json
from contextlib import nullcontext
from functools import partial

import numpy as np
import pytest
from etils import epath
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AddedToken

from experiments import generate
from experiments.training.actor import stopping_rule_of
from experiments.training.dataset_sampling import (
  check_delimiter,
  split_thinking,
)
from hybrid_latent.data import arithmetic
from hybrid_latent.formats.pretrained import pretrained
from hybrid_latent.formats.tokenizer import token_bytes
from hybrid_latent.ops.automaton import delimiter_automaton
from tests.experiments import rl_tiny
from tests.experiments.runs import lines


def test_what_could_not_be_graded_is_kept_only_with_all(tmp_path):
  row = {'reasoning_tokens': 1, 'response_tokens': 1}
  kinds = [(1.0, True), (1.0 - 6e-8, True), (0.5, True), (None, True),
           (1.0, False)]  # fmt: skip
  rows = [row | {'reward': x, 'complete': y} for x, y in kinds]
  part = epath.Path(tmp_path / 'part.jsonl')
  part.write_text(''.join(f'{json.dumps(row)}\n' for row in rows))
  for least, kept in ((1.0, rows[:2]), (0.0, rows[:3]), (-np.inf, rows)):
    generate.merge_shards([part], part.parent, least, 5)
    assert lines(tmp_path / 'train.jsonl') == kept


@pytest.fixture(scope='module')
def tokenizer():
  return arithmetic.tokenizer()


PIECES = ['#', '##', '###', ' ##', '####', ' ####', '1', ' has', '<|pad|>']


@settings(max_examples=200, deadline=None, derandomize=True)
@given(parts=st.lists(st.sampled_from(PIECES), min_size=1, max_size=8))
def test_a_delimiter_of_many_tokens_parts_the_text(tokenizer, parts):
  """Whichever tokens it is of, as the device sees it."""
  delimiter = '####'
  ids = [i for part in parts for i in tokenizer(part)['input_ids']]
  spelled = token_bytes(tokenizer)
  table, state, states = delimiter_automaton(b'####', spelled, 384), 0, []
  for i in ids:
    state = table[state, i]
    states.append(state)
  thinking = sum(state < 4 for state in states)
  decode = partial(tokenizer.decode, skip_special_tokens=True)
  before, after, written = split_thinking(ids, thinking, delimiter, decode)
  text = decode(ids)
  assert (before, delimiter * written, after) == text.partition(delimiter) or (
    not written and (before, after) == (text, '')
  )
  assert written == (delimiter in text)


def test_a_thinking_that_was_cut_is_parted_where_that_was(tokenizer):
  decode = partial(tokenizer.decode, skip_special_tokens=True)
  ids = tokenizer('1+1 So####2')['input_ids']
  assert split_thinking(ids, 2, '####', decode) == ('1+', '1 So####2', False)


@pytest.mark.parametrize(
  'special, delimiter, seen',
  [
    (False, '</think>', True),
    (True, '####', True),
    (True, '</think>', False),
    (False, '', False),
  ],
)
def test_a_delimiter_that_no_text_shows_is_refused(
  special, delimiter, seen, model_folder
):
  rollout = rl_tiny.get_config(f'{model_folder},grpo').rollout
  rollout.end_of_thinking = delimiter
  source = pretrained(model_folder)
  tokenizer = source.tokenizer
  tokenizer.add_tokens([AddedToken('</think>', special=special)])
  stop = stopping_rule_of(rollout, source, tokenizer)
  message = f'config.rollout.end_of_thinking is {delimiter!r}: write the text'
  with nullcontext() if seen else pytest.raises(ValueError, match=message):
    check_delimiter(delimiter, stop, tokenizer)
