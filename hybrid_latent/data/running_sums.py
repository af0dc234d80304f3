"""Running sums with long thinking, for a model of a tenth of a million
parameters.

  from 3 +4 -2 +6 -5   ->   <think> from 3 +4 -2 +6 -5
                             7 5 11 6
                             7 5 11 6
                            </think> 5 11 6 #### 6

A question is a number and then numbers to add or to subtract. As those of
reasoning models, solutions continue the prefill `<think>`: they restate the
question, write the sum after each operation, do either again up to `repeats`
times, and end the thinking. The answer is bare (`#### 6`) or worked, with its
last `shown` sums before: both are right after a thinking in words, and which of
them a model should prefer without one only rewards can tell. Some solutions
begin with `</think>`, so that the model also answers after the prefill
`<think></think>`.

A step adds two numbers of one token each: a model of two layers learns it in
some hundred updates, and not several at once. What shortcuts score, with five
operations of at most 3 and sums to 19: the likeliest answer 0.06, that for the
first number 0.11, for all operations without it 0.21, and without the first or
the last operation 0.37 or 0.19.
"""

import random
from itertools import pairwise
from typing import Annotated

from transformers import AddedToken, PreTrainedTokenizerFast

from hybrid_latent.data.arithmetic import THINKING_TOKENS
from hybrid_latent.data.chat import word_tokenizer
from hybrid_latent.data.procedural import ProceduralRows
from hybrid_latent.data.states import for_test
from hybrid_latent.ranges import NonNegativeInt, PositiveInt, Range

Share = Annotated[float, Range(ge=0, le=1)]
Number = Annotated[int, Range(ge=2, le=99)]


def problems(
  split: str,
  *,
  count: PositiveInt,
  seed: int = 0,
  steps: PositiveInt = 5,
  largest: Number = 19,
  most: PositiveInt = 3,
  thinks: Share = 0.8,
  repeats: NonNegativeInt = 2,
  worked: Share = 0.5,
  shown: PositiveInt = 3,
) -> ProceduralRows:
  """`count` problems by number. The hash of a question assigns it to 'train' or
  'test' for every seed.

  Args:
    split: 'train' or 'test'.
    count: number of rows.
    seed: another seed gives other rows of the same splits.
    steps: operations per problem.
    largest: upper bound of all sums; the lower bound is 1.
    most: upper bound of what an operation adds or subtracts.
    thinks: share of solutions with thinking.
    repeats: most repetitions of the question, and of the sums, in a thinking.
    worked: share of answers that begin with sums.
    shown: number of these.
  """
  if split not in ('train', 'test'):
    raise ValueError(f"split={split!r}: accepted are 'train' and 'test'")
  if shown > steps:
    raise ValueError(f'shown={shown}: accepted are 1 to steps={steps} sums')

  def row(rng):
    sums = _sums(rng, steps, largest, most)
    question = f'from {sums[0]} {" ".join(_operations(sums))}'
    if for_test(question) != (split == 'test'):
      return None
    lines = [f' {question}\n', _line(sums[1:]) + '\n']
    repeated = [line * rng.randint(1, 1 + repeats) for line in lines]
    thinking = ''.join(repeated) if rng.random() < thinks else ''
    answer = _line(sums[-shown:]) if rng.random() < worked else ''
    return {
      'question': question,
      'solution': f'{thinking}</think>{answer} #### {sums[-1]}',
      'answer': f'{sums[-1]}',
    }

  advice = f'steps={steps}, largest={largest}: too few questions for a split'
  return ProceduralRows(f'{seed}/{split}', count, row, advice)


def _sums(rng: random.Random, steps: int, largest: int, most: int) -> list[int]:
  """The first number and the sum after each operation, uniform among those that
  an operation can reach."""
  sums = [rng.randint(1, largest)]
  while len(sums) <= steps:
    sums.append(rng.choice(following(sums[-1], largest, most)))
  return sums


def following(number: int, largest: int, most: int) -> list[int]:
  """The sums that an operation can reach from a number."""
  near = range(max(number - most, 1), min(number + most, largest) + 1)
  return [i for i in near if i != number]


def _line(sums: list[int]) -> str:
  return ''.join(f' {i}' for i in sums)


def _operations(sums: list[int]) -> list[str]:
  return [f'{after - before:+d}' for before, after in pairwise(sums)]


def tokenizer(
  largest: Number = 19, most: PositiveInt = 3
) -> PreTrainedTokenizerFast:
  """A tokenizer with one token per sum and per operation, the space before it
  included; all other text is bytes. `<think>` and `</think>` are one token each
  and remain in decoded text."""
  words = ['from', ' from', ' ####', *(f' {i}' for i in range(1, largest + 1))]
  words += [f' {sign}{i}' for sign in '+-' for i in range(1, most + 1)]
  tokens = word_tokenizer(words, r' ?\S+|\s')
  # Not special, so that `skip_special_tokens` does not remove them.
  tokens.add_tokens([AddedToken(x, normalized=False) for x in THINKING_TOKENS])
  return tokens
