r"""Soft Tokens' reward, 100 / 10 / 0, and the words around its answers.

The paper (Butt et al., arXiv 2509.19170) says: 100 if math-verify finds the
answer right, 10 if it is wrong but a boxed answer can be extracted, else 0.
That a box has to close, and to hold something, is our reading. Where a task has
no \boxed{}, `marker='####'` reads what follows the last `####` instead.
"""

from collections.abc import Sequence

from hybrid_latent.ranges import PositiveFloat
from hybrid_latent.rewards import math
from hybrid_latent.rewards.answers import BOX, final_answer
from hybrid_latent.rewards.golds import Gold

# Plain text, no chat template. It holds other braces than those of the
# question: fill it with PROMPT.replace('{question}', question).
PROMPT = (
  'A conversation between User and Assistant. The user asks a question, and '
  'the Assistant solves it. The assistant first shows the complete reasoning '
  'process step by step, then provides the final answer in \\boxed{}. The '
  "assistant must always follow the format: 'User: [question] Assistant: "
  "[detailed reasoning] The final answer is: \\boxed{[answer]}.' User: "
  '{question} Assistant:'
)

# The thinking ends with it. The paper's has a space at the end, which byte
# pairs give to the token that follows, so it is written with the box.
STOP = 'The final answer is:'

# What is written after thinking that ended by itself, and after one cut short.
CLOSING = (' \\boxed{', 'The final answer is: \\boxed{')


def soft_tokens(
  completions: Sequence[str],
  *,
  answer: Sequence[Gold],
  right: float = 100.0,
  boxed: float = 10.0,
  marker: str = BOX,
  seconds: PositiveFloat = 3.0,
  **_,
) -> list[float | None]:
  """`right` where math-verify finds the answer equal to the gold one, `boxed`
  where there is another, else 0; None where it cannot read the gold one.

  Args:
    completions: texts, what was forced into them included.
    answer: gold answers, as for `math.accuracy`; so is `seconds`.
    right: reward of a right answer.
    boxed: reward of a wrong one.
    marker: what the answer stands behind, see `final_answer`.
  """
  rewards: list[float | None] = []
  for text, gold in zip(completions, answer, strict=True):
    found = final_answer(text, marker)
    equal = math.equal(f'{BOX}{{{found}}}', gold, seconds)
    wrong = boxed if found else 0.0
    rewards.append(None if equal is None else right if equal else wrong)
  return rewards
