"""Word problems for a model of a million parameters.

  Tom has 12 apples. He buys 7 more. He gives away 5. How many apples does he
  have?                                        ->  12+7=19 19-5=14 #### 14

Solutions can also contain long thinking, as of reasoning models: after the
prefill `<think>` they repeat and check every step, then `</think>` and the
answer follow.

Rows are functions of (seed, split, number): nothing is stored or downloaded.
`tokenizer()` is trained on them, so that the small model runs the same code as
a large one; `thinking_tokenizer()` is trained on the thinking as well.
"""

import hashlib
import random
from collections.abc import Iterator
from typing import Annotated

from tokenizers import models, pre_tokenizers, trainers
from transformers import AddedToken, PreTrainedTokenizerFast

from hybrid_latent.data.chat import SPECIAL, byte_level, chat_tokenizer
from hybrid_latent.data.procedural import ProceduralRows
from hybrid_latent.ranges import PositiveInt, Range

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
_NEXT = ('Next', 'Then', 'Now')
_DOUBTS = ('Wait, is that right? Again,', 'Hmm, once more,', 'Let me redo it:')
_INVERSE = {'+': '-', '-': '+', '*': '/'}
THINKING_TOKENS = ('<think>', '</think>')
_TEST_SHARE = 8  # one equation in eight is for 'test'


def problems(
  split: str,
  *,
  count: PositiveInt,
  seed: int = 0,
  steps: tuple[int, int] = (2, 3),
  largest: Annotated[int, Range(ge=2)] = 99,
  operations: str = '+-',
  worked: float = 1.0,
  checks: int = 0,
) -> ProceduralRows:
  """`count` problems by number.

  The hash of an equation such as 12+7-5 assigns it to 'train' or 'test' for
  every seed: no test problem is a training problem with other names.

  Args:
    split: 'train' or 'test'.
    count: number of rows. They are drawn at random, so easy settings repeat.
    seed: another seed gives other rows of the same splits.
    steps: smallest and largest number of operations per problem.
    largest: upper bound of all numbers and results; the lower bound is 1.
    operations: some of '+-*'.
    worked: share of solutions with their steps; the others have the answer
      alone, which is hard to learn.
    checks: if not 0, solutions continue the prefill '<think>': those with steps
      repeat each step up to `checks` times before '</think>', the others begin
      with '</think>'.
  """
  if split not in ('train', 'test'):
    raise ValueError(f"split={split!r}: accepted are 'train' and 'test'")
  if not 1 <= steps[0] <= steps[1]:
    raise ValueError(
      f'steps={steps}: accepted are (smallest, largest), both at least 1'
    )
  if not operations or set(operations) - set(_EVENTS):
    raise ValueError(
      f'operations={operations!r}: accepted are some of {"".join(_EVENTS)!r}'
    )
  if not 0 <= worked <= 1:
    raise ValueError(f'worked={worked}: accepted is a share from 0 to 1')
  if checks < 0:
    raise ValueError(f'checks={checks}: accepted is a number of at least 0')

  def row(rng):
    chain = _chain(rng, (steps[0], steps[1]), largest, operations)
    # A chain ends early where no operation keeps its value within bounds.
    enough = len(chain[1]) >= steps[0]
    if enough and _for_test(chain) == (split == 'test'):
      with_steps = rng.random() < worked
      row = _row(rng, chain, with_steps and not checks)
      if checks:
        thinking = _thinking(rng, chain, checks) if with_steps else ''
        row['solution'] = f'{thinking}</think> {row["solution"]}'
      return row

  advice = (
    f'steps={steps} with largest={largest} and operations={operations!r} leave '
    'too few problems for one of the splits: make `largest` larger'
  )
  return ProceduralRows(f'{seed}/{split}', count, row, advice)


_Chain = tuple[int, tuple[tuple[str, int], ...]]  # start value, operations


def _chain(
  rng: random.Random, steps: tuple[int, int], largest: int, operations: str
) -> _Chain:
  start = value = rng.randint(2, largest)
  events = []
  for _ in range(rng.randint(*steps)):
    # The operands that keep the result from 1 to `largest`.
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
  # Not hash(): Python's differs from process to process.
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


def _thinking(rng: random.Random, chain: _Chain, checks: int) -> str:
  """Long thinking up to the answer, as sentences with a leading space."""
  value, events = chain
  sentences = [f'I begin with {value}.']
  equations = []
  for operation, by in events:
    after = _result(value, operation, by)
    equations.append(f'{value}{operation}{by}={after}')
    sentences.append(f'{rng.choice(_NEXT)} {operation}{by}: {equations[-1]}.')
    forms = (
      f'{rng.choice(_DOUBTS)} {equations[-1]}.',
      f'Check: {after}{_INVERSE[operation]}{by}={value}.',
      *_in_parts(value, operation, by),
    )
    sentences += (rng.choice(forms) for _ in range(rng.randint(0, checks)))
    value = after
  if rng.random() < 0.5:
    sentences.append(f'All in all: {" ".join(equations)}.')
  sentences.append(f'So it is {value}.')
  return ''.join(f' {sentence}' for sentence in sentences)


def _in_parts(value: int, operation: str, by: int) -> Iterator[str]:
  """The step split into tens and ones, if its larger operand has both."""
  if operation == '*':
    tens, ones = value // 10 * 10, value % 10
    if tens and ones:
      a, b = tens * by, ones * by
      yield f'By parts: {tens}*{by}={a} {ones}*{by}={b} {a}+{b}={a + b}.'
  elif by > 10 and by % 10:
    half = _result(value, operation, by // 10 * 10)
    after = _result(half, operation, by % 10)
    yield (
      f'By parts: {value}{operation}{by // 10 * 10}={half} '
      f'{half}{operation}{by % 10}={after}.'
    )


def tokenizer(vocabulary: int = 384) -> PreTrainedTokenizerFast:
  """A byte-level BPE trained on these texts; every digit is one token.

  It encodes any text. ' ####' is one token, '####' is '##' '##', and '#' is a
  token, too: the delimiter has many tokenisations.
  """
  return _trained(vocabulary, _texts())


def thinking_tokenizer(vocabulary: int = 448) -> PreTrainedTokenizerFast:
  """As `tokenizer`, trained on solutions with thinking; `<think>` and
  `</think>` are one token each and remain in decoded text."""
  # Not special, so that `skip_special_tokens` does not remove them.
  marks = [AddedToken(text, normalized=False) for text in THINKING_TOKENS]
  tokens = _trained(vocabulary - len(marks), _texts(checks=2))
  tokens.add_tokens(marks)
  return tokens


def _trained(vocabulary: int, texts: Iterator[str]) -> PreTrainedTokenizerFast:
  bpe = byte_level(models.BPE())
  trainer = trainers.BpeTrainer(
    vocab_size=vocabulary,
    special_tokens=list(SPECIAL),
    initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    show_progress=False,
  )
  bpe.train_from_iterator(texts, trainer)
  return chat_tokenizer(bpe)


def _texts(checks: int = 0) -> Iterator[str]:
  rows = problems(
    'train', count=1000, steps=(1, 4), operations='+-*', checks=checks
  )
  for row in map(rows.__getitem__, range(len(rows))):
    yield row['question']
    yield row['solution'].replace('</think>', '')
