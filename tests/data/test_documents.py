import json
import logging

import numpy as np
import pytest

from hybrid_latent.curricula.base import Document
from hybrid_latent.data.documents import document_batches

PAD = -7
COUNT = 60
ARRAYS = {
  'tokens': np.int32,
  'segments': np.int32,
  'view': np.int32,
  'weights': np.float32,
  'latent': np.bool_,
  'align_position': np.bool_,
}
FORMS = {
  'packed': {'packed': True},
  'one a row': {'packed': False},
  'bucketed': {'packed': False, 'buckets': 3},
}
each_form = pytest.mark.parametrize('form', list(FORMS))


def parts(number):
  """Lengths of the parts of a document; every third has two."""
  first = 1 + number * 5 % 11
  return (first, 2) if number % 3 == 0 else (first,)


def document(number, row):
  assert row == {'question': str(number)}
  size = sum(parts(number))
  part = np.repeat(range(len(parts(number))), parts(number))
  place = np.arange(size)
  return Document(
    tokens=np.array(100 * number + place, np.int32),
    weights=np.array(1 + place / 4, np.float32),
    latent=place % 2 == 1,
    view=part,
    align_position=place == size - 1,
  )


def rows(count=COUNT):
  return [{'question': str(i)} for i in range(count)]


def batches(source=None, read=document, **more):
  """A dataset; by default 4 rows of 16 tokens a batch."""
  source = rows() if source is None else source
  arguments = {'batch': 4, 'length': 16, 'pad': PAD, 'seed': 0} | more
  return document_batches(source, read, **arguments)


def some(dataset, count):
  iterator = iter(dataset)
  return [next(iterator) for _ in range(count)]


def segments(batch):
  """(document, part, everything it says) of each segment, row by row."""
  for row in range(len(batch['tokens'])):
    for segment in range(1, batch['segments'][row].max() + 1):
      where = batch['segments'][row] == segment
      found = {name: batch[name][row][where] for name in ARRAYS}
      number, place = divmod(found['tokens'][0], 100)
      yield number, int(place > 0), found


def numbers(dataset, count):
  """Documents of some batches, as they come."""
  return [
    number
    for batch in some(dataset, count)
    for number, part, _ in segments(batch)
    if not part
  ]


def assert_same(got, want):
  assert got.keys() == want.keys()
  for name in want:
    np.testing.assert_array_equal(got[name], want[name])


@each_form
def test_batches_are_made_of_whole_documents(form):
  for batch in some(batches(**FORMS[form]), 12):
    assert {name: array.dtype for name, array in batch.items()} == ARRAYS
    assert {array.shape for array in batch.values()} == {batch['tokens'].shape}
    before = -1, 0
    for number, part, found in segments(batch):
      want, size = document(number, rows()[number]), parts(number)[part]
      own = slice(parts(number)[0], None) if part else slice(size)
      for name in ('tokens', 'view', 'latent', 'align_position'):
        np.testing.assert_array_equal(found[name], getattr(want, name)[own])
      np.testing.assert_array_equal(found['weights'][1:], want.weights[own][1:])
      assert found['weights'][0] == 0  # nothing predicts it
      assert not part or before == (number, 0)
      assert before[1] or before[0] < 0 or len(parts(before[0])) == 1 or part
      before = number, part
    padding = batch['segments'] == 0
    assert (batch['tokens'][padding] == PAD).all()
    for name in ('view', 'weights', 'latent', 'align_position'):
      assert not batch[name][padding].any()
    assert (np.diff(padding.astype(int), axis=1) >= 0).all()  # all at the end


@each_form
def test_what_is_packed_or_sorted_together_is_a_stretch_of_the_order(form):
  """So no document is lost or doubled, whatever the epoch."""
  together = {'packed': 16, 'one a row': 1, 'bucketed': 8}[form]
  order = numbers(batches(packed=False), 150)
  iterator, seen = iter(batches(**FORMS[form])), []
  for _ in range(2):
    seen += numbers(iterator, together)
    assert sorted(seen) == sorted(order[: len(seen)])


def test_every_epoch_has_every_document_once_in_another_order():
  epochs = np.reshape(numbers(batches(packed=False), 45), (3, COUNT))
  np.testing.assert_array_equal(np.sort(epochs), [np.arange(COUNT)] * 3)
  assert len({tuple(epoch) for epoch in epochs}) == 3


def test_packed_rows_are_nearly_full():
  filled = [batch['segments'] > 0 for batch in some(batches(length=64), 16)]
  assert np.mean(filled) > 0.97


@each_form
def test_the_order_is_a_function_of_the_seed(form):
  first, again, other = (
    numbers(batches(seed=seed, **FORMS[form]), 8) for seed in (3, 3, 4)
  )
  assert first == again != other


@pytest.mark.parametrize('seed', [0, 5])
def test_a_larger_share_has_the_documents_of_a_smaller_one(seed):
  tenth, half, whole = (
    set(numbers(batches(packed=False, share=share, seed=seed), 30))
    for share in (0.1, 0.5, 1.0)
  )
  assert (len(tenth), len(half), len(whole)) == (6, 30, 60)
  assert tenth < half < whole
  assert tenth != set(range(6))


