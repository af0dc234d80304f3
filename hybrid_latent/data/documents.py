"""Batches of training documents: packed or bucketed by length, resumable.

A document is encoded when it is read, so a corpus may be larger than memory.
Packed, several documents share a row, and `segments` restricts attention to one
document; bucketed, each row has one document, and the rows of a batch have
similar lengths.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import grain
import numpy as np
from jaxtyping import Bool, Int

from hybrid_latent.curricula.base import Document

Encode = Callable[[int, dict], Document]

_BINS = 64  # rows, at least, that Grain fills at the same time
_WINDOW = 8  # batches that are sorted by length together
_KINDS = {
  'tokens': np.int32,
  'weights': np.float32,
  'latent': np.bool_,
  'view': np.int32,
  'align_position': np.bool_,
  'targets': np.int32,
  'shares': np.float32,
}


def document_batches(
  source: Sequence[dict],
  document: Encode,
  *,
  batch: int,
  length: int,
  pad: int,
  seed: int,
  packed: bool = True,
  share: float = 1.0,
  buckets: int = 1,
  shard: tuple[int, int] = (0, 1),
) -> grain.IterDataset:
  """Batches of `tokens` i32[b t], `segments` i32[b t], `weights` f32[b t],
  `view` i32[b t], `latent` bool[b t] and `align_position` bool[b t], forever;
  where documents have them, also `targets` i32[b t m] and `shares` f32[b t m].

  Each view of each document is a segment, numbered from 1 in its row; padding
  is segment 0. The first token of a view has no predecessor, hence weight 0.

  The order is a function of `seed` and the epoch. Every host reads all
  documents and keeps its rows, so the batches do not depend on the number of
  hosts. The iterator's `get_state()` is small and plain JSON, and `set_state`
  continues from it in any process with the same arguments.

  Args:
    source: rows by position.
    document: (position in `source`, row) -> example; called when the row is
      read, in another thread, and again after a resume.
    batch: b, rows per batch of this shard.
    length: t. Longer documents are left out, and their number is logged.
    pad: the token id of padding.
    seed: of the order, 0 to 2**32 - 1.
    packed: several documents per row (Grain's best fit); a batch may hold the
      end of one epoch and the start of the next. False: one document per row.
    share: of the source, above 0 and at most 1. A larger share contains all
      documents of a smaller one with the same seed.
    buckets: with packed=False, the number of shapes: t is the smallest of
      length, length // 2, length // 4, ... that fits the batch.
    shard: (index, number of shards): the rows that this host keeps.
  """
  count = round(share * len(source))
  index, shards = shard
  _check(len(source), count, batch, length, share, packed, buckets, shard)
  # A prefix of one permutation: a larger share contains the smaller one.
  chosen = np.random.default_rng(seed).permutation(len(source))[:count].tolist()

  def read(number: int) -> np.ndarray:
    return _record(document(number, source[number]))

  # Shuffled before `map`: only numbers are permuted, and documents are encoded
  # lazily. `repeat` follows `shuffle`, so each epoch has another order.
  documents = (
    grain.MapDataset.source(chosen)
    .shuffle(seed)
    .map(read)
    .filter(_fits(length, count))
    .repeat()
    .to_iter_dataset(grain.ReadOptions(num_threads=1, prefetch_buffer_size=16))
  )
  # Packing depends on all documents, so every host packs the global batch.
  size = batch * shards
  if packed:
    rows = _packed(documents, size, length, seed)
  else:
    rows = _bucketed(documents, size, [length >> k for k in range(buckets)])
  local = slice(index * batch, (index + 1) * batch)
  return rows.map(lambda all_rows: _batch(all_rows, local, pad))


def passes_of(batch: Mapping[str, np.ndarray], most: int) -> int:
  """The passes of `latents.inputs_with_latents` that a batch needs: the largest
  number of latents of one of its texts, rounded up to a quarter of `most`, that
  of any text, as each number of passes is compiled."""
  rows, places = np.nonzero(batch['latent'])
  texts = np.stack([rows, batch['segments'][rows, places]])
  count = np.unique(texts, axis=1, return_counts=True)[1].max(initial=0)
  unit = -(-most // 4)
  return int(-(-count // unit) * unit)


class _Rows(NamedTuple):
  """The rows of all hosts."""

  records: np.ndarray  # [b t], see `_record`
  numbers: Int[np.ndarray, 'b t']  # document in the row, from 1; 0: padding


def _packed(
  documents: grain.IterDataset, size: int, length: int, seed: int
) -> grain.IterDataset:
  bins = grain.experimental.BestFitPackIterDataset(
    documents.map(lambda record: {'document': record}),
    length_struct={'document': length},
    num_packing_bins=max(size, _BINS),
    seed=seed,
  )
  return bins.batch(size, drop_remainder=True).map(
    lambda rows: _Rows(rows['document'], rows['document_segment_ids'])
  )


def _bucketed(
  documents: grain.IterDataset, size: int, lengths: list[int]
) -> grain.IterDataset:
  # With one shape there is nothing to sort, so no window is filled.
  window = size * _WINDOW if len(lengths) > 1 else size
  return grain.experimental.FlatMapIterDataset(
    documents.batch(window, drop_remainder=True, batch_fn=list),
    _ByLength(size, lengths),
  )


class _ByLength(grain.experimental.FlatMapTransform):
  """The batches of a window, each of documents of similar length.

  Batches, and documents within a batch, keep their random order: training does
  not proceed from short to long documents.
  """

  def __init__(self, size: int, lengths: list[int]):
    self._size = size
    self._lengths = lengths

  def flat_map(self, window: Sequence[np.ndarray]) -> list[_Rows]:
    by_length = np.argsort([len(record) for record in window], kind='stable')
    batches = np.sort(by_length.reshape(-1, self._size), axis=1).tolist()
    # Sorted by the index of their first document: the order of arrival.
    return [self._rows([window[i] for i in batch]) for batch in sorted(batches)]

  def _rows(self, records: list[np.ndarray]) -> _Rows:
    longest = max(map(len, records))
    length = min(t for t in self._lengths if t >= longest)
    rows = np.zeros((len(records), length), records[0].dtype)
    numbers = np.zeros(rows.shape, np.int32)
    for i, record in enumerate(records):
      rows[i, : len(record)] = record
      numbers[i, : len(record)] = 1
    return _Rows(rows, numbers)


def _record(document: Document) -> np.ndarray:
  """A document as one structured array [t], with the fields that it has."""
  given = {n: x for n, x in document._asdict().items() if x is not None}
  kinds = [(name, _KINDS[name], x.shape[1:]) for name, x in given.items()]
  record = np.empty(len(document.tokens), kinds)
  for name, x in given.items():
    record[name] = x
  # The first token of a view is not predicted from the view before it.
  record['weights'][_changes(record['view'])] = 0
  return record


def _batch(rows: _Rows, local: slice, pad: int) -> dict[str, np.ndarray]:
  records, numbers = (array[local] for array in rows)
  begins = _changes(numbers) | _changes(records['view'])
  batch = {name: records[name] for name in records.dtype.names or ()}
  # Views of one document are segments, too: they must not attend to each other.
  return batch | {
    'tokens': np.where(numbers > 0, records['tokens'], np.int32(pad)),
    'segments': np.where(numbers > 0, np.cumsum(begins, 1, np.int32), 0),
  }


def _changes(values: Int[np.ndarray, '*b t']) -> Bool[np.ndarray, '*b t']:
  """Where a value differs from the one before it; True at the first."""
  return np.diff(values, prepend=-1) != 0


def _fits(length: int, count: int) -> Callable[[np.ndarray], bool]:
  """Whether a record has at most `length` tokens; counts the longer ones."""
  read = left_out = 0

  def fits(record: np.ndarray) -> bool:
    nonlocal read, left_out
    read += 1
    if len(record) <= length:
      return True
    left_out += 1
    # A whole epoch without a document: the iterator would never return.
    if left_out == read >= count:
      raise ValueError(
        f'max_length={length}: every one of {count} documents is longer (this '
        f'one has {len(record)} tokens): make max_length larger'
      )
    if left_out & (left_out - 1) == 0:  # logged at 1, 2, 4, 8, ...
      logging.getLogger(__name__).warning(
        '%d of the first %d documents left out: longer than %d tokens (the '
        'last one has %d)',
        left_out,
        read,
        length,
        len(record),
      )
    return False

  return fits


def _check(
  total: int,
  count: int,
  batch: int,
  length: int,
  share: float,
  packed: bool,
  buckets: int,
  shard: tuple[int, int],
) -> None:
  index, shards = shard
  if not (0 <= share <= 1 and count):
    raise ValueError(
      f'share={share} of {total} documents are {count}: write a share of at '
      'most 1 that leaves one or more'
    )
  if batch < 1 or length < 1:
    raise ValueError(
      f'batch_size={batch}, max_length={length}: accepted are numbers of at '
      'least 1'
    )
  if not 0 <= index < shards:
    raise ValueError(
      f'shard={shard}: accepted is (index, number of shards), the index from 0 '
      'to below the number'
    )
  if packed and buckets != 1:
    raise ValueError(
      f'buckets={buckets} with packed=True: packed rows have one length; write '
      'buckets=1 or packed=False'
    )
  if not 1 <= buckets <= length.bit_length():
    raise ValueError(
      f'buckets={buckets}: accepted is 1 to {length.bit_length()}, so that '
      f'max_length={length} can be halved {buckets - 1} times'
    )
