"""Chains of states with a teacher that errs: pass@k of an imitator is known.

  a c b 27   ->   12 8 31 #### 31

Letters and a start; each letter moves a state to the next one, by facts
(letter, state) drawn at random. A teacher writes the right state of a fact with
a fixed probability, else a wrong one, and goes on from there. A model that
imitates it perfectly has for each problem an exact accuracy, `pass_at_1`, so
that pass@k before RL is set by the task; only the reward tells which of the
teacher's alternatives is right.

Two tables of facts:

- 'slips': each fact has its own probability, one of `SLIPS`, and two wrong
  states. Nothing is common to the facts: what RL learns about one says nothing
  about another.
- 'rule': each fact has an even and an odd state; the teacher writes the even
  one with probability 0.6, whatever is right, and the even one is right in 0.7
  of the facts. Writing even states is common to all facts: a policy that
  sharpens onto it gains accuracy everywhere, and loses the answers with an odd
  state, also of facts that it has never been rewarded for. With three letters
  the imitator has 0.18 at pass@1 and 0.99 at pass@32, and the shortcut, even
  states alone, 0.37 at every k.

One fact in four is held back: with `seen_only`, the right way of no training
problem meets one. A second task, 'out', has letters, facts and a mark of its
own, for accuracy and likelihood outside the domain of RL.
"""

import hashlib
import random
from collections import defaultdict
from collections.abc import Mapping
from functools import cache
from typing import Annotated, Literal, NamedTuple

from transformers import PreTrainedTokenizerFast

from hybrid_latent.data.chat import word_tokenizer
from hybrid_latent.data.procedural import ProceduralRows
from hybrid_latent.ranges import PositiveInt, Range

SLIPS = (0.95, 0.95, 0.95, 0.4, 0.06)  # how often the teacher is right
EVEN, EVEN_RIGHT = 0.6, 0.7  # the teacher writes it; it is right
Table = Literal['slips', 'rule']
Task = Literal['in', 'out']
TASKS: dict[Task, tuple[str, str]] = {  # letters and mark
  'in': ('abcde', ' ####'),
  'out': ('xyz', ' ===='),
}


class Fact(NamedTuple):
  """Where a letter leads from a state."""

  right: int
  written: Mapping[int, float]  # next state -> probability under the teacher


Facts = Mapping[tuple[str, int], Fact]  # by letter and state


def problems(
  split: str,
  *,
  count: PositiveInt,
  seed: int = 0,
  table: Table = 'rule',
  table_seed: int = 0,
  states: Annotated[int, Range(ge=4)] = 32,
  steps: PositiveInt = 3,
  tasks: tuple[Task, ...] = ('in',),
  teacher: bool = False,
  seen_only: bool = False,
) -> ProceduralRows:
  """`count` problems by number. The hash of a question assigns one half of them
  to 'test' for every seed.

  Args:
    split: 'train' or 'test'.
    count: number of rows. They are drawn at random, so easy settings repeat.
    seed: another seed gives other rows of the same splits and facts.
    table: of the facts, 'slips' or 'rule'.
    table_seed: another seed gives other facts.
    states: number of states, even.
    steps: number of letters.
    tasks: of the rows; several alternate at random.
    teacher: whether solutions are the teacher's, with its errors; the answer
      is the right one.
    seen_only: whether the right way of 'train' rows meets no fact that is held
      back.
  """
  if split not in ('train', 'test'):
    raise ValueError(f"split={split!r}: accepted are 'train' and 'test'")
  if states % 2:
    raise ValueError(f'states={states}: accepted is an even number')
  known = facts(table, states, table_seed)

  def row(rng):
    letters, mark = TASKS[rng.choice(tasks)]
    start, word = rng.randrange(states), rng.choices(letters, k=steps)
    question = ''.join(f' {x}' for x in [*word, start])
    if _digest(question) % 2 == (split == 'test'):
      return None
    met = right_way(question, known)
    if seen_only and split == 'train' and any(map(held_back, met)):
      return None
    answer = written = known[met[-1]].right
    if teacher:
      way, written = [], start
      for letter in word:
        shares = known[letter, written].written
        written = rng.choices([*shares], weights=[*shares.values()])[0]
        way.append(written)
    else:
      way = [known[fact].right for fact in met]
    text = [f' {state}' for state in way]
    return {
      'question': question,
      'steps': text,
      'ending': f'{mark} {written}',
      'solution': f'{"".join(text)}{mark} {written}',
      'answer': f'{answer}',
    }

  advice = (
    f'states={states} with steps={steps} leave too few questions for one of '
    'the splits: make `steps` larger'
  )
  return ProceduralRows(f'{seed}/{split}', count, row, advice)


@cache
def facts(table: Table = 'rule', states: int = 32, seed: int = 0) -> Facts:
  """The facts of both tasks."""
  rng, found = random.Random(f'{table}/{states}/{seed}'), {}
  for letter in ''.join(letters for letters, _ in TASKS.values()):
    draw = lambda of: rng.sample(of, len(of))
    # Every state is reached equally often.
    moves = draw(range(states))
    even = draw([*range(0, states, 2)] * 2)
    odd = draw([*range(1, states, 2)] * 2)
    for state in range(states):
      if table == 'rule':
        pair = even[state], odd[state]
        right = pair[rng.random() >= EVEN_RIGHT]
        written = dict(zip(pair, (EVEN, 1 - EVEN), strict=True))
      else:
        right, share = moves[state], rng.choice(SLIPS)
        others = rng.sample([x for x in range(states) if x != right], 2)
        written = {right: share} | dict.fromkeys(others, (1 - share) / 2)
      found[letter, state] = Fact(right, written)
  return found


def right_way(question: str, known: Facts) -> list[tuple[str, int]]:
  """The facts that the right solution of a question meets."""
  *word, start = question.split()
  state, met = int(start), []
  for letter in word:
    met.append((letter, state))
    state = known[letter, state].right
  return met


def held_back(fact: tuple[str, int]) -> bool:
  """Whether a fact is not in rows with `seen_only`; one in four is."""
  letter, state = fact
  return _digest(f'{letter}{state}') % 4 == 0


def pass_at_1(question: str, known: Facts) -> float:
  """The probability that the teacher's answer is right, whatever way leads to
  it. That of one right answer among k is 1 - (1 - pass_at_1)^k."""
  *word, start = question.split()
  reached = {int(start): 1.0}
  for letter in word:
    following: dict[int, float] = defaultdict(float)
    for state, probability in reached.items():
      for other, share in known[letter, state].written.items():
        following[other] += probability * share
    reached = following
  return reached.get(known[right_way(question, known)[-1]].right, 0.0)


def tokenizer(states: int = 32) -> PreTrainedTokenizerFast:
  """A tokenizer with one token per state, letter and mark, the space before it
  included; all other text is bytes."""
  letters, marks = zip(*TASKS.values(), strict=True)
  words = [*map(str, range(states)), *''.join(letters)]
  return word_tokenizer([*(f' {word}' for word in words), *marks])


def _digest(text: str) -> int:
  # Not hash(): Python's differs from process to process.
  return hashlib.sha256(text.encode()).digest()[0]
