import numpy as np
import pytest

from hybrid_latent.measures.cost import cost
from hybrid_latent.measures.given import given_answers

NAN = np.nan


def problem(prompt, answer, *log_probs, choices=('aa', 'b', 'cccc')):
  return {
    'prompt': prompt,
    'answer': answer,
    'choices': [*choices[: len(log_probs)]],
    'log_probs': [*log_probs],
  }


def test_given_answers():
  found = given_answers(
    [
      problem(7, 0, [-1.0, -2.0], [-2.0], [-4.0, -3.5]),  # right per character
      problem(3, 1, [-3.0], [-1.0, -1.0]),
      problem(9, 2, [-1.0], [-1.0], [None]),  # not finite
      problem(10, 0, [-1.0], [-1.0]),  # two with the largest sum
      problem(11, 0, [-0.5, -1.5]),  # a gold answer
    ]
  )
  assert found.prompts.tolist() == [3, 7, 9, 10, 11]
  assert found.nll == pytest.approx([1, 1.5, NAN, 1, 1], nan_ok=True)
  assert found.correct == pytest.approx([1, 0, NAN, 0.5, NAN], nan_ok=True)
  assert found.correct_normalized == pytest.approx(
    [0, 1, NAN, 1, NAN], nan_ok=True
  )
  assert given_answers([]).nll.shape == (0,)


def test_cost_is_that_of_all_data_sets_together():
  rows = [
    dict(prompts=10, tokens=100, seconds=20.0, seconds_per_question=2.0),
    dict(prompts=30, tokens=500, seconds=40.0, seconds_per_question=4.0),
  ]
  memory = 5, None
  rows = [
    row | {'peak_memory_bytes': peak}
    for row, peak in zip(rows, memory, strict=True)
  ]
  assert cost(rows) == pytest.approx(
    {
      'seconds_per_question': 3.5,
      'tokens_per_second': 10,
      'peak_memory_bytes': 5,
    }
  )
  assert cost(rows[1:])['peak_memory_bytes'] is None
