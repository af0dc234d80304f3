"""CODI: a student thinks in latents what a teacher, the same model, writes.

The paper (Shen et al., arXiv 2502.21074; zhenyi4/codi) trains one network on
two texts at once: the student reads the question, a start token, K latents and
an end token, the teacher reads the question and the worked solution, and both
go on with 'The answer is: 7'. What the teacher knows before the first token of
the answer, the student is to know there as well. The code drops the last step:
it often states the answer already.

In the code that place is the ':' for GPT-2 and the token after it for Llama and
Qwen, whose tokenizers keep a blank and a number apart. We look for it: the last
token before the answer's own. Both parts have the same tokens from the cue on,
so that it is one token in both. Start and end are forced, and no targets.
"""

from itertools import takewhile
from typing import Any

from hybrid_latent.curricula.base import (
  Curriculum,
  Piece,
  document,
  encoder,
  token_ids,
)
from hybrid_latent.curricula.steps import split_solution
from hybrid_latent.ranges import NonNegativeFloat, NonNegativeInt


def codi(
  tokenizer: Any,
  *,
  num_latents: NonNegativeInt = 6,
  teacher: NonNegativeFloat = 1.0,
  last_step: bool = False,
  cue: str = 'The answer is:',
  start: str = '<start-latent>',
  slot: str = '<latent>',
  end: str = '<end-latent>',
) -> Curriculum:
  """Part 0 is the student's text, part 1 the teacher's; every stage is the
  same.

  Args:
    num_latents: K, of the student.
    teacher: weight of the teacher's targets; the student's have 1.
    last_step: whether the teacher reads the last step too.
    cue: what both say before a blank and the answer. It follows the steps as it
      is, so it begins with the blank that may have to be there.
    start, slot, end: tokens of the tokenizer.
  """
  if num_latents < 0:
    raise ValueError(f'num_latents={num_latents}: write 0 or more')
  first, within, last = token_ids(tokenizer, start, slot, end)
  encode = encoder(tokenizer)
  cue_ids = encode(cue)
  if not cue_ids:
    raise ValueError(
      f'cue={cue!r} has no token: write what both say before the answer, as '
      "'The answer is:'"
    )
  span = [
    Piece([first]),
    Piece([within] * num_latents, latent=True),
    Piece([last]),
  ]

  def example(prompt_ids, row, stage, rng):
    steps, _ = split_solution(row)
    work = [encode(step) for step in (steps if last_step else steps[:-1])]
    blanks, answer = _split(tokenizer, encode(f' {_text(row["answer"])}'))
    answer_pieces = lambda weight: [
      Piece([*cue_ids, *blanks], weight, align_position=True),
      Piece([*answer, tokenizer.eos_token_id], weight),
    ]
    prompt, written = Piece(prompt_ids), [Piece(ids, teacher) for ids in work]
    return document(
      [prompt, *span, *answer_pieces(1.0)],
      [prompt, *written, *answer_pieces(teacher)],
    )

  return Curriculum(
    example,
    num_latents=lambda stage: num_latents,
    spans=lambda stage: {'slots': num_latents, 'opening': True},
  )


def _text(answer: Any) -> str:
  if not isinstance(answer, str) or not answer.strip():
    raise ValueError(
      f"row['answer'] = {answer!r}: accepted is one text, not empty; leave "
      'rows without one out of the data'
    )
  return answer


def _split(tokenizer: Any, ids: list[int]) -> tuple[list[int], list[int]]:
  """The first tokens, as far as they are blank, and the others."""
  blank = lambda token: not tokenizer.decode([token]).strip()
  blanks = [*takewhile(blank, ids)]
  return blanks, ids[len(blanks) :]
