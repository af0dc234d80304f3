r"""Where a completion holds its answer, and whether it is the gold one.

An answer stands in a box, the last \boxed{}, or behind the last delimiter, as
in `#### 14`; `marker` says which of the two.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal

from hybrid_latent.rewards import hrpo, math
from hybrid_latent.rewards.golds import Gold, texts
from hybrid_latent.rewards.latex import boxed, same_boxes

Judge = Literal['math', 'number', 'letter', 'latex']
BOX = r'\boxed'


def final_answer(text: str, marker: str = BOX) -> str:
  r"""What the last \boxed{} holds, or what follows any other `marker`, without
  the spaces around it. '' where there is none; a box that does not close holds
  no answer."""
  text = same_boxes(text) if marker == BOX else text
  _, found, rest = text.rpartition(marker)
  if not found or marker != BOX:
    return rest.strip() if found else ''
  answer = boxed(text, BOX)
  return answer.strip() if rest.startswith(f'{{{answer}}}') else ''


def exact(
  completions: Sequence[str],
  *,
  answer: Sequence[Gold],
  marker: str = hrpo.DELIMITER,
  **_,
) -> list[float | None]:
  """1 where the answer is the gold one, or one of several, letter by letter,
  else 0; None where the gold one is blank."""
  found = [final_answer(text, marker) for text in completions]
  return matches(found, answer, str.strip)


def matches(
  found: Sequence[str],
  golds: Sequence[Gold],
  spelled: Callable[[str], str],
) -> list[float | None]:
  """1 where an answer is spelled as one of its gold answers is, else 0; None
  where these are all spelled ''."""
  return [
    float(spelled(one) in wanted) if wanted else None
    for one, gold in zip(found, golds, strict=True)
    for wanted in [_spellings(gold, spelled)]
  ]


def correct(
  completions: Sequence[str],
  *,
  answer: Sequence[Gold],
  kind: Judge = 'math',
  **_,
) -> list[float | None]:
  """1 where the answer is right, else 0; None where the gold one cannot be
  read. `kind` names the judge: 'math' is `math.accuracy`; 'number', 'letter'
  and 'latex' are those of `hrpo.correct`, without its parsing mistakes."""
  if kind not in _JUDGES:
    raise ValueError(f'kind={kind!r}: there is {sorted(_JUDGES)}')
  return _JUDGES[kind](completions, answer=answer)


def _spellings(gold: Gold, spelled: Callable[[str], str]) -> set[str]:
  return {spelled(one) for one in texts(gold)} - {''}


_JUDGES: dict[str, Callable[..., list[float | None]]] = {
  'math': math.accuracy,
  **{
    kind: partial(hrpo.correct, kind=kind, parser='fixed')
    for kind in ('number', 'letter', 'latex')
  },
}
