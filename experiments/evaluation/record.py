"""The record of an evaluation: the JSON Lines files in its --workdir.

  samples.jsonl  one row per completion, in the order of arms, data sets,
                 prompts and samples
  given.jsonl    one row per problem whose given answers were scored
  times.jsonl    one row per arm and data set

All tables, figures and pages are computed from them. Numbers have six
significant digits; null stands for one that is not finite.
"""

import json
import math
import typing
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from types import UnionType
from typing import Any, Literal, NotRequired, TypedDict

from etils import epath

Near = list[tuple[str, float]]  # a latent's nearest tokens and their shares


class Sample(TypedDict):
  """A completion. The lists of `ids` to `near` have an item per token."""

  arm: str  # name of what follows, the same for all its rows
  model: str
  feedback: str
  mode: Literal['chain_of_thought', 'latent', 'no_thinking']
  control: Literal['', 'other_problem', 'pause', 'dropped']
  budget: int | None  # tokens
  sampling: Literal['greedy', 'sample']
  dataset: str
  prompt: int  # its index in the data set
  sample: int  # from 0 on
  question: str
  answer: str | list[str]  # the gold
  completion: str  # the text, with the start that the prompt has put in
  parsed: str | None  # the answer that the parser found
  rewards: dict[str, float | None]
  reward: float | None  # their weighted sum
  # 0 to 1, or null where it could not be graded: the reward `accuracy`, or the
  # sum where there is none of that name
  correct: float | None
  ungraded: bool
  terminated: bool  # ended by a stop token
  truncated: bool  # by any limit
  forced_tokens: int
  num_tokens: int  # latents and the marks of spans included
  num_tokens_without_marks: int
  thinking_tokens: int
  switches: int  # between words and latents
  first_position: int  # of token 0: the number of positions before it
  ids: list[int]
  tokens: list[str]  # text of each; joined it may differ from `completion`
  entropy: list[float | None]  # nats, at temperature 1, before each token
  log_prob: list[float | None]  # at the score temperature
  latent_share: list[float | None]  # of the input in place of this token, 0..1
  latent: list[bool]  # whether that is above 0
  marks: list[int]  # positions of tokens that only delimit spans
  # Of a mixture its largest weights, of a hidden state the logit lens
  # softmax(unembed(latent)); null where the input is the token.
  near: list[Near | None]
  prefix_latents: NotRequired[int]  # before the completion
  prefix_near: NotRequired[list[Near]]  # of each of them


class Given(TypedDict):
  """A problem whose given answers were scored."""

  arm: str
  dataset: str
  prompt: int
  question: str
  choices: list[str]
  answer: int  # index of the right choice
  log_probs: list[list[float | None]]  # per choice, of each of its tokens


class Times(TypedDict):
  """The cost of an arm on a data set, compilation excluded."""

  arm: str
  dataset: str
  prompts: int
  completions: int
  tokens: int
  seconds: float  # prefill and decoding
  seconds_per_question: float
  tokens_per_second: float
  peak_memory_bytes: int | None
  too_long: NotRequired[int]  # prompts that were left out
  # Of a prefix: per prompt, and of two prompts (latent_similarity.py).
  latents: NotRequired[int]
  cosine: NotRequired[float | None]
  latent_direction: NotRequired[list[float]]  # see measures/latents.py


def read_record(folder: str | epath.Path) -> list[Sample]:
  """The rows of FOLDER/samples.jsonl. FileNotFoundError where it is missing,
  ValueError with file, line and field for a row that is none."""
  return [*stream_record(folder)]


def stream_record(folder: str | epath.Path) -> Iterator[Sample]:
  """`read_record`, row by row."""
  return _rows(folder, 'samples', Sample)


def read_given(folder: str | epath.Path) -> list[Given]:
  """The rows of FOLDER/given.jsonl; as `read_record`."""
  return [*_rows(folder, 'given', Given)]


def read_times(folder: str | epath.Path) -> list[Times]:
  """The rows of FOLDER/times.jsonl; as `read_record`."""
  return [*_rows(folder, 'times', Times)]


def record_line(row: Mapping[str, Any]) -> str:
  """A row as its line of the file, with rounded numbers, in ASCII."""
  return json.dumps(_rounded(row), allow_nan=False) + '\n'


def _rounded(value: Any) -> Any:
  if isinstance(value, float):
    return float(f'{value:.6g}') if math.isfinite(value) else None
  if isinstance(value, Mapping):
    return {name: _rounded(x) for name, x in value.items()}
  if isinstance(value, list | tuple):
    return [_rounded(x) for x in value]
  return value


