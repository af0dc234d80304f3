"""Chains of moves between states: a computation that cannot be guessed.

  moves b a d from 3   ->   7 1 4 #### 4
  Ann goes by tram coach boat from the castle   ->   school park pool #### pool

Each letter is a fixed permutation of the states; the steps of a solution are
the states after each move. As text, letters are ways of travelling between ten
places, each in two wordings. The task shows whether a model carries a state
from step to step, in words or in latents: steps depend on each other one by
one, and a transformer of one layer has no parallel way to the end of five.

What shortcuts score: states and answers are uniform, so that the last letter,
all letters without the start, or the start without the letters leave every
state equally likely (0.1 with ten). All but one letter leave a choice between
as many states as there are letters: 0.25 with four, up to 0.35 where two lead
to the same state.
"""

import hashlib
import random
import string
from typing import Annotated, Any

from transformers import PreTrainedTokenizerFast

from hybrid_latent.data.chat import word_tokenizer
from hybrid_latent.data.procedural import ProceduralRows
from hybrid_latent.ranges import PositiveInt, Range

PLACES = ('museum', 'church', 'pool', 'market', 'school', 'harbour', 'castle',
          'library', 'station', 'park')  # fmt: skip
WAYS = {
  **{'a': ('bus', 'coach'), 'b': ('tram', 'streetcar')},
  **{'c': ('boat', 'ferry'), 'd': ('bike', 'bicycle')},
  **{'e': ('train', 'railway'), 'f': ('taxi', 'cab')},
  **{'g': ('metro', 'subway'), 'h': ('lorry', 'truck')},
}
PEOPLE = 'Ann', 'Ben', 'Mia', 'Tom'
_TEST_SHARE = 8  # one question in eight is for 'test'

States = Annotated[int, Range(ge=2)]
Letters = Annotated[int, Range(ge=1, le=len(string.ascii_lowercase))]


def problems(
  split: str,
  *,
  count: PositiveInt,
  seed: int = 0,
  states: States = 10,
  letters: Letters = 4,
  steps: tuple[int, int] = (5, 5),
  text: bool = False,
) -> ProceduralRows:
  """`count` problems by number. The hash of a question assigns it to 'train' or
  'test' for every seed, whatever the wording.

  Args:
    split: 'train' or 'test'.
    count: number of rows. They are drawn at random, so easy settings repeat.
    seed: another seed gives other rows of the same splits and moves.
    states: number of states.
    letters: number of letters, the different moves.
    steps: smallest and largest number of moves per problem.
    text: journeys between places, ten at most, with eight ways at most.
  """
  if split not in ('train', 'test'):
    raise ValueError(f"split={split!r}: accepted are 'train' and 'test'")
  if not 1 <= steps[0] <= steps[1]:
    raise ValueError(
      f'steps={steps}: accepted are (smallest, largest), both at least 1'
    )
  if text and (states > len(PLACES) or letters > len(WAYS)):
    raise ValueError(
      f'text=True with states={states}, letters={letters}: write at most '
      f'{len(PLACES)} and {len(WAYS)}, which have names'
    )
  table = moves(states, letters)

  def row(rng):
    start = rng.randrange(states)
    word = rng.choices([*table], k=rng.randint(*steps))
    question = f'moves {" ".join(word)} from {start}'
    if for_test(question) != (split == 'test'):
      return None
    visited = path(table, start, word)
    if not text:
      return problem(question, visited)
    ways = ' '.join(rng.choice(WAYS[letter]) for letter in word)
    journey = f'{rng.choice(PEOPLE)} goes by {ways} from the {PLACES[start]}'
    return problem(journey, [PLACES[state] for state in visited])

  advice = (
    f'steps={steps} with states={states} and letters={letters} leave too few '
    'questions for one of the splits: make `letters` larger'
  )
  return ProceduralRows(f'{seed}/{split}', count, row, advice)


def moves(states: int, letters: int) -> dict[str, list[int]]:
  """letter -> state -> next state; a function of the two numbers."""
  if states < 2 or not 1 <= letters <= len(string.ascii_lowercase):
    raise ValueError(
      f'states={states}, letters={letters}: accepted are at least 2 states and '
      f'1 to {len(string.ascii_lowercase)} letters'
    )
  rng = random.Random(f'{states}/{letters}')
  return {
    letter: rng.sample(range(states), states)
    for letter in string.ascii_lowercase[:letters]
  }


def path(table: dict[str, list[int]], start: int, word: list[str]) -> list[int]:
  """The states after each letter of a word."""
  visited = [start]
  for letter in word:
    visited.append(table[letter][visited[-1]])
  return visited[1:]


def for_test(question: str) -> bool:
  """Whether a question is for 'test'."""
  # Not hash(): Python's differs from process to process.
  return hashlib.sha256(question.encode()).digest()[0] % _TEST_SHARE == 0


def problem(question: str, visited: list[Any]) -> dict[str, Any]:
  """The row of a question and the states of its solution."""
  steps, ending = [f' {state}' for state in visited], f' #### {visited[-1]}'
  return {
    'question': question,
    'steps': steps,
    'ending': ending,
    'solution': ''.join([*steps, ending]).strip(),
    'answer': f'{visited[-1]}',
  }


def tokenizer(states: int = 100) -> PreTrainedTokenizerFast:
  """A tokenizer with one token per state, per letter and per word, the space
  before it included; all other text is bytes."""
  words = [*(f' {i}' for i in range(states)), ' ####', 'moves', ' from']
  words += [f' {letter}' for letter in string.ascii_lowercase]
  text = *PLACES, *(x for pair in WAYS.values() for x in pair), 'goes', 'by'
  words += [*PEOPLE, *(f' {word}' for word in text), ' the']
  return word_tokenizer(words)
