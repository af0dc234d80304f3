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
  """Batches `{'tokens': i32[u p], 'mask': bool[u p], 'ids': i32[u], 'rows'}`.

  The order is a function of `seed` alone, and another one in every epoch; the
  batches of all hosts together are those that one would read alone. An epoch
  has whole batches only, so no prompt comes twice in one of them; the few
  prompts left over differ from epoch to epoch. The
  iterator's `get_state()` is small and plain JSON, and `set_state` continues
  from it in any process with the same arguments.

  Args:
    source: rows by position.
    encode: a row's prompt as token ids; called once for every row, at once.
    batch: u, prompts in a batch of this shard.
    length: p. Longer prompts are left out, and the log says how many.
    pad: the token id on the left of shorter ones, where mask is False.
    seed: of the order, 0 to 2**32 - 1.
    shuffle: False keeps the order of `source`.
    repeat: False ends after one epoch.
    shard: (which, of how many): the prompts that this host reads.
  """
  prompts = _prompts(source, encode, length)
  which, shards = shard
  if not prompts:
    check_lengths(source, encode, length)
  if len(prompts) < batch * shards:
    raise ValueError(
      f'batch={batch} prompts on each of {shards} shards, and only '
      f'{len(prompts)} prompts of at most length={length} tokens: make `batch` '
      'smaller or `length` larger'
    )
  logging.getLogger(__name__).info('data: %d prompts', len(prompts))
  order = grain.MapDataset.source(prompts)
  if shuffle:
    order = order.shuffle(seed)
  ours = slice(which * batch, (which + 1) * batch)
  batches = order.batch(
    batch * shards,
    drop_remainder=True,
    batch_fn=lambda some: _batch(source, some[ours], length, pad),
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
  """One pass in order: batches as above, with `'valid': bool[u]` and with
  `'too_long'`, how many prompts of the source are left out.

  Every host gets equally many batches of one shape: prompts are repeated to
  fill them, and valid is False on those. There is no batch where every prompt
  is too long: see `check_lengths`.
  """
  prompts = _prompts(source, encode, length)
  which, shards = shard
  rounds = -(-len(prompts) // (batch * shards))
  mine = range(which, rounds * batch * shards, shards)
  for start in range(0, rounds * batch, batch):
    places = mine[start : start + batch]
    some = [prompts[i % len(prompts)] for i in places]
    yield {
      **_batch(source, some, length, pad),
      'valid': np.array([i < len(prompts) for i in places]),
      'too_long': len(source) - len(prompts),
    }


def check_lengths(source: Sequence[dict], encode: Encode, length: int) -> None:
  """ValueError where no prompt has at most `length` tokens; encodes up to the
  first that has."""
  prompts = []
  for i in range(len(source)):
    prompts.append(encode(source[i]))
    if len(prompts[-1]) <= length:
      return
  if not prompts:
    raise ValueError('the data has no rows: write a split or file that has')
  lengths = [*map(len, prompts)]
  alike = ''
  if len(prompts) > 1:
    both = _shared(prompts) + _shared([prompt[::-1] for prompt in prompts])
    alike = (
      f', {min(both, *lengths)} of which are those of every prompt '
      '(data.system_prompt, template, data.prefill)'
    )
  raise ValueError(
    f'max_prompt_length is {length}, and each of the {len(prompts)} prompts is '
    f'longer: write max_prompt_length={max(lengths)}, which the longest has; '
    'the '
    f'shortest has {min(lengths)} tokens{alike}'
  )


def _shared(prompts: Sequence[list[int]]) -> int:
  """The tokens that all of them begin with."""
  columns = zip(*prompts, strict=False)
  return sum(1 for _ in takewhile(lambda x: len({*x}) == 1, columns))


class _Prompt(NamedTuple):
  id: int  # index in the source
  tokens: np.ndarray  # i32[<= p]


def _prompts(
  source: Sequence[dict], encode: Encode, length: int
) -> list[_Prompt]:
  every = [
    _Prompt(i, np.asarray(encode(source[i]), np.int32))
    for i in range(len(source))
  ]
  kept = [prompt for prompt in every if len(prompt.tokens) <= length]
  if len(kept) < len(every):
    logging.getLogger(__name__).warning(
      '%d of %d prompts left out: longer than %d tokens (the longest has %d)',
      len(every) - len(kept),
      len(every),
      length,
      max(len(prompt.tokens) for prompt in every),
    )
  return kept


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
