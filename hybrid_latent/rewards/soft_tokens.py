r"""Soft Tokens' reward, 100 / 10 / 0, and its prompt and forced texts.

In the paper (Butt et al., arXiv 2509.19170) the reward is 100 if math-verify
finds the answer right, 10 if it is wrong but a boxed answer can be extracted,
else 0. Our interpretation: a box must close and must not be empty. For tasks
without \boxed{}, `marker='####'` selects the text after the last `####`.
"""

from collections.abc import Sequence

from hybrid_latent.ranges import PositiveFloat
from hybrid_latent.rewards import math
from hybrid_latent.rewards.answers import BOX, final_answer
from hybrid_latent.rewards.golds import Gold

# Plain text, no chat template. It has further braces, so str.format fails: use
# PROMPT.replace('{question}', question).
PROMPT = (
  'A conversation between User and Assistant. The user asks a question, and '
  'the Assistant solves it. The assistant first shows the complete reasoning '
  'process step by step, then provides the final answer in \\boxed{}. The '
  "assistant must always follow the format: 'User: [question] Assistant: "
  "[detailed reasoning] The final answer is: \\boxed{[answer]}.' User: "
  '{question} Assistant:'
)

# Ends the thinking. The paper's text ends with a space, which in a BPE belongs
# to the next token, so here the space is part of CLOSING.
STOP = 'The final answer is:'

# The text forced after thinking that ended, and after truncated thinking.
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
  for another answer, 0 without one; None where the gold answer cannot be
  parsed.

  Args:
    completions: texts, with the forced ones.
    answer: gold answers, as in `math.accuracy`; so is `seconds`.
    right: reward of a right answer.
    boxed: reward of a wrong answer.
    marker: the marker before the answer, see `final_answer`.
  """
  rewards: list[float | None] = []
  for text, gold in zip(completions, answer, strict=True):
    prediction = final_answer(text, marker)
    equal = math.equal(f'{BOX}{{{prediction}}}', gold, seconds)
    wrong = boxed if prediction else 0.0
    rewards.append(None if equal is None else right if equal else wrong)
  return rewards
