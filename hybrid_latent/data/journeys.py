"""Journeys through a town: chains of moves between states (states.py), as text.

  Ann is at the museum. First she takes the bus. Second she rides the tram.
  Where is Ann?   ->   First she is at the church. Second she is at the pool.
                       #### pool

Each way of travelling leads from each place to another one, a fixed permutation
of the places; it is named by several verbs. The sentences are found by their
ordinal numbers. Shortcuts score as in states.py.
"""

import random

from transformers import PreTrainedTokenizerFast

from hybrid_latent.data.chat import word_tokenizer
from hybrid_latent.data.procedural import ProceduralRows
from hybrid_latent.data.states import for_test, moves, path
from hybrid_latent.ranges import PositiveInt

PLACES = ('museum', 'church', 'pool', 'market', 'school', 'harbour', 'castle',
          'library', 'station', 'park')  # fmt: skip
WAYS = 'bus', 'tram', 'train', 'boat', 'taxi', 'metro', 'coach', 'bike'
_VERBS = 'takes', 'rides', 'uses', 'boards'
_PEOPLE = (('Ann', 'she'), ('Mia', 'she'), ('Zoe', 'she'), ('Ben', 'he'),
           ('Max', 'he'), ('Tom', 'he'))  # fmt: skip
ORDINALS = ('First', 'Second', 'Third', 'Fourth', 'Fifth', 'Sixth', 'Seventh',
            'Eighth')  # fmt: skip


def problems(
  split: str,
  *,
  count: PositiveInt,
  seed: int = 0,
  steps: tuple[int, int] = (3, 3),
) -> ProceduralRows:
  """`count` problems by number. The hash of start and ways assigns a journey to
  'train' or 'test', in whatever words and for every seed.

  Args:
    split: 'train' or 'test'.
    count: number of rows.
    seed: another seed gives other rows of the same splits and moves.
    steps: smallest and largest number of moves per problem, at most 8.
  """
  if split not in ('train', 'test'):
    raise ValueError(f"split={split!r}: accepted are 'train' and 'test'")
  if not 1 <= steps[0] <= steps[1] <= len(ORDINALS):
    raise ValueError(
      f'steps={steps}: accepted are (smallest, largest), from 1 to '
      f'{len(ORDINALS)}'
    )
  letters = moves(len(PLACES), len(WAYS))
  table = dict(zip(WAYS, letters.values(), strict=True))

  def row(rng):
    start = rng.randrange(len(PLACES))
    ways = rng.choices(WAYS, k=rng.randint(*steps))
    if for_test(f'{start} {ways}') == (split == 'test'):
      return _row(rng, start, ways, path(table, start, ways))

  advice = f'steps={steps} leave too few journeys: write larger ones'
  return ProceduralRows(f'{seed}/{split}', count, row, advice)


def _row(
  rng: random.Random, start: int, ways: list[str], visited: list[int]
) -> dict:
  name, pronoun = rng.choice(_PEOPLE)
  story = [f'{name} is at the {PLACES[start]}.']
  for ordinal, way in zip(ORDINALS, ways, strict=False):
    story.append(f'{ordinal} {pronoun} {rng.choice(_VERBS)} the {way}.')
  steps = [
    f' {ordinal} {pronoun} is at the {PLACES[place]}.'
    for ordinal, place in zip(ORDINALS, visited, strict=False)
  ]
  answer = PLACES[visited[-1]]
  return {
    'question': ' '.join([*story, f'Where is {name}?']),
    'steps': steps,
    'ending': f' #### {answer}',
    'solution': ''.join([*steps, f' #### {answer}']).strip(),
    'answer': answer,
  }


def tokenizer() -> PreTrainedTokenizerFast:
  """A tokenizer with one token per word of these texts, the space before it
  included; all other text is bytes."""
  names, pronouns = zip(*_PEOPLE, strict=True)
  inner = [*names, *PLACES, *WAYS, *_VERBS, *ORDINALS, 'Where', 'is', 'at',
           'the', *dict.fromkeys(pronouns), '####']  # fmt: skip
  return word_tokenizer([*names, *(f' {word}' for word in inner)])
