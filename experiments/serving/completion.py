"""The text of a completion as its tokens arrive."""

import codecs
from collections.abc import Sequence

from .worker import Token


class Completion:
  """A completion that grows; its `text` has no special tokens.

  Args:
    token_bytes: the bytes of each id, of formats.tokenizer.token_bytes.
    stop: texts that end the completion and are no part of it.
  """

  def __init__(self, token_bytes: Sequence[bytes], stop: Sequence[str] = ()):
    self._bytes, self._stop = token_bytes, stop
    self._utf8 = codecs.getincrementaldecoder('utf-8')('replace')
    self.text, self._sent = '', 0
    self.tokens: list[Token] = []
    self.offsets: list[int] = []  # of each token in the text
    self.finish_reason = ''

  def add(self, tokens: Sequence[Token], finish_reason: str) -> str:
    """Takes tokens, and returns the text that they make certain: not what may
    be the beginning of a stop text or of a character."""
    for token in tokens:
      self.offsets.append(len(self.text))
      self.tokens.append(token)
      self.text += self._utf8.decode(self._bytes_of(token.id))
      if self._cut():
        break
    if finish_reason and not self.finish_reason:
      self.text += self._utf8.decode(b'', final=True)
      self._cut()
      self.finish_reason = self.finish_reason or finish_reason
    certain = len(self.text)
    if not self.finish_reason:
      certain -= max(map(self._begun, self._stop), default=0)
    new, self._sent = self.text[self._sent : certain], max(certain, self._sent)
    return new

  def _bytes_of(self, token: int) -> bytes:
    # The vocabulary of a model may be padded beyond its tokenizer's.
    return self._bytes[token] if token < len(self._bytes) else b''

  def _cut(self) -> bool:
    """Cuts the text at the first stop text, and ends the completion there."""
    found = [at for x in self._stop if (at := self.text.find(x)) >= 0]
    if found:
      self.text, self.finish_reason = self.text[: min(found)], 'stop'
    return bool(found)

  def _begun(self, stop: str) -> int:
    """How many characters of a stop text the text ends with."""
    sizes = range(min(len(stop) - 1, len(self.text)), 0, -1)
    return next((n for n in sizes if self.text.endswith(stop[:n])), 0)
