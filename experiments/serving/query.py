"""A request as rows for the worker, checked before anything is queued."""

import hashlib
import secrets
from collections.abc import Sequence
from typing import Any, NamedTuple

from hybrid_latent.formats.tokenizer import chat_ids
from hybrid_latent.types import Mode

from ..fields.sampling_rules import eval_sampling
from ..training.prompts import mode_of
from .errors import APIError, invalid
from .fields import CHAT, COMPLETIONS, checked
from .loading import Server, is_unicode
from .worker import Row

_GREEDY = 0.01  # temperatures below it are greedy, as vLLM's
_MAX_STOPS = 16
_MAX_TOKENS = 16  # OpenAI's default of /v1/completions
_ROLES = {'system': 'system', 'developer': 'system', 'user': 'user',
          'assistant': 'assistant'}  # fmt: skip


class Query(NamedTuple):
  """A request that can be answered."""

  rows: list[Row]  # n of each prompt
  echoes: list[str]  # text that each choice begins with
  stop: tuple[str, ...]
  logprobs: int | None  # likeliest tokens to return; None: no log-probs
  stream: bool
  include_usage: bool
  latents: bool
  chat: bool
  prompt_tokens: int  # of all prompts


def completion_query(
  server: Server, model: str, limit: int, body: Any
) -> Query:
  """The query of POST /v1/completions. APIError for what is not accepted.

  Args:
    server: the loaded model.
    model: its id.
    limit: completions that a request may ask for.
    body: of the request, from JSON.
  """
  fields = checked(body, COMPLETIONS)
  prompts = fields['prompt']
  if isinstance(prompts, str) or isinstance(prompts[0], int):
    prompts = (prompts,)
  mode = _mode(server, fields)
  ids = [_prompt_ids(server, prompt, mode) for prompt in prompts]
  tokenizer: Any = server.actor.tokenizer
  echo = fields.get('echo', False)
  texts = [
    (x if isinstance(x, str) else tokenizer.decode(i)) if echo else ''
    for x, i in zip(prompts, ids, strict=True)
  ]
  return _query(server, model, limit, fields, mode, ids, texts, _MAX_TOKENS)


def chat_query(server: Server, model: str, limit: int, body: Any) -> Query:
  """The query of POST /v1/chat/completions, likewise. A single user message has
  the prompt of a question of experiments.serve."""
  fields = checked(body, CHAT)
  if 'max_completion_tokens' in fields:
    fields['max_tokens'] = fields.pop('max_completion_tokens')
  if not fields.pop('logprobs', False):
    fields.pop('top_logprobs', None)
  else:
    fields['logprobs'] = 0
  mode = _mode(server, fields)
  messages = [_message(x) for x in fields['messages']]
  ids = _chat_ids(server, messages, mode)
  query = _query(server, model, limit, fields, mode, [ids], [''])
  return query._replace(chat=True)


def _mode(server: Server, fields: dict[str, Any]) -> str:
  mode = fields.get('mode', server.default_mode)
  if mode not in server.encoders:
    raise invalid('mode', mode, f'one of {[*server.encoders]}')
  return mode


def _prompt_ids(server: Server, prompt: Any, mode: str) -> list[int]:
  """The ids of a prompt in text or ids; `no_thinking` ends it with the text
  that closes the thinking."""
  tokenizer: Any = server.actor.tokenizer
  closing = _closing(server, mode)
  if isinstance(prompt, str):
    _check_text('prompt', prompt)
    return tokenizer(prompt + closing)['input_ids']
  vocab = server.actor.policy.model.config.vocab
  if not all(0 <= i < vocab for i in prompt):
    raise invalid('prompt', prompt, f'a list of ids from 0 to {vocab - 1}')
  return [*prompt, *tokenizer(closing, add_special_tokens=False)['input_ids']]


def _closing(server: Server, mode: str) -> str:
  forced = server.config.rollout.forced_text
  return forced.no_thinking if mode == 'no_thinking' else ''


def _message(message: dict) -> dict[str, str]:
  """A message with its content as one text."""
  role, content = message.get('role'), message.get('content')
  if not isinstance(role, str) or role not in _ROLES:
    raise invalid('messages[].role', role, f'one of {[*_ROLES]}')
  if isinstance(content, list):
    parts: Any = [x.get('text') if isinstance(x, dict) else 0 for x in content]
    content = ''.join(parts) if all(isinstance(x, str) for x in parts) else None
  if not isinstance(content, str):
    accepted = 'a text, or a list of {"type": "text", "text": ...}'
    raise invalid('messages[].content', message.get('content'), accepted)
  _check_text('messages[].content', content)
  return {'role': _ROLES[role], 'content': content}


