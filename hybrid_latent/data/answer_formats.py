r"""How the answers of a benchmark are asked for, graded and read.

Instructions are those for an untrained model. A model that was trained to
answer after #### keeps its prompt: the graders of numbers, mathematics and
letters read an answer there, too.
"""

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple

from hybrid_latent.rewards import answers, knowledge


class AnswerFormat(NamedTuple):
  """The instruction, the grader and the parser of an answer."""

  instruction: str  # follows the question
  written: str  # the form that the instruction asks for, with %s
  reward: Mapping[str, Any]  # an entry of config.rewards
  parse: Callable[[str], str | None]  # completion -> the answer that is graded


def parser(reward: Mapping[str, Any]) -> Callable[[str], str | None]:
  """The parser of the answers that an entry of config.rewards grades; that of
  mathematics for a reward that grades none."""
  name, kwargs = reward['function'].rpartition('.')[2], reward.get('kwargs', {})
  match name:
    case 'knowledge:knowledge':
      return knowledge.parse
    case 'answers:exact':
      marker = kwargs.get('marker', answers.DELIMITER)
      return lambda text: answers.final_answer(text, marker) or None
    case 'hrpo:gsm8k' | 'hrpo:correct':
      kind = 'number'
    case 'hrpo:choice':
      kind = 'letter'
    case 'hrpo:boxed_math':
      kind = 'latex'
    case _:
      kind = 'math'
  return partial(answers.parse, kind=kwargs.get('kind', kind))


def _format(
  instruction: str, written: str, function: str, **kwargs: Any
) -> AnswerFormat:
  function = f'hybrid_latent.rewards.{function}'
  reward = dict(function=function, weight=1.0, kwargs=kwargs)
  instruction = f'Please reason step by step, and {instruction}.'
  return AnswerFormat(
    instruction, written, MappingProxyType(reward), parser(reward)
  )


def _boxed(kind: answers.Judge, answer: str) -> AnswerFormat:
  instruction = rf'put {answer} within \boxed{{}}'
  return _format(instruction, r'\boxed{%s}', 'answers:correct', kind=kind)


# Asked for as by Qwen2.5-Math and DeepSeek-R1.
NUMBER = _boxed('number', 'your final answer')
MATH = _boxed('math', 'your final answer')
LETTER = _boxed('letter', 'the letter of your choice')
# HRPO's delimiter.
TEXT = _format(
  'write your final answer after ####', '#### %s', 'knowledge:knowledge'
)
# Coconut's delimiter; what follows #### also follows ###.
SENTENCE = _format(
  'write your final answer, a sentence, after ###',
  '### %s',
  'answers:exact',
  marker='###',
)
