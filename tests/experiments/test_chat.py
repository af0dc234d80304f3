"""Conversations with a random model, through a terminal and through a pipe."""

import io
import os
import pty
import re
import signal
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest

from experiments import chat
from experiments.chat import Chat
from experiments.conversation.chat_model import ChatModel, Options
from experiments.conversation.terminal import Terminal
from tests.experiments import rl_tiny
from tests.experiments.runs import quick_compiler

OPTIONS = Options('latents', '', 0.9, 24, 7)
CONTEXT = 128
ROOT = Path(__file__).parents[2]
COUNTS = re.compile(r'(\d+) tokens, (\d+) latents, (\d+) switches')


@pytest.fixture(scope='module')
def config(model_folder):
  config = rl_tiny.get_config(f'{model_folder},hrpo')
  config.mesh.update(data=-1, fsdp=1, tensor=1)
  config.feedback.init_kwargs.update(r_min=0.5, r_max=0.6)
  return config


@pytest.fixture(scope='module')
def model(config):
  return ChatModel(config, None, CONTEXT)


@pytest.fixture
def spoken(model):
  """A conversation, and what it has written."""
  out = io.StringIO()
  return Chat(model, OPTIONS, Terminal(model, out, out, colour=False)), out


def said(spoken, *lines):
  conversation, out = spoken
  out.seek(0)
  out.truncate()
  with quick_compiler():
    for line in lines:
      assert conversation.handle(line)
  return out.getvalue()


def counts(text):
  return [tuple(map(int, x)) for x in COUNTS.findall(text)]


def test_words_latents_and_none(spoken):
  _, latents, switches = counts(said(spoken, '2 + 3?'))[0]
  assert latents and switches
  text = said(spoken, '/words 2 + 3?', '/none 2 + 3?', '2 + 3?')
  assert [bool(latents) for _, latents, _ in counts(text)] == [0, 0, 1]
  assert counts(said(spoken, '/words', '2 + 3?'))[0][1:] == (0, 0)


def test_latents_are_shown_with_what_they_are_near(spoken):
  text = said(spoken, '2 + 3?')
  lists = re.findall(r'\[((?:[^\s\[\]]+ 0\.\d\d(?: \| )?)+)\]', text)
  assert lists and max(x.count(' | ') for x in lists) == 4
  for shares in (re.findall(r' (0\.\d\d)', x) for x in lists):
    assert shares == sorted(shares, reverse=True)
  assert not re.search(r'\[\S+ 0\.', said(spoken, '/near 0', '/again'))


def test_greedy_has_the_mixtures_of_an_evaluation(config, model, monkeypatch):
  options, shares = OPTIONS._replace(temperature=0.0), []
  prompt, _ = model.prompt([], '2 + 3?', options)
  changed = config.copy_and_resolve_references()
  for temperature in 1.0, 2.0:
    changed.eval.sampling = {'temperature': temperature}
    monkeypatch.setattr(model, '_config', changed)
    with closing(model.answer(prompt, options, 0)) as steps, quick_compiler():
      step = next(x for x in steps if len(x.near) > 1)
    shares.append([share for _, share in step.near[:2]])
  cold, warm = ((a / b) for a, b in shares)
  assert cold > 1 and cold == pytest.approx(warm**2, rel=1e-3)


def test_a_seed_repeats_a_conversation_and_again_does_not(spoken):
  first = said(spoken, '2 + 3?').split('\n')[-3]
  assert said(spoken, '/again').split('\n')[-3] != first
  assert said(spoken, '/reset', '/seed 7', '2 + 3?').split('\n')[-3] == first


def test_a_conversation_is_in_the_prompt_until_it_does_not_fit(model):
  history = [('2 + 3?', '5'), ('And + 1?', '6')]
  ids, dropped = model.prompt(history, 'And + 2?', OPTIONS)
  decode = model._actor.tokenizer.decode
  system = OPTIONS._replace(system='Add.')
  assert not dropped and decode(ids) == (
    '<|user|>2 + 3?<|assistant|>5<|end|><|user|>And + 1?<|assistant|>6<|end|>'
    '<|user|>And + 2?<|assistant|>'
  )
  assert decode(model.prompt([], 'Hi?', system)[0]) == (
    '<|system|>Add.<|user|>Hi?<|assistant|>'
  )
  long = [('1 ' * 30, '2')] * 2
  ids, dropped = model.prompt([*long, *history], 'And + 2?', OPTIONS)
  assert dropped == 1 and len(ids) <= CONTEXT - OPTIONS.max_tokens
  with pytest.raises(ValueError, match=r'104 fit: write a shorter'):
    model.prompt(history, '1 ' * 60, OPTIONS)


def test_what_is_left_out_is_said(spoken):
  text = said(spoken, '1 ' * 40, '/tokens 4', '1 ' * 40)
  assert 'the 1 oldest exchanges no longer fit' in text
  assert len(spoken[0].history) == 1


@pytest.mark.parametrize(
  ('line', 'error'),
  [
    ('/what', '/what: /help lists'),
    ('/again', 'no question yet'),
    ('/tokens 0', 'a number from 1 to 64'),
    ('/temperature -1', 'a number from 0'),
    ('/temperature nan', 'a number from 0'),
    ('/temperature inf', 'a number from 0 to 100'),
    ('/again please', '/again please: write /again, and nothing after it'),
    ('/seed x', 'a number from 0 to 2147483647'),
    ('/near 9', 'a number from 0 to 5'),
  ],
)
def test_an_error_of_a_command(spoken, line, error):
  with pytest.raises(ValueError, match=error):
    spoken[0].handle(line)