def _check_text(param: str, text: str) -> None:
  if not is_unicode(text):
    raise invalid(param, text, 'text without surrogates')


def _chat_ids(
  server: Server, messages: list[dict[str, str]], mode: str
) -> list[int]:
  """The ids of a conversation. One question has those of experiments.serve."""
  data = server.config.data
  system, turns = data.system_prompt, messages
  if messages[0]['role'] == 'system':
    system, turns = messages[0]['content'], messages[1:]
  roles, texts = [x['role'] for x in turns], [x['content'] for x in turns]
  if roles != ['user', 'assistant'] * (len(turns) // 2) + ['user']:
    accepted = (
      'user and assistant in turn, a user last, after one system or none'
    )
    raise invalid('messages', [x['role'] for x in messages], accepted)
  if len(messages) == 1:
    return server.encoders[mode]({'question': texts[0]})
  if data.prompt_template:
    raise APIError(
      f'messages has {len(messages)} messages: accepted is one of the user, '
      'which config.data.prompt_template takes',
      param='messages',
    )
  try:
    return chat_ids(
      *(server.actor.tokenizer, system, texts[-1]),
      data.prefill + _closing(server, mode),
      history=zip(texts[:-1:2], texts[1::2], strict=True),
      enable_thinking=data.enable_thinking,
    )
  except ValueError as error:  # a template is a program
    accepted = 'what the chat template of the model renders'
    raise invalid('messages', roles, accepted) from error


def _query(
  server: Server,
  model: str,
  limit: int,
  fields: dict[str, Any],
  mode: str,
  prompts: Sequence[list[int]],
  echoes: Sequence[str],
  default: int | None = None,
) -> Query:
  """The query of prompts with the fields that both endpoints have."""
  rollout = server.config.rollout
  if fields.get('model', model) != model:
    raise APIError(
      f'there is no model {fields["model"]!r:.80}: accepted is {model!r}',
      *(404, 'model', 'model_not_found'),
    )
  for prompt in prompts:
    if not 0 < len(prompt) <= rollout.max_prompt_length:
      raise APIError(
        f'the prompt has {len(prompt)} tokens: accepted are 1 to '
        f'{rollout.max_prompt_length} (config.rollout.max_prompt_length)',
        param='messages' if 'messages' in fields else 'prompt',
        code='context_length_exceeded',
      )
  longest = rollout.max_completion_length
  max_tokens: int = fields.get('max_tokens', min(default or longest, longest))
  if max_tokens > longest:
    accepted = f'at most {longest} (config.rollout.max_completion_length)'
    raise invalid('max_tokens', max_tokens, accepted)
  count = fields.get('n', 1)
  if count * len(prompts) > limit:
    accepted = f'at most {limit} completions per request (--queue)'
    raise invalid('n', count, accepted)
  stop = fields.get('stop', ())
  stop = (stop,) if isinstance(stop, str) else stop
  if len(stop) > _MAX_STOPS or '' in stop:
    accepted = f'at most {_MAX_STOPS} texts, none of them empty'
    raise invalid('stop', stop, accepted)
  logprobs, scored = fields.get('logprobs'), bool(fields.get('echo'))
  draws, seed = _sampling(server, fields), fields.get('seed')
  rows = [
    Row(
      prompt,
      Mode(mode_of(mode)),
      _row_seed(seed, number, choice),
      max_tokens,
      draws,
      fields.get('latents', False),
      scored and logprobs is not None,
    )
    for number, prompt in enumerate(prompts)
    for choice in range(count)
  ]
  return Query(
    rows,
    [text for text in echoes for _ in range(count)],
    stop,
    logprobs,
    fields.get('stream', False),
    fields.get('stream_options', {}).get('include_usage') is True,
    fields.get('latents', False),
    chat=False,
    prompt_tokens=sum(map(len, prompts)),
  )


def _sampling(server: Server, fields: dict[str, Any]) -> tuple:
  """The keywords of ops.sampling: those of an evaluation, as the request
  changes them."""
  found = {**eval_sampling(server.config)}
  changes = {x: fields[x] for x in found if x in fields}
  if 'temperature' in changes:
    changes['greedy'] = changes['temperature'] < _GREEDY
    if changes['greedy']:  # mixtures keep the temperature of an evaluation
      del changes['temperature']
  found |= changes
  found['top_k'] = max(found['top_k'], 0)
  return tuple(sorted(found.items()))


def _row_seed(seed: int | None, *numbers: int) -> int:
  """31 bits: the same for the same seed, prompt and choice of a request."""
  if seed is None:
    return secrets.randbits(31)
  text = repr((seed, *numbers)).encode()
  return int.from_bytes(hashlib.blake2b(text, digest_size=4).digest()) >> 1
