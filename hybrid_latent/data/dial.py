r"""Turns of a dial: solutions whose steps are choice, work and check.

  The dial is at 5 with turns +3 +9.  ->
    Next I make the turn +9.   choice  which turn, and how it is said: free
    From 5 it goes to 1.       work    sum modulo 13: determined, and needed
    Hence the dial shows 1 now. check  repeats the work in one of three wordings
    ...                                as many again for every other turn
    #### 4

The steps differ in why they have entropy: a choice is free and cannot be
computed from what precedes it, work can, and a check is redundant up to its
wording. HyRea (ICLR 2026), which replaces the steps of lowest entropy by
latents, should therefore replace work and checks and keep the choices: a latent
cannot hold which turn comes next, as nothing before it determines that.

What it can show: that latents carry a computation. With `turns` = 2, all work
and checks replaced leave no number between question and answer, and a model of
two layers adds only once in parallel (measured: `pause`, the same spans without
content, and `dropped`, the same steps gone). What it cannot: sums are a table
of modulus * (modulus - 1) facts, so nothing generalises beyond known facts.

Shortcuts, share of right answers: a guess 1 / modulus; the start 0, as no
turns need add up to a full circle (1 / modulus where they may); the start plus
one turn 1 / modulus or less; hence everything far above 1 / modulus adds all
turns. Splits are apart by start and unordered turns: no test problem is a
training problem in another order.
"""

import hashlib
import itertools
import random
from typing import Annotated

from tokenizers import Regex, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from hybrid_latent.data.chat import SPECIAL, byte_level, chat_tokenizer
from hybrid_latent.ranges import PositiveInt, Range

LARGEST = 32  # modulus
_WHEN = ('First', 'Then', 'Next', 'Now')
_WHO = ('I', 'we')
_SO = ('Thus', 'So', 'Hence')
_TEST_SHARE = 2  # one problem in two is for 'test'
KINDS = ('choice', 'work', 'check')  # of the steps, in turn


def problems(
  split: str,
  *,
  count: PositiveInt,
  seed: int = 0,
  turns: Annotated[int, Range(ge=1, le=3)] = 2,
  modulus: Annotated[int, Range(ge=4, le=LARGEST)] = 17,
  sentences: bool = True,
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
    sentences: steps of seven tokens; else the short ones of two to four, which
      are faster to train on.
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
  question = f'The dial is at {at} with turns {listed}.'
  steps = []
  for turn in rng.sample(turns, len(turns)):
    when, who, so = map(rng.choice, (_WHEN, _WHO, _SO))
    after = (at + turn) % modulus
    if sentences:
      steps += [
        f' {when} {who} make the turn +{turn}.',
        f' From {at} it goes to {after}.',
        f' {so} the dial shows {after} now.',
      ]
    else:
      steps += [f' {when} +{turn}', f' {at} to {after}', f' {so} it is {after}']
    at = after
  if not sentences:
    question = f' {question.split()[4]} {listed}.'
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
    *(*_WHEN, *_WHO, *_SO, 'The', 'From', '####'),
    *('dial is at with turns make the turn it goes to shows now').split(),
    *(f'{sign}{i}' for sign in ('', '+') for i in range(LARGEST)),
  ]
  texts = [
    *SPECIAL,
    *sorted(pre_tokenizers.ByteLevel.alphabet()),
    *('The', '####'),
    *(f'Ġ{word}' for word in words),
  ]
  vocabulary = {text: i for i, text in enumerate(texts)}
  # Without merges a word is one token if in the vocabulary, else its bytes.
  bpe = byte_level(models.BPE(vocabulary, merges=[], ignore_merges=True))
  bpe.pre_tokenizer = pre_tokenizers.Sequence(
    [
      pre_tokenizers.Split(Regex(r' ?[^\s.]+|\.'), 'isolated'),
      pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ]
  )
  bpe.add_special_tokens(list(SPECIAL))
  return chat_tokenizer(bpe)
