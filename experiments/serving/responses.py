"""Responses in the shape of OpenAI's API, whole and as a stream."""

import math
import secrets
import time
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from hybrid_latent.formats.tokenizer import token_bytes

from .completion import Completion
from .errors import APIError
from .prompt_scores import PromptScores
from .query import Query
from .worker import Nearest, Piece, Token


class Vocabulary:
  """The text of token ids."""

  def __init__(self, tokenizer: Any):
    self.bytes = token_bytes(tokenizer)
    self._tokenizer = tokenizer

  def text(self, token: int) -> str:
    """The text of one id, special tokens included."""
    return self._tokenizer.decode([token])

  def near(self, nearest: Nearest) -> list[list]:
    """Texts and shares, rounded."""
    return [[self.text(token), round(share, 6)] for token, share in nearest]


class Response:
  """The response to a query, which grows with the pieces of its rows."""

  def __init__(self, query: Query, model: str, vocabulary: Vocabulary):
    kind = 'chatcmpl' if query.chat else 'cmpl'
    name = 'chat.completion' if query.chat else 'text_completion'
    if query.stream and query.chat:
      name += '.chunk'
    self._head = {
      'id': f'{kind}-{secrets.token_hex(12)}',
      'object': name,
      'created': int(time.time()),
      'model': model,
    }
    self._query = query
    self._choices = [
      _Choice(query, i, vocabulary) for i in range(len(query.rows))
    ]

  @property
  def is_complete(self) -> bool:
    """Whether every choice has ended."""
    return all(x.finish_reason for x in self._choices)

  def add(self, piece: Piece) -> tuple[dict[str, Any] | None, bool]:
    """Takes a piece: the chunk of what is new, if anything is, and whether its
    choice has ended. APIError where the worker failed."""
    if piece.finish_reason == 'error':
      raise APIError('the server failed to decode this request', 500)
    choice = self._choices[piece.row]
    text = choice.add(piece)
    ends = bool(choice.finish_reason)
    if not self._query.stream or not (text or ends):
      return None, ends
    return {**self._head, 'choices': [self._fields(choice, text)]}, ends

  def _fields(self, choice: '_Choice', text: str) -> dict[str, Any]:
    """What is new about a choice, with its text."""
    fields = choice.fields()
    if not self._query.chat:
      return {**fields, 'text': text}
    message = {'role': 'assistant', 'content': text}
    return {**fields, 'delta' if self._query.stream else 'message': message}

  def usage_chunk(self) -> dict[str, Any]:
    """The last chunk where the request includes the usage."""
    return {**self._head, 'choices': [], 'usage': self.usage()}

  def body(self) -> dict[str, Any]:
    """The whole response."""
    choices = [self._fields(x, x.text) for x in self._choices]
    return {**self._head, 'choices': choices, 'usage': self.usage()}

  def usage(self) -> dict[str, Any]:
    """Tokens of prompts and completions; latents of completions are among
    these, those of a prefix beside them."""
    tokens = [token for x in self._choices for token in x.tokens]
    prompt, new = self._query.prompt_tokens, len(tokens)
    details = {
      'latent_tokens': sum(token.latent_share > 0 for token in tokens),
      'prefix_latents': sum(x.prefix for x in self._choices),
    }
    return {
      'prompt_tokens': prompt,
      'completion_tokens': new,
      'total_tokens': prompt + new,
      'completion_tokens_details': details,
    }


