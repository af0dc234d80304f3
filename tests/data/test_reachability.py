"""Reachability: solutions are paths, and only paths tell the targets apart."""

import random
from collections import Counter

import networkx as nx
import numpy as np
import pytest

from hybrid_latent.curricula.steps import split_solution
from hybrid_latent.data import reachability


def rows(split='train', count=300, **more):
  return list(reachability.problems(split, count=count, **more))


def parsed(row) -> tuple[nx.DiGraph, str, list[str]]:
  """The graph of a question, its start and its targets."""
  facts, _, rest = row['question'].partition(' from ')
  start, _, targets = rest.partition(': ')
  nodes = [fact.split() for fact in facts.split(',')]
  edges = [(source, node) for source, *others in nodes for node in others]
  return nx.DiGraph(edges), start, targets.split(' or ')


def test_the_first_row_stays_what_it_is():
  assert rows(count=1, steps=1, width=3) == [
    {
      'question': ' 5 1 2, 3 2 4, 0 4 1 from 0: 2 or 1',
      'steps': [' 1'],
      'ending': ' #### 1',
      'solution': '1 #### 1',
      'answer': '1',
      'frontiers': [[' 4', ' 1']],
    }
  ]


@pytest.mark.parametrize('steps', [1, 2, 3])
def test_a_solution_is_a_path_to_the_target_that_can_be_reached(steps):
  for row in rows(steps=steps, count=100):
    graph, start, targets = parsed(row)
    path = [start, *(step.strip() for step in row['steps'])]
    assert nx.is_path(graph, path) and len(path) == steps + 1
    assert path[-1] == row['answer']
    reached = nx.descendants(graph, start)
    assert [x for x in targets if x in reached] == [row['answer']]
    assert split_solution(row) == (row['steps'], f' #### {row["answer"]}')
    assert row['solution'] == ''.join([*row['steps'], row['ending']]).strip()
    for i, nodes in enumerate(row['frontiers'], 1):
      at = nx.descendants_at_distance(graph, start, i)
      assert {node.strip() for node in nodes} == at


def test_degrees_names_and_places_do_not_tell_the_targets_apart():
  first, larger, earlier = Counter(), Counter(), Counter()
  for row in rows(count=1500):
    graph, _, targets = parsed(row)
    assert {graph.in_degree(x) for x in targets} == {2}
    assert {graph.out_degree(x) for x in targets} == {0}
    facts = row['question'].partition(' from')[0].replace(',', '').split()
    right, wrong = sorted(targets, key=lambda x: x != row['answer'])
    first[targets[0] == right] += 1
    larger[int(right) > int(wrong)] += 1
    earlier[facts.index(right) < facts.index(wrong)] += 1
  for counts in (first, larger, earlier):
    share = counts[True] / 1500
    assert share == pytest.approx(0.5, abs=3.3 * (0.25 / 1500) ** 0.5)


@pytest.mark.parametrize(
  ('steps', 'walk', 'last'), [(2, 0.64, 0.77), (3, 0.59, 0.67)]
)
def test_what_shortcuts_score(steps, walk, last):
  """Exactly, per problem: a random path, and one whose last step looks."""
  walks, lasts = [], []
  for row in rows(steps=steps, count=800):
    graph, start, _ = parsed(row)
    paths = list(nx.all_simple_paths(graph, start, row['answer']))
    hit = len(paths) / 2**steps
    before = len({tuple(path[:-1]) for path in paths}) / 2 ** (steps - 1)
    walks.append(hit + (1 - hit) / 2)
    lasts.append(before + (1 - before) / 2)
  error = 3 * np.std(lasts) / len(lasts) ** 0.5
  assert np.mean(walks) == pytest.approx(walk, abs=error + 0.005)
  assert np.mean(lasts) == pytest.approx(last, abs=error + 0.005)


def test_no_question_is_in_both_splits():
  questions = lambda split: {row['question'] for row in rows(split)}
  assert not questions('train') & questions('test')


def test_every_node_of_a_layer_has_as_many_edges_in_both_directions():
  edges = reachability.layer(random.Random(0), 7, 3)
  into = Counter(node for nodes in edges for node in nodes)
  assert all(len(set(nodes)) == 3 for nodes in edges)
  assert into == dict.fromkeys(range(7), 3)


def test_a_node_is_one_token():
  tokens = reachability.tokenizer()
  (row,) = rows(count=1)
  nodes = parsed(row)[0].number_of_nodes()
  assert nodes == 24
  # 16 sources with two nodes and 15 commas; ' from', start, ':', ' or' and two.
  assert len(tokens.tokenize(row['question'])) == 16 * 3 + 15 + 6
  assert len(tokens.tokenize(f' {row["solution"]}')) == 4


@pytest.mark.parametrize(
  ('settings', 'message'),
  [
    (dict(split='valid'), "split='valid'"),
    (dict(branches=4), 'accepted are 2 and 3'),
    (dict(branches=3, width=3), 'fewer than width'),
    (dict(width=3, branches=2, steps=4), 'make `width` larger'),
  ],
)
def test_settings_that_cannot_be_are_refused(settings, message):
  with pytest.raises(ValueError, match=message):
    rows(**settings)
