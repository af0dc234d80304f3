r"""Questions in the form of ProsQA: which of two concepts follows from facts?

  Every yumpus is a rempus. Tom is a yumpus. ... Is Tom a lempus or rempus?
    ->  Tom is a yumpus.\n Every yumpus is a rempus.\n ### Tom is a rempus.

The valid and test sets of ProsQA (Coconut, arXiv 2412.06769, appendix) are
published; rows here are functions of (seed, split, number). As in the paper, a
graph grows node by node: most new nodes descend from only one of two roots, and
deep parents are preferred. The target is a leaf at the largest distance from
its root, the other choice a leaf below only the other root, so that only a
search separates them. The constants (numbers of nodes and parents, weights of
depth and roots) are fitted to the published graphs; tests compare the
statistics.
"""

import hashlib
import heapq
import itertools
import math
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tokenizers import models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from hybrid_latent.data.chat import SPECIAL, byte_level, chat_tokenizer
from hybrid_latent.data.procedural import ProceduralRows
from hybrid_latent.data.row_files import numbered_rows

NAMES = (
  *('Alex', 'Bob', 'Carol', 'Davis', 'Eva', 'Fae', 'Gabriel', 'Jack', 'Max'),
  *('Oliver', 'Polly', 'Rex', 'Sally', 'Sam', 'Stella', 'Tom', 'Wren'),
)
_STEMS = """bom boom brim chor dum fel fom ger gor grim gwom hil im jel jom ker
lem lor num quim rem rom ror scrom shum ster stor ter tim tum vum wor wum yer
yim yum zhor zum"""
CONCEPTS = tuple(f'{stem}pus' for stem in _STEMS.split())
_PARENTS = [1.5**k / math.factorial(k) for k in range(10)]  # Poisson
_FAMILIES = (0.35, 0.47, 0.18)  # below the first root, the second, any node
_TEST_SHARE = 8  # one graph in eight is for 'test'


def problems(
  split: str,
  *,
  count: int,
  seed: int = 0,
  nodes: int = 28,
  steps: tuple[int, int] = (3, 6),
  apart_from: Sequence[str] = (),
) -> ProceduralRows:
  """`count` questions by number; the defaults are those of the published set.

  A graph is in 'train' or 'test' independently of its names, the numbering of
  its nodes and the seed: no test question is a reworded training question.

  Args:
    split: 'train' or 'test'.
    count: number of rows.
    seed: another seed gives other rows of the same splits.
    nodes: number of nodes drawn; about a fifth has no edge and is dropped.
    steps: smallest and largest length of the shortest chain to the target.
    apart_from: published files (prosqa_valid.json, prosqa_test.json), whose
      graphs are excluded from both splits.
  """
  if split not in ('train', 'test'):
    raise ValueError(f"split={split!r}: accepted are 'train' and 'test'")
  if not 1 <= steps[0] <= steps[1]:
    raise ValueError(
      f'steps={steps}: accepted are (smallest, largest), both at least 1'
    )
  largest = len(CONCEPTS) + 2
  if not 4 <= nodes <= largest:
    raise ValueError(
      f'nodes={nodes}: accepted is 4 to {largest}, the number of names'
    )
  excluded = frozenset(map(_shape, _published(apart_from)))

  def row(rng):
    puzzle = _puzzle(rng, nodes, (steps[0], steps[1]))
    if puzzle is None:
      return None
    shape = _shape(puzzle)
    for_test = shape[0] % _TEST_SHARE == 0
    if for_test == (split == 'test') and shape not in excluded:
      return _row(rng, puzzle)

  advice = (
    f'nodes={nodes} give too few graphs with steps={steps}: make `nodes` '
    'larger for longer chains, smaller for shorter ones'
  )
  return ProceduralRows(f'{seed}/{split}', count, row, advice)


class _Puzzle(NamedTuple):
  """A graph and its question; nodes are 0, 1, 2, ..."""

  edges: list[tuple[int, int]]  # (parent, child)
  root: int  # 0 or 1
  target: int  # below the root
  neg_target: int  # not below it
  chain: tuple[int, ...] = ()  # a shortest path from root to target


def _puzzle(
  rng: random.Random, nodes: int, steps: tuple[int, int]
) -> _Puzzle | None:
  """One sample; None if it has no question with `steps`."""
  edges, below = _graph(rng, nodes)
  inner = {parent for parent, _ in edges}
  leaves = [
    [i for i in below[a] if i > 1 and i not in inner | below[1 - a].keys()]
    for a in (0, 1)
  ]
  if not all(leaves):
    return None
  farthest = [
    max(below[a][leaf] for leaf in root_leaves)
    for a, root_leaves in enumerate(leaves)
  ]
  distance = max(farthest)
  if not steps[0] <= distance <= steps[1]:
    return None
  root = rng.choice([a for a in (0, 1) if farthest[a] == distance])
  target = rng.choice([i for i in leaves[root] if below[root][i] == distance])
  neg_target = rng.choice(leaves[1 - root])
  chain = _chain(rng, edges, below[root], target)
  return _numbered(_Puzzle(edges, root, target, neg_target, chain))