def _rows(folder: str | epath.Path, name: str, row_type: Any) -> Iterator[Any]:
  path, number = epath.Path(folder) / f'{name}.jsonl', 0
  if not path.exists():
    raise FileNotFoundError(
      f'{path} does not exist: write the --workdir of experiments.evaluate'
    )
  fields = typing.get_type_hints(row_type, include_extras=True)
  checks = {field: _check(kind) for field, kind in fields.items()}
  try:
    with path.open(encoding='utf-8') as file:
      for line in file:
        number += 1
        row = json.loads(line, parse_constant=_refuse)
        _validate(row, checks, row_type.__required_keys__)
        yield row
  except (ValueError, RecursionError) as error:  # UnicodeDecodeError is one
    if isinstance(error, json.JSONDecodeError):
      error = 'it is no JSON: run experiments.evaluate again, which writes it'
    raise ValueError(f'{path}, line {number}: {error}') from None


def _refuse(constant: str) -> None:
  raise ValueError(f'{constant} is no JSON: accepted is null')


_Check = tuple[str, Callable[[Any], bool]]  # what is accepted, and whether


def _validate(row: Any, checks: dict[str, _Check], required: frozenset) -> None:
  if not isinstance(row, dict):
    raise ValueError(f'{row!r:.60} is no object')
  for field, (accepted, fits) in checks.items():
    if field not in row:
      if field in required:
        raise ValueError(f'it has no {field}: accepted is {accepted}')
    elif not fits(row[field]):
      raise ValueError(f'{field} = {row[field]!r:.60}: accepted is {accepted}')
  if 'ids' in checks:
    _validate_sample(row)
  elif 'choices' in checks:
    count = len(row['choices'])
    if len(row['log_probs']) != count or row['answer'] not in range(count):
      raise ValueError(
        f'answer = {row["answer"]} and {len(row["log_probs"])} log_probs: '
        f'accepted are those of the {count} choices'
      )


def _validate_sample(row: dict) -> None:
  correct = row['correct']
  if correct is not None and not 0 <= correct <= 1:
    raise ValueError(f'correct = {correct}: accepted is 0 to 1, or null')
  if row['ungraded'] != (correct is None):
    raise ValueError(
      f'ungraded = {json.dumps(row["ungraded"])}: accepted is true where '
      f'correct is null, and it is {json.dumps(correct)}'
    )
  per_token = (
    *('ids', 'tokens', 'entropy', 'log_prob', 'latent_share', 'latent'),
    'near',
  )
  count = row['num_tokens']
  for field in per_token:
    if len(row[field]) != count:
      raise ValueError(
        f'{field} has {len(row[field])} items: accepted is one for each of '
        f'the num_tokens = {count} tokens'
      )
  if not {*row['marks']} <= {*range(count)}:
    raise ValueError(
      f'marks = {row["marks"]!r:.60}: accepted are positions below {count}'
    )


_WORDS: dict[Any, str] = {
  str: 'text',
  int: 'an integer',
  float: 'a number',
  bool: 'true or false',
  type(None): 'null',
}


def _check(kind: Any) -> _Check:
  """The check of values from JSON with this annotation."""
  origin, parts = typing.get_origin(kind), typing.get_args(kind)
  if origin is NotRequired:
    return _check(*parts)
  if origin is Literal:
    return ' or '.join(map(json.dumps, parts)), parts.__contains__
  if origin in (list, dict):
    item, fits = _check(parts[-1])
    if origin is list and (types := _scalar_types(parts[0])):
      return f'a list of {item}', partial(_are_scalars, types)
    word, items = ('a list', iter) if origin is list else ('an object', _values)
    return (
      f'{word} of {item}',
      lambda value: isinstance(value, origin) and all(map(fits, items(value))),
    )
  if origin is tuple:
    texts, checks = zip(*map(_check, parts), strict=True)
    return (
      f'[{", ".join(texts)}]',
      lambda value: (
        isinstance(value, list)
        and len(value) == len(checks)
        and all(fits(x) for fits, x in zip(checks, value, strict=True))
      ),
    )
  if origin is UnionType:
    texts, checks = zip(*map(_check, parts), strict=True)
    return ' or '.join(texts), lambda value: any(fits(value) for fits in checks)
  types = _scalar_types(kind)
  return _WORDS[kind], lambda value: _are_scalars(types, [value])


def _scalar_types(kind: Any) -> set[type]:
  """Those of the values with this annotation; none where some have parts."""
  kinds = typing.get_args(kind) if isinstance(kind, UnionType) else (kind,)
  if not {*kinds} <= _WORDS.keys():
    return set()
  return {*kinds, int} if float in kinds else {*kinds}


def _are_scalars(types: set[type], values: Any) -> bool:
  """Whether it is a list of such values, and its numbers fit into 64 bits; in
  one pass each, as rows have long lists."""
  return (
    isinstance(values, list)
    and {*map(type, values)} <= types
    and (
      not types & {int, float}
      or max(map(abs, filter(None, values)), default=0) < 2**63
    )
  )


def _values(value: Any) -> Any:
  return value.values()