@each_form
@pytest.mark.parametrize('hosts', [2, 4])
def test_any_number_of_hosts_gives_the_same_batches(form, hosts):
  alone = some(batches(batch=8, **FORMS[form]), 12)
  shards = [
    some(batches(batch=8 // hosts, shard=(h, hosts), **FORMS[form]), 12)
    for h in range(hosts)
  ]
  for want, parts_of_it in zip(alone, zip(*shards, strict=True), strict=True):
    got = {n: np.concatenate([p[n] for p in parts_of_it]) for n in want}
    assert_same(got, want)


@each_form
@pytest.mark.parametrize('steps', [0, 7, 16, 17])
def test_a_saved_state_continues_identically_elsewhere(form, steps):
  iterator = iter(batches(**FORMS[form]))
  for _ in range(steps):
    next(iterator)
  state = json.dumps(iterator.get_state())
  assert len(state) < 200
  rest = [next(iterator) for _ in range(17)]
  fresh = iter(batches(**FORMS[form]))
  for _ in range(2):  # a reader that is elsewhere, then there again
    fresh.set_state(json.loads(state))
    assert json.loads(json.dumps(fresh.get_state())) == json.loads(state)
    for want in rest:
      assert_same(next(fresh), want)


def test_a_state_is_one_of_all_hosts():
  state = {}
  for host in range(2):
    iterator = iter(batches(batch=2, shard=(host, 2)))
    for _ in range(5):
      next(iterator)
    state[host] = iterator.get_state()
  assert state[0] == state[1]
  alone = iter(batches(batch=4))
  alone.set_state(state[0])
  assert_same(next(alone), some(batches(batch=4), 6)[-1])


def test_buckets_have_few_shapes_and_the_smallest_that_holds():
  seen = some(batches(packed=False, buckets=3, length=24), 64)
  widths = [batch['tokens'].shape[1] for batch in seen]
  assert set(widths) == {6, 12, 24}
  for batch, width in zip(seen, widths, strict=True):
    assert batch['tokens'].shape[0] == 4
    longest = (batch['segments'] > 0).sum(1).max()
    assert longest <= width
    assert width == 6 or longest > width // 2
  wide = some(batches(packed=False, length=24), 64)
  padding = [
    np.mean(np.concatenate([b['segments'].ravel() == 0 for b in found]))
    for found in (seen, wide)
  ]
  assert padding[0] < padding[1] / 2
  assert widths[:16] != sorted(widths[:16])  # nor from short to long


def test_documents_are_encoded_when_they_are_read():
  read = []

  def noted(number, row):
    read.append(number)
    return document(number, row)

  dataset = batches(rows(5000), noted, packed=False)
  assert read == []
  iterator = iter(dataset)
  next(iterator)
  assert 4 <= len(read) <= 200


def test_too_long_documents_are_left_out_and_counted_now_and_then(caplog):
  with caplog.at_level(logging.WARNING):
    seen = numbers(batches(packed=False, length=8), 100)
  assert set(seen) == {i for i in range(COUNT) if sum(parts(i)) <= 8}
  said = [record.getMessage() for record in caplog.records]
  assert [int(text.split()[0]) for text in said][:5] == [1, 2, 4, 8, 16]
  assert len(said) < 12
  assert 'left out: longer than 8 tokens (the last one has ' in said[0]


@each_form
def test_a_length_that_no_document_has_is_refused(form):
  long = [{'question': str(i)} for i in (1, 2, 4)]
  read = lambda number, row: document(int(row['question']), row)
  iterator = iter(batches(long, read, length=4, **FORMS[form]))
  with pytest.raises(ValueError, match='length=4: every one of 3 documents'):
    next(iterator)


@pytest.mark.parametrize(
  ('arguments', 'what'),
  [
    ({'batch': 0}, 'batch_size=0, max_length=16: accepted'),
    ({'length': 0}, 'numbers of at least 1'),
    ({'share': 1.5}, 'write a share of at most 1'),
    ({'share': 0.001}, 'share=0.001 of 60 documents are 0'),
    ({'source': []}, 'share=1.0 of 0 documents are 0'),
    ({'shard': (2, 2)}, 'index, number of shards'),
    ({'buckets': 2}, 'write buckets=1 or packed=False'),
    ({'buckets': 0, 'packed': False}, 'buckets=0: accepted is 1 to 5'),
    ({'buckets': 6, 'packed': False}, 'max_length=16 can be halved 5 times'),
  ],
)
def test_impossible_arguments_are_refused(arguments, what):
  with pytest.raises(ValueError, match=what):
    batches(**arguments)


@each_form
def test_mixtures_go_with_their_tokens(form):
  def mixed(number, row):
    made = document(number, row)
    both = np.stack([made.tokens, made.tokens + 1], axis=1)
    shares = np.stack([made.weights, 1 - made.weights], axis=1)
    return made._replace(targets=both, shares=shares)

  for batch in some(batches(read=mixed, **FORMS[form]), 3):
    assert batch['targets'].dtype == np.int32
    assert batch['shares'].dtype == np.float32
    text = batch['segments'] > 0
    assert (batch['targets'][text][:, 0] == batch['tokens'][text]).all()
    np.testing.assert_allclose(batch['shares'][text].sum(-1), 1)
    assert not batch['shares'][~text].any()
