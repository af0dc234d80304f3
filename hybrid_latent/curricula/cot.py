"""Supervised fine-tuning on solutions, or on the answers alone.

The baselines of papers on latents: the targets of "CoT SFT" are the steps, the
ending and the end of text; those of "no-CoT SFT" (`steps=False`) the ending and
the end of text. The prompt is no target, and every target has weight 1.

Papers differ in line ends and in the words before the answer; here both are
those of the row. The target of a row without a solution is its answer.
"""

from typing import Any

from hybrid_latent.curricula.base import Curriculum, Piece, document, encoder
from hybrid_latent.curricula.steps import split_solution


def worked_solutions(tokenizer: Any, *, steps: bool = True) -> Curriculum:
  """All stages are equal; there are no latents."""
  encode = encoder(tokenizer)

  def example(prompt_ids, row, stage, rng):
    has_solution = row.get('solution', row.get('ending')) is not None
    cot, ending = split_solution(row) if has_solution else ([], _answer(row))
    targets = [*cot, ending] if steps else [ending]
    # Step by step, as in the curricula with latents: the same tokens.
    solution = [Piece(encode(text), 1.0) for text in targets]
    end = Piece([tokenizer.eos_token_id], 1.0)
    return document([Piece(prompt_ids), *solution, end])

  return Curriculum(example, num_latents=lambda stage: 0)


def _answer(row: dict) -> str:
  """The first of several right answers."""
  answer = row['answer']
  return answer if isinstance(answer, str) else answer[0]