class Interrupting(io.StringIO):
  """Text after the third piece of which Ctrl-C is pressed."""

  def write(self, text):
    if self.tell() < 9 <= self.tell() + len(text):
      signal.raise_signal(signal.SIGINT)
    return super().write(text)


def test_control_c_stops_an_answer(model):
  out, notices = Interrupting(), io.StringIO()
  conversation = Chat(model, OPTIONS, Terminal(model, out, notices, False))
  before = signal.getsignal(signal.SIGINT)
  with quick_compiler():
    conversation.handle('2 + 3?')
    conversation.handle('/again')
  (stopped, *_), (whole, *_) = counts(notices.getvalue())
  assert stopped < whole
  assert signal.getsignal(signal.SIGINT) is before


def test_control_c_twice_in_an_answer_ends_the_program():
  with pytest.raises(SystemExit, match='130'), chat.interruptible() as stopped:
    signal.raise_signal(signal.SIGINT)
    assert stopped
    signal.raise_signal(signal.SIGINT)


def in_terminal(monkeypatch, argv, lines):
  """The exit code and the screen of the command in a terminal."""
  screen, terminal = pty.openpty()
  os.write(screen, (''.join(f'{line}\n' for line in lines) + '\x04').encode())
  seen = []

  def read():
    while data := os.read(screen, 1024):
      seen.append(data)
      if b'\x00end' in data:
        return

  reader = threading.Thread(target=read, daemon=True)
  reader.start()
  with open(terminal, 'w', closefd=False) as out, open(terminal) as given:
    monkeypatch.setattr(sys, 'stdin', given)
    monkeypatch.setattr(sys, 'stdout', out)
    with quick_compiler():
      code = chat.main(argv)
    out.write('\x00end')
    out.flush()
    reader.join(10)
  os.close(screen)
  return code, b''.join(seen).decode()


def command(config, tmp_path):
  path = tmp_path / 'one.json'
  path.write_text(f'{{"config": {config.to_json()}}}')
  return [f'--config=saved:{path}', f'--context={CONTEXT}']


def test_a_terminal(config, tmp_path, monkeypatch):
  monkeypatch.delenv('NO_COLOR', raising=False)
  argv = command(config, tmp_path)
  code, screen = in_terminal(monkeypatch, argv, ['2 + 3?', '/foo', '/help'])
  assert code == 0
  assert '/foo: /help lists' in screen and '/quit' in screen
  assert counts(screen) and re.search(r'\x1b\[38;5;\d+m', screen)
  monkeypatch.setenv('NO_COLOR', '1')
  code, plain = in_terminal(monkeypatch, argv, ['2 + 3?', '/quit'])
  assert code == 0 and counts(plain) == counts(screen) and '\x1b' not in plain


@pytest.mark.slow
def test_control_c_ends_the_program_the_second_time(config, tmp_path):
  """In a process of its own, with readline."""
  screen, terminal = pty.openpty()
  process = subprocess.Popen(
    [sys.executable, '-m', 'experiments.chat', *command(config, tmp_path)],
    stdin=terminal,
    stdout=terminal,
    stderr=terminal,
    cwd=ROOT,
    env=os.environ | {'NO_COLOR': '1', 'PYTHONPATH': str(ROOT)},
  )

  screened = bytearray()

  def read_until(text):
    while text not in screened:
      screened.extend(os.read(screen, 1024))
    del screened[: screened.index(text) + len(text)]

  read_until(b'> ')
  os.write(screen, b'2 + 3?\n')
  read_until(b'tokens/s')
  read_until(b'> ')
  process.send_signal(signal.SIGINT)
  read_until(b'Ctrl-C once more ends the program')
  read_until(b'> ')
  process.send_signal(signal.SIGINT)
  assert process.wait(60) == 130
  os.close(terminal)
  os.close(screen)


def test_a_pipe(config, model_folder, tmp_path, monkeypatch, capsys):
  argv = command(config, tmp_path)
  monkeypatch.setattr(sys, 'stdin', io.StringIO('2 + 3?\n\n/words 1 + 1?'))
  with quick_compiler():
    assert chat.main(argv) == 0
  captured = capsys.readouterr()
  assert len(counts(captured.err)) == 2 and not counts(captured.out)
  assert '\x1b' not in captured.out
  piped = io.TextIOWrapper(io.BytesIO(b'caf\xe9\n/seed 3\n/words 1 + 1?\n'))
  monkeypatch.setattr(sys, 'stdin', piped)
  with quick_compiler():
    assert chat.main(argv) == 1
  notes = capsys.readouterr().err
  assert "error: line 1 is 'caf\\udce9': write it in UTF-8" in notes
  assert 'seed: 3' in notes and len(counts(notes)) == 1
  monkeypatch.setattr(sys, 'stdin', io.StringIO('/latents\n/temperature 0\n'))
  assert chat.main([f'--model={model_folder}']) == 1
  assert 'has no latents: write a --config' in capsys.readouterr().err


@pytest.mark.parametrize(
  ('argv', 'words'),
  [
    ([], 'write one of --model, --config'),
    (['--model=a', '--workdir=b'], 'write one of --model, --config'),
    (['--workdir=b'], 'b/config.json does not exist: write the config.json'),
  ],
)
def test_one_model(argv, words, capsys):
  with pytest.raises(SystemExit):
    chat.main(argv)
  assert words in capsys.readouterr().err
