"""Left-padded batches of prompts: shuffled, sharded by host, resumable."""

import logging
from collections.abc import Callable, Iterator, Sequence
from itertools import takewhile
from typing import Any, NamedTuple

import grain
import numpy as np

from hybrid_latent.ops.padding import padded_rows

Encode = Callable[[dict], list[int]]


def prompt_batches(
  source: Sequence[dict],
  encode: Encode,
  *,
  batch: int,
  length: int,
  pad: int,
  seed: int,
  shuffle: bool = True,
  repeat: bool = True,
  shard: tuple[int, int] = (0, 1),
) -> grain.IterDataset:
  """Batches `{'tokens': i32[u p], 'mask': bool[u p], 'ids': i32[u], 'rows'}`,
  with 'longest', the tokens of the longest prompt of all batches.

  The order is a function of `seed` and the epoch; the concatenated batches of
  all hosts do not depend on the number of hosts. An epoch has whole batches
  only, so no prompt occurs twice in one; the remaining prompts differ from
  epoch to epoch. The iterator's `get_state()` is small and plain JSON, and
  `set_state` continues from it in any process with the same arguments.

  Args:
    source: rows by position.
    encode: row -> token ids of its prompt; called once per row, at the start.
    batch: u, prompts per batch of this shard.
    length: p. Longer prompts are left out, and their number is logged.
    pad: the token id of the left padding, where mask is False.
    seed: of the order, 0 to 2**32 - 1.
    shuffle: False keeps the order of `source`.
    repeat: False ends after one epoch.
    shard: (index, number of shards): the prompts of this host.
  """
  prompts = _prompts(source, encode, length)
  index, shards = shard
  if not prompts:
    check_lengths(source, encode, length)
  if len(prompts) < batch * shards:
    raise ValueError(
      f'{batch} prompts on each of {shards} hosts, and only {len(prompts)} of '
      f'at most max_prompt_length={length} tokens: make prompts_per_step '
      'smaller or max_prompt_length larger'
    )
  logging.getLogger(__name__).info('data: %d prompts', len(prompts))
  longest = {'longest': _longest(prompts)}
  order = grain.MapDataset.source(prompts)
  # Before `batch` and `repeat`: Grain reshuffles in every epoch.
  if shuffle:
    order = order.shuffle(seed)
  local = slice(index * batch, (index + 1) * batch)
  # The global batch is sliced, so that the order is the same on all hosts.
  batches = order.batch(
    batch * shards,
    drop_remainder=True,
    batch_fn=lambda prompts: (
      _batch(source, prompts[local], length, pad) | longest
    ),
  )
  if repeat:
    batches = batches.repeat()
  return batches.to_iter_dataset(
    grain.ReadOptions(num_threads=1, prefetch_buffer_size=2)
  )


def eval_batches(
  source: Sequence[dict],
  encode: Encode,
  *,
  batch: int,
  length: int,
  pad: int,
  shard: tuple[int, int] = (0, 1),
) -> Iterator[dict[str, Any]]:
  """One pass in order: batches as above, with `'valid': bool[u]` and
  `'too_long'`, the number of prompts of the source that are left out.

  All hosts have equally many batches of one shape: repeated prompts fill the
  last ones, with valid False. No batches where every prompt is too long: see
  `check_lengths`.
  """
  prompts = _prompts(source, encode, length)
  index, shards = shard
  rounds = -(-len(prompts) // (batch * shards))
  # Strided, so that each host has its share of the last, incomplete round.
  local = range(index, rounds * batch * shards, shards)
  longest = _longest(prompts) if prompts else 0
  for start in range(0, rounds * batch, batch):
    numbers = local[start : start + batch]
    rows = [prompts[i % len(prompts)] for i in numbers]
    yield {
      **_batch(source, rows, length, pad),
      'longest': longest,
      'valid': np.array([i < len(prompts) for i in numbers]),
      'too_long': len(source) - len(prompts),
    }


def check_lengths(source: Sequence[dict], encode: Encode, length: int) -> None:
  """ValueError where no prompt has at most `length` tokens. Encodes prompts up
  to the first that fits."""
  prompts = []
  for i in range(len(source)):
    prompts.append(encode(source[i]))
    if len(prompts[-1]) <= length:
      return
  if not prompts:
    raise ValueError('the data has no rows: write a split or file that has')
  lengths = [*map(len, prompts)]
  common = ''
  if len(prompts) > 1:
    # Prefix and suffix: the text around the question in every prompt.
    both = _common(prompts) + _common([prompt[::-1] for prompt in prompts])
    common = (
      f', {min(both, *lengths)} of which are common to all prompts '
      '(data.system_prompt, template, data.prefill)'
    )
  raise ValueError(
    f'max_prompt_length is {length}, and each of the {len(prompts)} prompts is '
    f'longer: write max_prompt_length={max(lengths)}, which the longest has; '
    f'the shortest has {min(lengths)} tokens{common}'
  )


def _common(prompts: Sequence[list[int]]) -> int:
  """The number of tokens of the common prefix."""
  # zip ends with the shortest prompt, which bounds a common prefix.
  columns = zip(*prompts, strict=False)
  return sum(1 for _ in takewhile(lambda x: len({*x}) == 1, columns))


class _Prompt(NamedTuple):
  id: int  # index in the source
  tokens: np.ndarray  # i32[<= p]


def _prompts(
  source: Sequence[dict], encode: Encode, length: int
) -> list[_Prompt]:
  prompts = [
    _Prompt(i, np.asarray(encode(source[i]), np.int32))
    for i in range(len(source))
  ]
  fitting = [prompt for prompt in prompts if len(prompt.tokens) <= length]
  if len(fitting) < len(prompts):
    logging.getLogger(__name__).warning(
      '%d of %d prompts left out: longer than %d tokens (the longest has %d)',
      len(prompts) - len(fitting),
      len(prompts),
      length,
      max(len(prompt.tokens) for prompt in prompts),
    )
  return fitting


def _longest(prompts: Sequence[_Prompt]) -> int:
  return max(len(prompt.tokens) for prompt in prompts)


def _batch(
  source: Sequence[dict], prompts: Sequence[_Prompt], length: int, pad: int
) -> dict[str, Any]:
  tokens, mask = padded_rows([x.tokens for x in prompts], length, pad)
  return {
    'tokens': tokens,
    'mask': mask,
    'ids': np.array([prompt.id for prompt in prompts], np.int32),
    'rows': [source[prompt.id] for prompt in prompts],
  }
