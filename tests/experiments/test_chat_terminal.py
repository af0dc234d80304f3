"""What a terminal is sent of the texts of a model."""

import io

from experiments.conversation.chat_model import Step
from experiments.conversation.terminal import Terminal, printable, summary


class Vocabulary:
  """Tokens that are pieces of one text."""

  def __init__(self, *tokens):
    self.tokens = tokens

  def bytes_of(self, token):
    return self.tokens[token]

  def name_of(self, token):
    return self.tokens[token].decode(errors='replace')


def test_no_character_is_written_in_parts():
  out = io.StringIO()
  word = '5 \N{EURO SIGN}'.encode()
  vocabulary = Vocabulary(word[:3], word[3:4], word[4:])
  terminal = Terminal(vocabulary, out, out, False)
  seen = []
  for token in range(3):
    terminal.write_step(Step(token, 0.0, ()))
    seen.append(out.getvalue())
  assert seen == ['5 ', '5 ', '5 \N{EURO SIGN}']
  terminal.write_step(Step(0, 0.0, ()))
  terminal.end_answer()
  assert out.getvalue()[3:] == '5 \N{REPLACEMENT CHARACTER}\n'


def test_no_text_moves_the_cursor_or_hides():
  """Neither of the answer nor of what a latent is near."""
  hostile = '\x1b[2J\x1b]0;a\x07\r\x08\x9b1m\u202eabc\u200b\u2028\x00'
  plain = r'\x1b[2J\x1b]0;a\x07\r\x08\x9b1m\u202eabc\u200b\u2028\x00'
  assert printable(hostile) == plain
  assert printable('a\tb\nc\u00a0d \u00e9\u4e2d') == 'a\tb\nc d \u00e9\u4e2d'
  out = io.StringIO()
  terminal = Terminal(Vocabulary(hostile.encode(), b'\n'), out, out, False)
  terminal.write_step(Step(0, 1.0, ((0, 0.5), (1, 0.25), (1, 0.001))))
  assert out.getvalue() == f'{plain}[{plain} 0.50 | \\n 0.25]'


def test_a_summary_counts_runs_of_inputs():
  """The last token is no input."""
  shares = [0.0, 0.5, 1.0, 0.0, 0.1, 0.0, 0.3]
  assert summary(7, shares, 2.0) == (
    '7 tokens, 3 latents, 2 switches, 2.0 s, 3.5 tokens/s'
  )
