import itertools
import json
import os
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from transformers import AutoTokenizer

from hybrid_latent.data import prosqa

DATA = Path(os.environ.get('HYBRID_LATENT_DATA', '../shared/data')) / 'prosqa'
PUBLISHED = [str(DATA / f'prosqa_{split}.json') for split in ('valid', 'test')]
needs_published = pytest.mark.skipif(
  not DATA.is_dir(), reason=f'ProsQA is not in {DATA}'
)
SMALL = {'nodes': 6, 'steps': (1, 2)}


@pytest.fixture(scope='module')
def tokenizer():
  return prosqa.tokenizer()


def rows(split='train', count=60, **more):
  return list(prosqa.problems(split, count=count, **more))


def published():
  return [
    row for path in PUBLISHED for row in json.loads(Path(path).read_text())
  ]


def facts(text):
  """(subject, concept) of every sentence."""
  return re.findall(r'(?:Every )?(\w+) is a (\w+)\.', text)


def distances(edges, start):
  """Edges from `start` to all that can be reached."""
  found, front = {start: 0}, [start]
  for node in front:
    for a, b in edges:
      if a == node and b not in found:
        found[b] = found[node] + 1
        front.append(b)
  return found


def graph(row):
  """The puzzle however its nodes are named: the least of all numberings."""
  count = len(row['idx_to_symbol'])
  asked = row['root'], row['target'], row['neg_target']
  return min(
    (sorted((p[a], p[b]) for a, b in row['edges']), [p[i] for i in asked])
    for p in itertools.permutations(range(count))
  )


def graphs(some):
  return {json.dumps(graph(row)) for row in some}


def test_the_first_row_stays_what_it_is():
  assert rows(count=1, nodes=7, steps=(2, 2)) == [
    {
      'question': (
        'Sam is a brimpus. Jack is a storpus. Every brimpus is a rempus. '
        'Jack is a scrompus. Sam is a storpus. Is Sam a rempus or scrompus?'
      ),
      'steps': ['Sam is a brimpus.\n', 'Every brimpus is a rempus.\n'],
      'ending': '### Sam is a rempus.',
      'answer': 'Sam is a rempus.',
      'idx_to_symbol': (
        ['Sam', 'Jack', 'storpus', 'brimpus', 'scrompus', 'rempus']
      ),
      'edges': [[1, 2], [0, 2], [0, 3], [1, 4], [3, 5]],
      'root': 0,
      'target': 5,
      'neg_target': 4,
    }
  ]


def test_a_row_is_a_function_of_seed_split_and_number():
  assert rows(count=10) == rows(count=20)[:10]
  assert rows(count=10, seed=1) != rows(count=10)
  source = prosqa.problems('train', count=10)
  assert source[-1] == source[9] == rows(count=10)[9]
  with pytest.raises(IndexError):
    source[10]


@pytest.mark.parametrize(
  'size', [{}, {'nodes': 40}, {'nodes': 12, 'steps': (2, 3)}, SMALL]
)
def test_what_is_told_decides_the_question(size):
  fewest, most = size.get('steps', (3, 6))
  for row in rows(**size):
    asked = r' Is (\w+) a (\w+) or (\w+)\?$'
    root, *choices = re.search(asked, row['question']).groups()
    told = facts(row['question'])
    assert re.sub(asked, '', row['question']) == ' '.join(
      f'{"Every " if a.islower() else ""}{a} is a {b}.' for a, b in told
    )
    assert len(set(told)) == len(told)
    reached = distances(told, root)
    (target,) = (choice for choice in choices if choice in reached)
    chain = facts(''.join(row['steps']))
    assert set(chain) <= set(told)
    assert [a for a, _ in chain] == [root, *(b for _, b in chain[:-1])]
    assert chain[-1][1] == target
    assert fewest <= len(chain) == reached[target] <= most
    assert all(step.endswith('.\n') for step in row['steps'])
    assert row['answer'] == f'{root} is a {target}.'
    assert row['ending'] == f'### {row["answer"]}'


def test_rows_have_the_fields_of_the_published_ones():
  for row in rows():
    symbols = row['idx_to_symbol']
    named = [(symbols[a], symbols[b]) for a, b in row['edges']]
    assert sorted(named) == sorted(facts(row['question']))
    assert all(a < b for a, b in row['edges'])
    assert len(set(symbols)) == len(symbols)
    below = {b for _, b in row['edges']}
    for i, symbol in enumerate(symbols):
      assert symbol in (prosqa.CONCEPTS if i in below else prosqa.NAMES)
    asked = {symbols[row['target']], symbols[row['neg_target']]}
    assert set(re.findall(r'(\w+) or (\w+)\?', row['question'])[0]) == asked
    assert json.loads(json.dumps(row)) == row


def test_the_two_choices_look_alike():
  every = rows(count=200)
  first = [f' {facts(r["answer"])[0][1]} or ' in r['question'] for r in every]
  assert 0.4 < np.mean(first) < 0.6
  for row in every:
    parents = {a for a, _ in row['edges']}
    assert not parents & {row['target'], row['neg_target']}  # both are leaves
    assert row['neg_target'] in distances(row['edges'], 1 - row['root'])
    assert row['target'] not in distances(row['edges'], 1 - row['root'])


def test_no_test_graph_is_a_training_graph_whatever_the_seed():
  train = graphs(rows(count=300, **SMALL) + rows(count=300, seed=1, **SMALL))
  test = graphs(rows('test', count=60, seed=2, **SMALL))
  assert len(train) > 40
  assert len(test) > 4
  assert not train & test


