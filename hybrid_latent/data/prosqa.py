r"""Questions of ProsQA's form: which of two concepts follows from what is told?

  Every yumpus is a rempus. Tom is a yumpus. ... Is Tom a lempus or rempus?
    ->  Tom is a yumpus.\n Every yumpus is a rempus.\n ### Tom is a rempus.

ProsQA (Coconut, arXiv 2412.06769, appendix) publishes its valid and test sets;
rows here are functions of (seed, split, number). As there, a graph grows node
by node, most new nodes below one of two roots alone, deep parents preferred;
the target is a leaf farthest from its root, the other choice a leaf below the
other root alone, so that the two look alike without a search. The numbers (how
many nodes and parents, what depth and each root weigh) are fitted to the
published graphs, whose statistics the tests compare.
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
  """`count` questions by number; by default like the published ones.

  A graph belongs to 'train' or to 'test', whatever its names, the numbers of
  its nodes and the seed: no test question is a training question reworded.

  Args:
    split: 'train' or 'test'.
    count: rows.
    seed: another one gives other rows, of the same splits.
    nodes: that are drawn; about a fifth is told of nowhere and dropped.
    steps: fewest and most in the shortest chain to the target.
    apart_from: published files (prosqa_valid.json, prosqa_test.json); a graph
      that stands in one of them is in neither split.
  """
  if split not in ('train', 'test'):
    raise ValueError(f"split={split!r}: there is 'train' and 'test'")
  if not 1 <= steps[0] <= steps[1]:
    raise ValueError(f'steps={steps}: fewest and most, 1 at least')
  most = len(CONCEPTS) + 2
  if not 4 <= nodes <= most:
    raise ValueError(f'nodes={nodes}: from 4 to {most}, which is all the names')
  taken = frozenset(map(_shape, _published(apart_from)))

  def row(rng):
    puzzle = _puzzle(rng, nodes, (steps[0], steps[1]))
    if puzzle is None:
      return None
    shape = _shape(puzzle)
    for_test = shape[0] % _TEST_SHARE == 0
    if for_test == (split == 'test') and shape not in taken:
      return _row(rng, puzzle)

  advice = (
    f'nodes={nodes} give hardly a graph with steps={steps}; make `nodes` '
    'larger for longer chains, smaller for shorter ones'
  )
  return ProceduralRows(f'{seed}/{split}', count, row, advice)


class _Puzzle(NamedTuple):
  """A graph and what is asked of it; nodes are 0, 1, 2, ..."""

  edges: list[tuple[int, int]]  # (parent, child)
  root: int  # 0 or 1
  target: int  # below the root
  neg_target: int  # not below it
  chain: tuple[int, ...] = ()  # a shortest one, from root to target


def _puzzle(
  rng: random.Random, nodes: int, steps: tuple[int, int]
) -> _Puzzle | None:
  """One draw; None if it has no such question."""
  edges, below = _graph(rng, nodes)
  inner = {parent for parent, _ in edges}
  leaves = [
    [i for i in below[a] if i > 1 and i not in inner | below[1 - a].keys()]
    for a in (0, 1)
  ]
  if not all(leaves):
    return None
  farthest = [
    max(below[a][leaf] for leaf in some) for a, some in enumerate(leaves)
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
  """Edges, and how far below each root (0 and 1) the nodes below it are."""
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
  """Some, as many as `_PARENTS` says, drawn by weight without replacement."""
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
  """Without the nodes that have no edge, numbered from 0 without a gap."""
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
  """Equal for puzzles that differ in the numbers of their nodes alone
  (Weisfeiler-Lehman: colours that four times take in their neighbours')."""
  parents = {node: [] for edge in puzzle.edges for node in edge}
  children = {node: [] for node in parents}
  for a, b in puzzle.edges:
    children[a].append(b)
    parents[b].append(a)
  asked = puzzle.root, puzzle.target, puzzle.neg_target
  colours = {i: _digest([i == node for node in asked]) for i in parents}
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
          f'apart_from: {path}, {place} has no {missing}: name files of '
          'the form of prosqa_test.json'
        )
      yield _Puzzle(*(row[name] for name in fields))


def _row(rng: random.Random, puzzle: _Puzzle) -> dict[str, Any]:
  edges, root, target, neg_target, chain = puzzle
  told = {child for _, child in edges}
  nodes = range(1 + max(told | {root}))
  entities = [i for i in nodes if i not in told]
  names = rng.sample(NAMES, len(entities))
  concepts = rng.sample(CONCEPTS, len(told))
  symbols = [(concepts if i in told else names).pop() for i in nodes]

  def fact(a: int, b: int) -> str:
    every = 'Every ' if a in told else ''
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
  """Every word of these texts is one token, with the space before it; all
  other text is bytes."""
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
  # Without merges: a word of the vocabulary is itself, any other its bytes.
  bpe = byte_level(models.BPE(vocabulary, merges=[], ignore_merges=True))
  bpe.add_special_tokens(list(SPECIAL))
  return chat_tokenizer(bpe)
