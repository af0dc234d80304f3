"""CODI: self-distillation of chain of thought into latents.

The paper (Shen et al., arXiv 2502.21074; zhenyi4/codi) trains one network on
two sequences at once. The student has the question, a start token, K latents
and an end token, the teacher the question and the solution; both continue with
'The answer is: 7'. The student's hidden states before the first token of the
answer are trained towards the teacher's. The code drops the last step, which
often states the answer already.

In the code that position is the ':' for GPT-2 and the token after it for Llama
and Qwen, whose tokenizers separate a space and a number. Here it is computed:
the last token before the answer's first one. Both views have the same tokens
from the cue on, so it is the same token in both. Start and end are forced, and
no targets.
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
  """View 0 is the student's sequence, view 1 the teacher's; all stages are
  equal.

  Args:
    num_latents: K, of the student.
    teacher: weight of the teacher's targets; the student's have 1.
    last_step: whether the teacher's input has the last step, too.
    cue: text before the answer, in both views, followed by a space. It is
      appended to the steps as it is: include a leading space where needed.
    start, slot, end: tokens of the tokenizer.
  """
  if num_latents < 0:
    raise ValueError(f'num_latents={num_latents}: write 0 or more')
  first, within, last = token_ids(tokenizer, start, slot, end)
  encode = encoder(tokenizer)
  # Tokenised once, apart from the steps: the same ids in both views.
  cue_ids = encode(cue)
  if not cue_ids:
    raise ValueError(
      f'cue={cue!r} has no token: write the text before the answer, such as '
      "'The answer is:'"
    )
  span = [
    Piece([first]),
    Piece([within] * num_latents, latent=True),
    Piece([last]),
  ]

  def example(prompt_ids, row, stage, rng):
    steps, _ = split_solution(row)
    cot = steps if last_step else steps[:-1]
    # Llama and Qwen tokenise ' 7' as a space and a digit, GPT-2 as one token.
    blanks, answer = _split(tokenizer, encode(f' {_text(row["answer"])}'))
    # The aligned position is the last token that does not depend on the answer.
    answer_pieces = lambda weight: [
      Piece([*cue_ids, *blanks], weight, align_position=True),
      Piece([*answer, tokenizer.eos_token_id], weight),
    ]
    prompt = Piece(prompt_ids)
    cot_pieces = [Piece(encode(step), teacher) for step in cot]
    return document(
      [prompt, *span, *answer_pieces(1.0)],
      [prompt, *cot_pieces, *answer_pieces(teacher)],
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
  """The leading tokens that decode to white space, and the others."""
  blank = lambda token: not tokenizer.decode([token]).strip()
  blanks = [*takewhile(blank, ids)]
  return blanks, ids[len(blanks) :]