def _graph(
  rng: random.Random, nodes: int
) -> tuple[list[tuple[int, int]], list[dict[int, int]]]:
  """Edges, and for each root (0 and 1) the distances of its descendants."""
  edges, below = [], [{0: 0}, {1: 0}]
  for node in range(2, nodes):
    first, second = (
      [i for i in below[a] if i not in below[1 - a]] for a in (0, 1)
    )
    family = rng.choices((first, second, range(node)), _FAMILIES)[0]
    depth = lambda i: min((d[i] for d in below if i in d), default=0)
    parents = _sample(rng, {i: 1 + 1.5 * depth(i) for i in family})
    edges += [(parent, node) for parent in parents]
    for distances in below:
      if above := [distances[i] for i in parents if i in distances]:
        distances[node] = 1 + min(above)
  return edges, below


def _sample(rng: random.Random, weights: dict[int, float]) -> list[int]:
  """A weighted sample without replacement, of a size drawn from `_PARENTS`."""
  count = rng.choices(range(len(_PARENTS)), _PARENTS)[0]
  # Efraimidis and Spirakis (2006): the largest of u ** (1 / weight).
  return heapq.nlargest(
    count, weights, key=lambda i: rng.random() ** (1 / weights[i])
  )


def _chain(
  rng: random.Random,
  edges: list[tuple[int, int]],
  distances: dict[int, int],
  target: int,
) -> tuple[int, ...]:
  chain = [target]
  while distances[chain[0]]:
    before = distances[chain[0]] - 1
    parents = [a for a, b in edges if b == chain[0]]
    nearer = [a for a in parents if distances.get(a) == before]
    chain.insert(0, rng.choice(nearer))
  return tuple(chain)


def _numbered(puzzle: _Puzzle) -> _Puzzle:
  """The puzzle without isolated nodes, renumbered from 0."""
  used = sorted({node for edge in puzzle.edges for node in edge})
  new = {node: i for i, node in enumerate(used)}
  return _Puzzle(
    [(new[a], new[b]) for a, b in puzzle.edges],
    new[puzzle.root],
    new[puzzle.target],
    new[puzzle.neg_target],
    tuple(new[node] for node in puzzle.chain),
  )


def _shape(puzzle: _Puzzle) -> bytes:
  """A hash that does not depend on the numbering of the nodes (four rounds of
  Weisfeiler-Lehman colour refinement)."""
  parents = {node: [] for edge in puzzle.edges for node in edge}
  children = {node: [] for node in parents}
  for a, b in puzzle.edges:
    children[a].append(b)
    parents[b].append(a)
  marked = puzzle.root, puzzle.target, puzzle.neg_target
  colours = {i: _digest([i == node for node in marked]) for i in parents}
  for _ in range(4):
    near = lambda i, side, old=colours: sorted(old[j] for j in side[i])
    colours = {
      i: _digest((colours[i], near(i, parents), near(i, children)))
      for i in parents
    }
  return _digest(sorted(colours.values()))


def _digest(value: Any) -> bytes:
  return hashlib.blake2b(repr(value).encode(), digest_size=8).digest()


def _published(paths: Sequence[str]) -> Iterator[_Puzzle]:
  for path in paths:
    for place, row in numbered_rows(Path(path)):
      fields = 'edges', 'root', 'target', 'neg_target'
      if missing := [name for name in fields if name not in row]:
        raise ValueError(
          f'apart_from: {path}, {place} has no {missing}: write files of the '
          'form of prosqa_test.json'
        )
      yield _Puzzle(*(row[name] for name in fields))


def _row(rng: random.Random, puzzle: _Puzzle) -> dict[str, Any]:
  edges, root, target, neg_target, chain = puzzle
  children = {child for _, child in edges}
  nodes = range(1 + max(children | {root}))
  # A node without a parent is a person, any other a concept.
  entities = [i for i in nodes if i not in children]
  names = rng.sample(NAMES, len(entities))
  concepts = rng.sample(CONCEPTS, len(children))
  symbols = [(concepts if i in children else names).pop() for i in nodes]

  def fact(a: int, b: int) -> str:
    every = 'Every ' if a in children else ''
    return f'{every}{symbols[a]} is a {symbols[b]}.'

  facts = [fact(a, b) for a, b in rng.sample(edges, len(edges))]
  either = [symbols[i] for i in rng.sample((target, neg_target), 2)]
  answer = f'{symbols[root]} is a {symbols[target]}.'
  return {
    'question': ' '.join(
      [*facts, f'Is {symbols[root]} a {either[0]} or {either[1]}?']
    ),
    'steps': [f'{fact(a, b)}\n' for a, b in itertools.pairwise(chain)],
    'ending': f'### {answer}',
    'answer': answer,
    'idx_to_symbol': symbols,
    'edges': [list(edge) for edge in edges],
    'root': root,
    'target': target,
    'neg_target': neg_target,
  }


def tokenizer() -> PreTrainedTokenizerFast:
  """A tokenizer with one token per word of these texts, the space before it
  included; all other text is bytes."""
  words = [
    *('Every', ' Every', ' is', ' a', ' Is', ' or', '###'),
    *(space + name for space in ('', ' ') for name in NAMES),
    *(f' {concept}' for concept in CONCEPTS),
  ]
  texts = [
    *SPECIAL,
    *sorted(pre_tokenizers.ByteLevel.alphabet()),
    *(word.replace(' ', 'Ġ') for word in words),
  ]
  vocabulary = {text: i for i, text in enumerate(texts)}
  # Without merges a word is one token if in the vocabulary, else its bytes.
  bpe = byte_level(models.BPE(vocabulary, merges=[], ignore_merges=True))
  bpe.add_special_tokens(list(SPECIAL))
  return chat_tokenizer(bpe)
