import json
import logging

import numpy as np
import pytest

from hybrid_latent.data.prompts import (
  check_lengths,
  eval_batches,
  prompt_batches,
)

PAD = -7


class Rows:
  """Row i asks i; its prompt is i % 5 + 1 tokens long."""

  def __init__(self, count):
    self.count = count

  def __len__(self):
    return self.count

  def __getitem__(self, i):
    return {'question': str(i), 'answer': str(-i)}


def encode(row):
  i = int(row['question'])
  return [100 * i + k for k in range(i % 5 + 1)]


def batches(count=20, batch=4, length=5, seed=0, **more):
  return prompt_batches(
    Rows(count), encode, batch=batch, length=length, pad=PAD, seed=seed, **more
  )


def ids(dataset, count):
  iterator = iter(dataset)
  return [next(iterator)['ids'].tolist() for _ in range(count)]


def test_a_batch_is_left_padded():
  first = next(iter(batches(shuffle=False, batch=3, length=6)))
  assert first['tokens'].dtype == first['ids'].dtype == np.int32
  assert first['tokens'].tolist() == [
    [PAD, PAD, PAD, PAD, PAD, 0],
    [PAD, PAD, PAD, PAD, 100, 101],
    [PAD, PAD, PAD, 200, 201, 202],
  ]
  np.testing.assert_array_equal(first['mask'], first['tokens'] != PAD)
  assert first['mask'].dtype == bool
  assert first['ids'].tolist() == [0, 1, 2]
  assert first['rows'] == [
    {'question': f'{i}', 'answer': f'{-i}'} for i in range(3)
  ]


def test_the_order_is_a_function_of_the_seed():
  assert ids(batches(seed=3), 12) == ids(batches(seed=3), 12)
  assert ids(batches(seed=3), 12) != ids(batches(seed=4), 12)


def test_every_epoch_has_every_prompt_once_in_another_order():
  flat = np.ravel(ids(batches(), 15)).reshape(3, 20)
  np.testing.assert_array_equal(np.sort(flat), [np.arange(20)] * 3)
  assert len({tuple(epoch) for epoch in flat}) == 3


def test_one_epoch_ends_and_whole_batches_have_no_prompt_twice():
  epoch = list(batches(count=23, repeat=False))
  assert len(epoch) == 5
  seen = np.concatenate([batch['ids'] for batch in epoch])
  assert len(set(seen)) == 20
  left_out = [
    frozenset(range(23)) - set(np.ravel(ids(batches(23, seed=s), 5)))
    for s in range(3)
  ]
  assert len(set(left_out)) > 1


def test_a_saved_state_continues_identically_elsewhere():
  iterator = iter(batches())
  for _ in range(7):  # into the second epoch
    next(iterator)
  state = json.loads(json.dumps(iterator.get_state()))
  rest = [next(iterator) for _ in range(9)]
  fresh = iter(batches())
  fresh.set_state(state)
  for want in rest:
    got = next(fresh)
    assert got['rows'] == want['rows']
    for name in ('tokens', 'mask', 'ids'):
      np.testing.assert_array_equal(got[name], want[name])


@pytest.mark.parametrize('shuffle', [True, False])
def test_hosts_share_an_epoch_without_overlap(shuffle):
  hosts = [
    ids(batches(26, 2, shuffle=shuffle, shard=(h, 3)), 4) for h in range(3)
  ]
  flat = np.ravel(hosts)
  assert len(flat) == len(set(flat)) == 24
  together = np.concatenate(hosts, axis=1)  # as one host would read them
  np.testing.assert_array_equal(
    together, ids(batches(26, 6, shuffle=shuffle), 4)
  )


def test_too_long_prompts_are_left_out_and_counted(caplog):
  with caplog.at_level(logging.WARNING):
    dataset = batches(length=3, repeat=False)
  assert [r.getMessage() for r in caplog.records] == [
    '8 of 20 prompts left out: longer than 3 tokens (the longest has 5)'
  ]
  seen = np.concatenate([batch['ids'] for batch in dataset])
  assert sorted(seen) == [i for i in range(20) if i % 5 < 3]


def test_too_few_prompts_are_refused():
  with pytest.raises(ValueError, match='4 prompts on each of 6 hosts'):
    batches(shard=(0, 6))


def test_prompts_that_are_all_too_long_are_refused():
  message = (
    'max_prompt_length is 0, and each of the 20 prompts is longer: write '
    'max_prompt_length=5, which the longest has; the shortest has 1 tokens'
  )
  with pytest.raises(ValueError, match=message):
    batches(length=0)
  with pytest.raises(ValueError, match=message):
    check_lengths(Rows(20), encode, 0)
  for refused in (lambda: batches(0), lambda: check_lengths([], encode, 9)):
    with pytest.raises(ValueError, match='the data has no rows'):
      refused()
  check_lengths(Rows(20), encode, 1)


def evaluation(count, batch, shard=(0, 1), length=5):
  return list(
    eval_batches(
      Rows(count), encode, batch=batch, length=length, pad=PAD, shard=shard
    )
  )


def test_an_evaluation_counts_the_prompts_that_it_leaves_out():
  found = evaluation(20, 4, length=3)
  assert [batch['too_long'] for batch in found] == [8, 8, 8]
  assert evaluation(20, 4)[0]['too_long'] == 0
  assert evaluation(20, 4, length=0) == []


@pytest.mark.parametrize('shards', [1, 2, 3])
@pytest.mark.parametrize('count', [1, 4, 9, 24])
def test_evaluation_visits_every_prompt_once(count, shards):
  hosts = [evaluation(count, 4, (h, shards)) for h in range(shards)]
  assert len({len(host) for host in hosts}) == 1
  seen = [batch['ids'][batch['valid']] for host in hosts for batch in host]
  assert sorted(np.concatenate(seen)) == list(range(count))
  assert all(b['tokens'].shape == (4, 5) for host in hosts for b in host)


def test_the_last_batch_is_padded_by_repeating():
  last = evaluation(6, 4)[-1]
  assert last['ids'].tolist() == [4, 5, 0, 1]
  assert last['valid'].tolist() == [True, True, False, False]
  assert last['rows'][2]['question'] == '0'
