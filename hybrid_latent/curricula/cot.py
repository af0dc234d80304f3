"""Supervised fine-tuning on worked solutions, or on the answers alone.

The baselines that every paper on latents compares with: "CoT SFT" learns the
steps, the ending and the end of text; "no-CoT SFT" (`steps=False`) the ending
and the end of text. The prompt is no target, and every target has weight 1.

Papers differ in where they put the line ends and the words before the answer;
here these are the row's own. A row without a solution is its answer.
"""

from typing import Any

from hybrid_latent.curricula.base import Curriculum, Piece, document, encoder
from hybrid_latent.curricula.steps import split_solution


def worked_solutions(tokenizer: Any, *, steps: bool = True) -> Curriculum:
  """Every stage is the same; there are no latents."""
  encode = encoder(tokenizer)

  def example(prompt_ids, row, stage, rng):
    taught = row.get('solution', row.get('ending')) is not None
    work, ending = split_solution(row) if taught else ([], _answer(row))
    shown = [*work, ending] if steps else [ending]
    solution = [Piece(encode(text), 1.0) for text in shown]
    end = Piece([tokenizer.eos_token_id], 1.0)
    return document([Piece(prompt_ids), *solution, end])

  return Curriculum(example, num_latents=lambda stage: 0)


def _answer(row: dict) -> str:
  """The first where several are right."""
  answer = row['answer']
  return answer if isinstance(answer, str) else answer[0]