def test_graphs_of_a_file_are_left_out_however_they_are_named(tmp_path):
  some = rows(count=40, **SMALL)
  file = tmp_path / 'published.json'
  renamed = []
  for row in some:
    last = len(row['idx_to_symbol']) - 1
    edges = [[last - a, last - b] for a, b in reversed(row['edges'])]
    asked = {n: last - row[n] for n in ('root', 'target', 'neg_target')}
    renamed.append({'edges': edges, **asked})
  file.write_text(json.dumps(renamed))
  others = rows(count=150, apart_from=[str(file)], **SMALL)
  assert graphs(rows(count=150, **SMALL)) & graphs(some)
  assert not graphs(others) & graphs(some)


@pytest.fixture(scope='module')
def like_published():
  return rows(count=1000, apart_from=PUBLISHED)


@needs_published
def test_no_row_is_a_published_row(like_published):
  fields = 'edges', 'root', 'target', 'neg_target'
  ours, theirs = (
    {json.dumps([row[name] for name in fields]) for row in some}
    for some in (like_published, published())
  )
  assert len(theirs) == 800
  assert len(ours) == 1000
  assert not ours & theirs


def statistics(some):
  """Means over the rows."""
  figures = []
  for row in some:
    edges = row['edges']
    ours, other = (distances(edges, i) for i in (row['root'], 1 - row['root']))
    alone, leaves = ours.keys() - other.keys(), ours.keys() ^ other.keys()
    parents = Counter(b for _, b in edges)
    figures.append(
      {
        'nodes': len(row['idx_to_symbol']),
        'edges': len(edges),
        'steps': len(row['steps']),
        'entities': len(row['idx_to_symbol']) - len(parents),
        'below the root alone': len(alone),
        'below the other alone': len(other.keys() - ours.keys()),
        'below both': len(ours.keys() & other.keys()),
        'leaves': len(leaves - {a for a, _ in edges}),
        'of one parent': sum(n == 1 for n in parents.values()),
        'children of the root': sum(a == row['root'] for a, _ in edges),
        'distance of the other': other[row['neg_target']],
        'second root': row['root'],
      }
      | {f'{n} steps': len(row['steps']) == n for n in range(3, 7)}
    )
  return {k: np.mean([f[k] for f in figures]) for k in figures[0]}


@needs_published
def test_graphs_are_like_the_published_ones(like_published):
  """Within 4%, shares within 0.06: two to three standard errors."""
  ours, theirs = statistics(like_published), statistics(published())
  assert ours == pytest.approx(theirs, rel=0.04, abs=0.06)


@needs_published
def test_names_are_the_published_ones():
  used = {name for row in published() for name in row['idx_to_symbol']}
  assert used == {*prosqa.NAMES, *prosqa.CONCEPTS}


@pytest.mark.parametrize(
  ('arguments', 'what'),
  [
    ({'split': 'valid'}, "'train' and 'test'"),
    ({'steps': (3, 2)}, 'both at least 1'),
    ({'steps': (0, 2)}, 'both at least 1'),
    ({'nodes': 41}, 'nodes=41: accepted is 4 to 40'),
    ({'nodes': 3}, 'nodes=3: accepted is 4 to 40'),
  ],
)
def test_impossible_arguments_are_refused(arguments, what):
  with pytest.raises(ValueError, match=what):
    prosqa.problems(**({'split': 'train', 'count': 1} | arguments))


def test_a_size_without_such_chains_is_refused():
  source = prosqa.problems('train', count=1, nodes=5, steps=(4, 4))
  with pytest.raises(ValueError, match=r'nodes=5 .* steps=\(4, 4\): make'):
    source[0]


def test_a_file_of_another_form_is_refused(tmp_path):
  file = tmp_path / 'other.json'
  file.write_text('[{"edges": [], "root": 0, "question": "?"}]')
  what = r"other.json, item 1 has no \['target', 'neg_target'\]"
  with pytest.raises(ValueError, match=what):
    prosqa.problems('train', count=1, apart_from=[str(file)])


def test_every_word_is_one_token(tokenizer):
  assert len(tokenizer) < 350
  for row in rows():
    for text in (row['question'], ''.join(row['steps']), row['ending']):
      ids = tokenizer(text).input_ids
      assert len(ids) == len(re.findall(r'\w+|[.?\n]|###', text))
      assert tokenizer.decode(ids) == text


def test_pieces_are_tokenised_as_the_whole_is(tokenizer):
  for row in rows(count=10):
    pieces = [*row['steps'], row['ending']]
    ids = [i for piece in pieces for i in tokenizer(piece).input_ids]
    assert ids == tokenizer(''.join(pieces)).input_ids


def test_the_tokenizer_reads_back_any_text_also_from_a_file(
  tokenizer, tmp_path
):
  tokenizer.save_pretrained(tmp_path)
  again = AutoTokenizer.from_pretrained(tmp_path)
  chat = [{'role': 'user', 'content': rows(count=1)[0]['question']}]
  for one in (tokenizer, again):
    for text in ('é 漢 \x00\n  12', ' Every lempuses Tomtom', '#### 14'):
      assert one.decode(one(text).input_ids) == text
    assert one.get_vocab() == tokenizer.get_vocab()
    prompt = one.apply_chat_template(
      chat, tokenize=False, add_generation_prompt=True
    )
    assert prompt == f'<|user|>{chat[0]["content"]}<|assistant|>'
    ids = one(prompt).input_ids
    assert len(ids) == 2 + len(tokenizer(chat[0]['content']).input_ids)
    assert one.pad_token_id != one.eos_token_id
    assert one.encode('<|end|>') == [one.eos_token_id]
