"""Word problems small enough for a model of a million parameters.

  Tom has 12 apples. He buys 7 more. He gives away 5. How many apples does he
  have?                                        ->  12+7=19 19-5=14 #### 14

Rows are functions of (seed, split, number): nothing is stored or downloaded.
`tokenizer()` belongs to them, so that the small model takes the very path of a
large one.
"""

import hashlib
import random
from collections.abc import Iterator

from tokenizers import models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from hybrid_latent.data.chat import SPECIAL, byte_level, chat_tokenizer
from hybrid_latent.data.drawn import Drawn

_PEOPLE = (
  ('Tom', 'He'),
  ('Ben', 'He'),
  ('Sam', 'He'),
  ('Max', 'He'),
  ('Ann', 'She'),
  ('Mia', 'She'),
  ('Eve', 'She'),
  ('Zoe', 'She'),
)
_THINGS = ('apples', 'cards', 'coins', 'shells', 'stamps', 'pens', 'nuts')
_EVENTS = {
  '+': ('buys {} more', 'finds {} more', 'is given {} more'),
  '-': ('gives away {}', 'loses {}', 'sells {}'),
  '*': ('then has {} times as many',),
}
_TEST_SHARE = 8  # one equation in eight is for 'test'


def problems(
  split: str,
  *,
  count: int,
  seed: int = 0,
  steps: tuple[int, int] = (2, 3),
  largest: int = 99,
  operations: str = '+-',
  worked: float = 1.0,
) -> Drawn:
  """`count` problems by number.

  An equation such as 12+7-5 belongs to 'train' or to 'test', by its hash and
  whatever the seed: no test problem is a training problem under other names.

  Args:
    split: 'train' or 'test'.
    count: rows. They are drawn, so an easy setting repeats itself.
    seed: another one gives other rows, of the same splits.
    steps: fewest and most operations in a problem.
    largest: no number and no result is larger, and none is below 1.
    operations: some of '+-*'.
    worked: the share of solutions that show their work; the others give the
      answer alone, which is hard to learn.
  """
  if split not in ('train', 'test'):
    raise ValueError(f"split={split!r}: there is 'train' and 'test'")
  if not 1 <= steps[0] <= steps[1]:
    raise ValueError(f'steps={steps}: fewest and most, 1 at least')
  if not operations or set(operations) - set(_EVENTS):
    raise ValueError(f'operations={operations!r}: some of {"".join(_EVENTS)!r}')
  if not 0 <= worked <= 1:
    raise ValueError(f'worked={worked}: a share, 0 to 1')

  def row(rng):
    chain = _chain(rng, (steps[0], steps[1]), largest, operations)
    enough = len(chain[1]) >= steps[0]
    if enough and _for_test(chain) == (split == 'test'):
      return _row(rng, chain, rng.random() < worked)

  advice = (
    f'steps={steps} with largest={largest} and operations={operations!r} leave '
    'hardly a problem for one of the splits; make `largest` larger'
  )
  return Drawn(f'{seed}/{split}', count, row, advice)


_Chain = tuple[int, tuple[tuple[str, int], ...]]  # start, then what happens


def _chain(
  rng: random.Random, steps: tuple[int, int], largest: int, operations: str
) -> _Chain:
  start = value = rng.randint(2, largest)
  events = []
  for _ in range(rng.randint(*steps)):
    choices = {
      '+': range(1, largest - value + 1),
      '-': range(1, value),
      '*': range(2, largest // value + 1),
    }
    possible = [o for o in operations if choices[o]]
    if not possible:
      break
    operation = rng.choice(possible)
    events.append((operation, rng.choice(choices[operation])))
    value = _result(value, *events[-1])
  return start, tuple(events)


def _result(value: int, operation: str, by: int) -> int:
  if operation == '*':
    return value * by
  return value + by if operation == '+' else value - by


def _for_test(chain: _Chain) -> bool:
  return hashlib.sha256(repr(chain).encode()).digest()[0] % _TEST_SHARE == 0


def _row(rng: random.Random, chain: _Chain, worked: bool) -> dict[str, str]:
  (name, he), thing = rng.choice(_PEOPLE), rng.choice(_THINGS)
  value, events = chain
  story, work = [f'{name} has {value} {thing}.'], []
  for operation, by in events:
    event = rng.choice(_EVENTS[operation]).format(by)
    story.append(f'{he} {event}.')
    after = _result(value, operation, by)
    if worked:
      work.append(f'{value}{operation}{by}={after}')
    value = after
  story.append(f'How many {thing} does {he.lower()} have?')
  return {
    'question': ' '.join(story),
    'solution': ' '.join([*work, f'#### {value}']),
    'answer': str(value),
  }


def tokenizer(vocabulary: int = 384) -> PreTrainedTokenizerFast:
  """A byte-level BPE of these texts, every digit a token of its own.

  It reads any text. ' ####' is one token, '####' is '##' '##', and '#' is a
  token as well: a model can write the delimiter in many ways.
  """
  bpe = byte_level(models.BPE())
  trainer = trainers.BpeTrainer(
    vocab_size=vocabulary,
    special_tokens=list(SPECIAL),
    initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    show_progress=False,
  )
  bpe.train_from_iterator(_texts(), trainer)
  return chat_tokenizer(bpe)


def _texts() -> Iterator[str]:
  rows = problems('train', count=1000, steps=(1, 4), operations='+-*')
  for row in map(rows.__getitem__, range(len(rows))):
    yield row['question']
    yield row['solution']