class _Choice:
  """A choice of a response."""

  def __init__(self, query: Query, index: int, vocabulary: Vocabulary):
    self._query, self._index, self._vocabulary = query, index, vocabulary
    self._completion = Completion(vocabulary.bytes, query.stop)
    self._echo = query.echoes[index]
    self._first: Piece | None = None
    self._taken = -1  # tokens that `fields` has returned; -1: not even the echo

  @property
  def finish_reason(self) -> str:
    return self._completion.finish_reason

  @property
  def text(self) -> str:
    return self._echo + self._completion.text

  @property
  def tokens(self) -> list[Token]:
    return self._completion.tokens

  @property
  def prefix(self) -> int:
    return self._first.prefix if self._first else 0

  def add(self, piece: Piece) -> str:
    begun = self._first is not None
    if self._first is None:
      self._first = piece
    new = self._completion.add(piece.tokens, piece.finish_reason)
    return new if begun else self._echo + new

  def fields(self) -> dict[str, Any]:
    """The fields of what is new since the last call, without its text."""
    start, self._taken = self._taken, len(self.tokens)
    found: dict[str, Any] = {
      'index': self._index,
      'finish_reason': self.finish_reason or None,
      'logprobs': None,
    }
    if self._query.logprobs is not None:
      tokens = [*self._scored(start)]
      found['logprobs'] = (
        {'content': [*map(_of_chat, tokens)]}
        if self._query.chat
        else _of_completion(tokens)
      )
    if self._query.latents:
      found['latents'] = self._latents(start)
    return found

  def _scored(self, start: int) -> Iterator['_Scored']:
    """The tokens from `start` on, those of an echo first."""
    text, echo = self._vocabulary.text, len(self._echo)
    scores = self._first.prompt_scores if self._first else None
    if start < 0 and scores:
      yield from self._scored_prompt(scores)
    for i in range(max(start, 0), len(self.tokens)):
      name, log_prob = text(self.tokens[i].id), _finite(self.tokens[i].log_prob)
      offset = echo + self._completion.offsets[i]
      yield _Scored(name, log_prob, {name: log_prob}, offset)

  def _scored_prompt(self, scores: PromptScores) -> Iterator['_Scored']:
    text, count = self._vocabulary.text, self._query.logprobs
    offset = 0
    for i, token in enumerate(self._query.rows[self._index].prompt):
      name, log_prob, top = text(token), None, None
      if i:  # the first token has nothing before it
        ids = scores.top_ids[i].tolist()
        log_probs = map(_finite, scores.top_log_probs[i].tolist())
        likeliest = dict(zip(ids, log_probs, strict=True))
        # One number for both: harnesses compare them.
        log_prob = likeliest.get(token, _finite(float(scores.log_probs[i])))
        top = {}
        for x in (*ids[:count], token):  # of one text, the likeliest
          top.setdefault(text(x), likeliest.get(x, log_prob))
      yield _Scored(name, log_prob, top, offset)
      offset += len(name)

  def _latents(self, start: int) -> dict[str, Any]:
    """What latents are near: of the prefix, at first, and of new tokens."""
    near, found = self._vocabulary.near, {}
    if start < 0 and self._first and self._first.prefix:
      found['prefix'] = [near(x) for x in self._first.prefix_near]
    found['tokens'] = [
      {'index': i, 'share': round(x.latent_share, 6), 'near': near(x.near)}
      for i, x in enumerate(self.tokens)
      if i >= start and x.latent_share
    ]
    return found


class _Scored(NamedTuple):
  """A token with its log-prob, in the order of OpenAI's lists."""

  text: str
  log_prob: float | None
  top: dict[str, float | None] | None  # the likeliest tokens
  offset: int  # in the text


def _of_completion(tokens: Sequence[_Scored]) -> dict[str, list]:
  names = 'tokens', 'token_logprobs', 'top_logprobs', 'text_offset'
  columns = zip(*tokens, strict=True) if tokens else ((),) * len(names)
  return {name: [*x] for name, x in zip(names, columns, strict=True)}


def _of_chat(token: _Scored) -> dict[str, Any]:
  return {
    'token': token.text,
    'logprob': token.log_prob,
    'bytes': [*token.text.encode()],
    'top_logprobs': [],
  }


def _finite(value: float) -> float | None:
  return round(value, 6) if math.isfinite(value) else None
