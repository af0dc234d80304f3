"""Graphs whose paths branch: which of two nodes can be reached?

  4 7 2, 9 1 8, 2 6 3, ... from 4: 6 or 5   ->   2 6 #### 6

`4 7 2` are the edges from 4 to 7 and to 2. Layers of `width` nodes follow each
other, and every node has `branches` edges to the next layer and as many from
the one before. One of two nodes of the last layer can be reached from the
start; the solution is a path to it, one node per step.

The task shows what a mixture of several nodes is worth as an input. After i
steps up to branches ** i nodes can be reached (`frontiers` of a row), of which
a chain of single tokens holds one: it has to guess the branch that leads to a
target, or to look ahead. A mixture can hold all of them and needs no guess.

What shortcuts score: degrees, names and places do not tell the two targets
apart, 0.5. A path of random branches ends at a target, or else a guess remains:
0.64 for two steps of two branches in layers of eight, and 0.77 where its last
step looks for the targets among all branches; 0.59 and 0.67 for three steps.
"""

import random
from typing import Annotated, Any, Literal

from transformers import PreTrainedTokenizerFast

from hybrid_latent.data.chat import word_tokenizer
from hybrid_latent.data.procedural import ProceduralRows
from hybrid_latent.data.states import for_test
from hybrid_latent.ranges import PositiveInt, Range

_WORDS = ' ####', ' from', ' or'

Graph = list[list[list[int]]]  # layer, node -> its nodes in the next layer


def problems(
  split: str,
  *,
  count: PositiveInt,
  seed: int = 0,
  steps: PositiveInt = 2,
  width: Annotated[int, Range(ge=3)] = 8,
  branches: Literal[2, 3] = 2,
) -> ProceduralRows:
  """`count` problems by number. The hash of a question assigns it to 'train' or
  'test' for every seed.

  Args:
    split: 'train' or 'test'.
    count: number of rows.
    seed: another seed gives other rows of the same splits.
    steps: number of edges from the start to a target.
    width: number of nodes per layer.
    branches: number of edges from a node, 2 or 3 and fewer than `width`.
  """
  if split not in ('train', 'test'):
    raise ValueError(f"split={split!r}: accepted are 'train' and 'test'")
  if branches not in (2, 3) or branches >= width:
    raise ValueError(
      f'branches={branches} with width={width}: accepted are 2 and 3, fewer '
      'than width'
    )

  def row(rng):
    graph = [layer(rng, width, branches) for _ in range(steps)]
    reached = frontiers(graph, start=0)
    others = [node for node in range(width) if node not in reached[-1]]
    if others:
      right, wrong = rng.choice(reached[-1]), rng.choice(others)
      made = _row(rng, graph, right, wrong)
      if for_test(made['question']) == (split == 'test'):
        return made

  advice = (
    f'steps={steps} of branches={branches} reach nearly all of width={width} '
    'nodes: make `width` larger'
  )
  return ProceduralRows(f'{seed}/{split}', count, row, advice)


def layer(rng: random.Random, width: int, branches: int) -> list[list[int]]:
  """The edges of each node of a layer: permutations that agree nowhere, so that
  each node of the next layer has as many."""
  while True:
    shuffled = [rng.sample(range(width), width) for _ in range(branches)]
    edges = [list(nodes) for nodes in zip(*shuffled, strict=True)]
    if all(len(set(nodes)) == branches for nodes in edges):
      return edges


def frontiers(graph: Graph, start: int) -> list[list[int]]:
  """The nodes that can be reached after each step."""
  found, reached = [], [start]
  for edges in graph:
    reached = sorted({node for source in reached for node in edges[source]})
    found.append(reached)
  return found


def path_to(
  rng: random.Random, graph: Graph, start: int, target: int
) -> list[int]:
  """The nodes of a random path from the start to a node of the last layer."""
  sources, path = [[start], *frontiers(graph, start)], [target]
  for i in reversed(range(len(graph))):
    before = [node for node in sources[i] if path[0] in graph[i][node]]
    path.insert(0, rng.choice(before))
  return path[1:]


def _row(
  rng: random.Random, graph: Graph, right: int, wrong: int
) -> dict[str, Any]:
  """The row of a question from node 0 of the first layer, with random names."""
  width, layers = len(graph[0]), len(graph) + 1
  names = rng.sample(range(layers * width), layers * width)
  name = lambda layer, node: f' {names[layer * width + node]}'
  facts = [
    ''.join([name(i, source), *(name(i + 1, node) for node in nodes)])
    for i, edges in enumerate(graph)
    for source, nodes in enumerate(edges)
  ]
  rng.shuffle(facts)
  either = [name(len(graph), node) for node in rng.sample((right, wrong), 2)]
  steps = [
    name(i, node) for i, node in enumerate(path_to(rng, graph, 0, right), 1)
  ]
  answer = name(len(graph), right)
  return {
    'question': f'{",".join(facts)} from{name(0, 0)}:{" or".join(either)}',
    'steps': steps,
    'ending': f' ####{answer}',
    'solution': ''.join([*steps, ' ####', answer]).strip(),
    'answer': answer.strip(),
    'frontiers': [
      [name(i, node) for node in nodes]
      for i, nodes in enumerate(frontiers(graph, 0), 1)
    ],
  }


def tokenizer(nodes: int = 100) -> PreTrainedTokenizerFast:
  """A tokenizer with one token per node, the space before it included; all
  other text is bytes."""
  return word_tokenizer([*(f' {i}' for i in range(nodes)), *_WORDS])
