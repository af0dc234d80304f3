r"""Turns of a dial: solutions whose steps are choice, work and check.

  From 5 turn +3 +9  ->
    Next +9                 choice  which turn, and how it is said: free
    From 5 on to 1          work    the sum modulo 13: determined, and needed
    Hence the dial shows 1  check   repeats the sum in one of three wordings
    ...                             as many again for every other turn
    #### 4

The steps differ in why they have entropy. A choice is free: nothing before it
determines it. Work can be computed, and a check is redundant up to its wording.
So a latent can hold work and check, and cannot hold a choice; HyRea (ICLR 2026)
should choose what to replace accordingly, by entropy.

What it can show: whether latents carry a computation, and whether entropy finds
the steps that they can carry. With work and checks replaced, no number stands
between question and answer. What it cannot: sums are a table of modulus *
(modulus - 1) facts, and nothing generalises beyond it.

Shortcuts: with two turns and the modulus 13, a guess has 1 / 13 = 0.077 right,
the start 0.091, the start plus one of the turns 0.000, as no turn is 0. What is
far above has added all turns. The splits are apart by start and unordered
turns: no test problem is a training problem in another order.
"""

import hashlib
import itertools
import random
from typing import Annotated

from transformers import PreTrainedTokenizerFast

from hybrid_latent.data.chat import word_tokenizer
from hybrid_latent.ranges import PositiveInt, Range

LARGEST = 32  # modulus
_WHEN = ('First', 'Then', 'Next', 'Now')
_WHO = ('I', 'we')
_SO = ('Thus', 'So', 'Hence')
FIRST_WORDS = (*_WHEN, 'From', *_SO)  # of steps
_TEST_SHARE = 2  # one problem in two is for 'test'
KINDS = ('choice', 'work', 'check')  # of the steps, in turn


def problems(
  split: str,
  *,
  count: PositiveInt,
  seed: int = 0,
  turns: Annotated[int, Range(ge=1, le=3)] = 2,
  modulus: Annotated[int, Range(ge=4, le=LARGEST)] = 13,
  sentences: bool = False,
) -> list[dict]:
  """`count` problems, distinct as long as there are as many: each with its
  `question`, `steps`, `ending` and `answer`.

  Args:
    split: 'train' or 'test'.
    count: number of rows; from the number of problems on they repeat, with
      other wordings and another order in the solution.
    seed: another seed gives another order of the problems and other wordings.
    turns: per problem, all different.
    modulus: of the dial, whose positions are 0 to modulus - 1.
    sentences: whole sentences of six tokens, which take longer to learn; else
      choices of two tokens, work and checks of five.
  """
  if split not in ('train', 'test'):
    raise ValueError(f"split={split!r}: accepted are 'train' and 'test'")
  if not 1 <= turns <= 3 or not 4 <= modulus <= LARGEST:
    raise ValueError(
      f'turns={turns}, modulus={modulus}: accepted are 1 to 3 turns and a '
      f'modulus from 4 to {LARGEST}'
    )
  of_split = [
    problem
    for problem in itertools.product(
      range(modulus), itertools.permutations(range(1, modulus), turns)
    )
    if _for_test(*problem) == (split == 'test')
  ]
  rng = random.Random(f'{seed}/{split}')
  rng.shuffle(of_split)
  cycle = itertools.islice(itertools.cycle(of_split), count)
  return [_row(rng, *problem, modulus, sentences) for problem in cycle]


def _for_test(start: int, turns: tuple[int, ...]) -> bool:
  # Not hash(): Python's differs from process to process.
  name = repr((start, sorted(turns))).encode()
  return hashlib.sha256(name).digest()[0] % _TEST_SHARE == 0


def _row(
  rng: random.Random,
  at: int,
  turns: tuple[int, ...],
  modulus: int,
  sentences: bool,
) -> dict:
  listed = ' '.join(f'+{turn}' for turn in turns)
  question = f'From {at} turn {listed}'
  steps = []
  for turn in rng.sample(turns, len(turns)):
    when, who, so = map(rng.choice, (_WHEN, _WHO, _SO))
    after = (at + turn) % modulus
    if sentences:
      steps += [
        f' {when} {who} turn it +{turn}.',
        f' From {at} on to {after}.',
        f' {so} the dial shows {after}.',
      ]
    else:
      steps += [
        f' {when} +{turn}',
        f' From {at} on to {after}',
        f' {so} the dial shows {after}',
      ]
    at = after
  return {
    'question': question,
    'steps': steps,
    'ending': f' #### {at}',
    'answer': str(at),
  }


def tokenizer() -> PreTrainedTokenizerFast:
  """A tokenizer with one token per word, number and turn of these texts, the
  space before it included, and per full stop; all other text is bytes."""
  words = [
    *(*_WHEN, *_WHO, *_SO, 'From', '####'),
    *['turn', 'it', 'on', 'to', 'the', 'dial', 'shows', 'is'],
    *(f'{sign}{i}' for sign in ('', '+') for i in range(LARGEST)),
  ]
  texts = ['From', '####', *(f' {word}' for word in words)]
  return word_tokenizer(texts, r' ?[^\s.]+|\.')
