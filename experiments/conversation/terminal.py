"""Writes an answer to a terminal as it is decoded.

What a model writes is data: characters that a terminal or a reader could take
for something else are written as escapes. The bytes of a character that is not
complete are held.
"""

import codecs
import unicodedata
from collections.abc import Sequence
from typing import TextIO

from hybrid_latent.measures.spans import spans_of

from .chat_model import NUM_NEAR, ChatModel, Step

_RESET, _DIM = '\x1b[0m', '\x1b[2m'
# Colours of a 256-colour terminal, from the smallest latent share to 1.
_RAMP = 110, 104, 141, 177, 213
_LEAST = 0.01  # smallest share that is written, unless it is the largest
_ALONE = 0.99  # share of a word that is near nothing else


def printable(text: str, keep: str = '\n\t') -> str:
  """The text with escapes in place of control characters, escape sequences,
  changes of direction and invisible characters."""

  def shown(char: str) -> str:
    if char.isprintable() or char in keep:
      return char
    if unicodedata.category(char) == 'Zs':  # spaces of other widths
      return ' '
    return char.encode('unicode_escape').decode()

  return ''.join(map(shown, text))


def summary(tokens: int, shares: Sequence[float], seconds: float) -> str:
  """The line after an answer, from the latent shares of its steps."""
  latent = [share > 0 for share in shares[:-1]]  # the last is no input
  switches = len(spans_of({'latent': latent}))
  return (
    f'{tokens} tokens, {sum(latent)} latents, {switches} switches, '
    f'{seconds:.1f} s, {tokens / seconds:.1f} tokens/s'
  )


class Terminal:
  """Writes steps of answers, and notices.

  Args:
    model: whose tokens they are.
    out: of answers.
    notices: of all else.
    colour: whether `out` is a terminal with colours.
  """

  def __init__(
    self, model: ChatModel, out: TextIO, notices: TextIO, colour: bool
  ):
    self._out, self._notices, self._colour = out, notices, colour
    self._model, self.num_near = model, NUM_NEAR
    self._utf8 = codecs.getincrementaldecoder('utf-8')('replace')

  def write_step(self, step: Step) -> None:
    """Writes a token, and what a latent is near, the shares in brackets."""
    share, word = step.latent_share, b''
    if step.token is not None:
      word = self._model.bytes_of(step.token)
      self._write(self._utf8.decode(word), self._colour_of(share))
    near = [
      (token, weight)
      for i, (token, weight) in enumerate(step.near[: self.num_near])
      if not i or weight >= _LEAST
    ]
    alone = near and near[0][0] == step.token and near[0][1] >= _ALONE
    if share and near and not (word and alone):
      name = lambda token: printable(self._model.name_of(token), keep='')
      texts = (f'{name(x)} {weight:.2f}' for x, weight in near)
      self._write(f'[{" | ".join(texts)}]', _DIM + self._colour_of(share))

  def end_answer(self) -> None:
    """Writes what is held, and ends the line."""
    self._write(self._utf8.decode(b'', final=True), '')
    self._utf8.reset()
    self._write('\n', '')

  def notice(self, text: str) -> None:
    """Writes a line that is no answer."""
    text = printable(text)
    if self._colour and self._notices is self._out:
      text = f'{_DIM}{text}{_RESET}'
    self._notices.write(f'{text}\n')
    self._notices.flush()

  def _colour_of(self, share: float) -> str:
    if not share:
      return ''
    level = min(int(share * len(_RAMP)), len(_RAMP) - 1)
    return f'\x1b[38;5;{_RAMP[level]}m'

  def _write(self, text: str, style: str) -> None:
    text = printable(text)
    coloured = self._colour and style and text
    self._out.write(f'{style}{text}{_RESET}' if coloured else text)
    self._out.flush()
