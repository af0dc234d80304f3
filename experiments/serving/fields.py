"""Fields of a request: accepted values, and the text of an error."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from hybrid_latent.ranges import NonNegativeInt, PositiveInt, Range, Share

from ..fields.accepted import Field, Text, accepts
from .errors import APIError, invalid

_Temperature = Annotated[float, Range(ge=0, le=100)]
_Floor = Annotated[float, Range(ge=0, lt=1)]
_Seed = Annotated[int, Range(ge=-(2**63), lt=2**63)]
_TopLogprobs = Annotated[int, Range(ge=0, le=5)]
_TRUE = 'true or false'

COMMON = {
  'model': Field(Text, 'the id that /v1/models has'),
  'max_tokens': Field(NonNegativeInt, 'an integer >= 0'),
  'temperature': Field(_Temperature, 'a number from 0 (greedy) to 100'),
  'top_p': Field(Share, 'a number > 0 and <= 1'),
  'top_k': Field(Literal[-1] | NonNegativeInt, 'an integer >= 0, or -1 (all)'),
  'min_p': Field(_Floor, 'a number >= 0 and < 1'),
  'n': Field(PositiveInt, 'an integer >= 1'),
  'seed': Field(_Seed, 'an integer of 64 bits'),
  'stop': Field(str | tuple[str, ...], 'a text, or a list of texts'),
  'stream': Field(bool, _TRUE),
  'stream_options': Field(dict, '{"include_usage": true or false}'),
  'mode': Field(Text, 'the name of a mode'),
  'latents': Field(bool, _TRUE),
}
COMPLETIONS = COMMON | {
  'prompt': Field(
    str | tuple[int, ...] | tuple[str, ...] | tuple[tuple[int, ...], ...],
    'a text, a list of token ids, or a list of such',
  ),
  'echo': Field(bool, _TRUE),
  'logprobs': Field(_TopLogprobs, 'an integer from 0 to 5'),
}
CHAT = COMMON | {
  'messages': Field(tuple[dict, ...], 'a list of messages'),
  'max_completion_tokens': Field(PositiveInt, 'an integer >= 1'),
  'logprobs': Field(bool, _TRUE),
  'top_logprobs': Field(Literal[0], '0, as the tokens beside it are not kept'),
}
# Fields of OpenAI's API that do nothing with these values, which clients send.
NEUTRAL: dict[str, tuple] = {
  'best_of': (1,),
  'frequency_penalty': (0,),
  'presence_penalty': (0,),
  'repetition_penalty': (1,),
  'logit_bias': ({},),
  'suffix': ('',),
  'tools': ([],),
  'tool_choice': ('none', 'auto'),
  'response_format': ({'type': 'text'},),
  'skip_special_tokens': (True,),
}
_IGNORED = 'user', 'metadata', 'store'  # any value: they change no answer


def checked(body: Any, fields: Mapping[str, Field]) -> dict[str, Any]:
  """The fields of a request that are not null, lists as tuples. APIError for
  one that is unknown or has a value that is not accepted."""
  if not isinstance(body, dict):
    raise APIError('the body of a request is a JSON object')
  found = {}
  for name, value in body.items():
    if value is None or name in _IGNORED:
      continue
    if name in NEUTRAL:
      if not any(value == x for x in NEUTRAL[name]):
        words = ' or '.join(map(repr, NEUTRAL[name]))
        raise invalid(name, value, f'{words}, or no such field')
      continue
    if name not in fields:
      raise APIError(
        f'there is no field {name!r:.80}: accepted are {sorted(fields)}',
        param=name[:80],
        code='unknown_field',
      )
    value = _tuples(value)
    if not accepts(fields[name].annotation, value):
      raise invalid(name, value, fields[name].about)
    found[name] = value
  for name in 'prompt', 'messages':
    if name in fields and name not in found:
      raise APIError(f'{name} is missing: {fields[name].about}', param=name)
    if name in fields and not found[name]:
      raise invalid(name, body[name], f'{fields[name].about}, not empty')
  return found


def _tuples(value: Any) -> Any:
  return tuple(map(_tuples, value)) if isinstance(value, list) else value
