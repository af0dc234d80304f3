"""Rewards that people wrote, and what hostile code does to its process.

Many workers import this file: it imports nothing that takes long.
"""

import builtins
import decimal
import fractions
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from functools import partial

# ------------------------------------------------- those that can never work


def no_columns(completions):
  return [1.0] * len(completions)


def no_completions(*, answer, **_):
  return [1.0] * len(answer)


partly = partial(no_columns)


def other_column(completions, solution, **_):
  return [float(s in c) for c, s in zip(completions, solution, strict=True)]


async def asynchronous(completions, **_):
  return [1.0] * len(completions)


class Judge:
  async def __call__(self, completions, **_):
    return [1.0] * len(completions)


judge = Judge()


def one_by_one(completions, **_):
  for _completion in completions:
    yield 1.0


def one_too_few(completions, **_):
  return [1.0] * (len(completions) - 1)


def a_number(completions, **_):
  del completions
  return 1.0


def nothing(completions, **_):
  del completions


def by_text(completions, **_):
  return dict.fromkeys(completions, 1.0)


def a_text(completions, **_):
  return '1' * len(completions)


def texts(completions, **_):
  return ['1.0'] * len(completions)


def nested(completions, **_):
  return [[1.0]] * len(completions)


def columns_of_numpy(completions, **_):
  import numpy as np

  return np.ones((len(completions), 2))


def imaginary(completions, **_):
  return [1j] * len(completions)


def looks_up(completions, **columns):
  del completions
  return [len(x) for x in columns['solution']]


def imports(completions, **_):
  del completions
  return __import__('no_such_module').score


def misspelt(completions, **_):
  return completions.lenght


def unknown(completions, **_):
  return [builtins.scoer(text) for text in completions]


def adds_text(completions, **_):
  return [text + 1 for text in completions]


# ------------------------------------------------------------ those that work


def booleans(completions, **_):
  return [len(text) > 1 for text in completions]


def of_numpy(completions, **_):
  import numpy as np

  return np.array(booleans(completions))


def scalars_of_numpy(completions, **_):
  import numpy as np

  return tuple(np.float32(x) for x in booleans(completions))


def of_torch(completions, **_):
  import torch

  return torch.tensor(booleans(completions))


def exact_numbers(completions, **_):
  kinds = decimal.Decimal, fractions.Fraction
  return [k(x) for k, x in zip(kinds, booleans(completions), strict=True)]


def unsure(completions, **_):
  return [float('nan') if x else None for x in booleans(completions)]


# ------------------------------ those that a text of 'x' makes do something


def _on_x(harm):
  def reward(completions, **_):
    found = harm() if 'x' in completions else None
    return found or [1.0] * len(completions)

  return reward


def _fork_twice():
  os.fork()  # and both come back


def _close_everything():
  os.closerange(0, 64)


def _die_in_a_thread():
  threading.Thread(target=lambda: 1 / 0).start()


def _recurse():
  _recurse()


def _write_much():
  for _ in range(64):
    os.write(1, b' ' * 2**16)


def _closed_output():
  sys.stdout.close()
  os.close(1)


def _evil_error():
  class Evil(Exception):
    def __str__(self):
      raise RuntimeError

  raise Evil


def _never_mind_signals():
  for number in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM):
    signal.signal(number, signal.SIG_IGN)


forks = _on_x(_fork_twice)
closes = _on_x(_close_everything)
threads = _on_x(_die_in_a_thread)
recurses = _on_x(_recurse)
writes = _on_x(_write_much)
mute = _on_x(_closed_output)
evil = _on_x(_evil_error)
deaf = _on_x(_never_mind_signals)
exits = _on_x(sys.exit)
leaves = _on_x(partial(os._exit, 0))
segfaults = _on_x(lambda: os.kill(os.getpid(), signal.SIGSEGV))
swallows = _on_x(lambda: [float(len(bytearray(2**36)))])
huge = _on_x(lambda: [10**400, 1])


def traps(completions, **_):
  """Leaves what only the next group would meet; 1 where nothing is left."""
  clean = os.getcwd() != '/' and not any(signal.getitimer(signal.ITIMER_REAL))
  if 'x' in completions:
    os.chdir('/')
    signal.setitimer(signal.ITIMER_REAL, 60)
  return [float(clean)] * len(completions)


_NEXT = threading.Event()


def bombs(completions, **_):
  """After a group with x, the next one ends the process."""
  _NEXT.set()
  time.sleep(0.1)
  if 'x' in completions:
    _NEXT.clear()
    threading.Thread(target=lambda: _NEXT.wait() and os._exit(3)).start()
  return [1.0] * len(completions)


# --------------------------------------------------------- those with children

SLEEP = 'import os, time; print(os.getpid(), flush=True); time.sleep(60)'


def _note(file, pids: Sequence[int]):
  with open(file, 'a') as notes:
    notes.write(''.join(f'{pid}\n' for pid in pids))


def detached(completions, *, file, how, hangs, **_):
  """A child in a session of its own, which keeps all pipes."""
  if how == 'fork':
    if os.fork() == 0:
      os.setsid()
      if os.fork() == 0:
        _note(file, [os.getpid()])
        time.sleep(60)
      os._exit(0)
    os.wait()
  else:
    child = subprocess.Popen(
      [sys.executable, '-c', SLEEP],
      stdout=subprocess.DEVNULL,
      start_new_session=True,
      env={} if how == 'without environment' else None,
    )
    _note(file, [child.pid])
  while not os.path.exists(file):
    time.sleep(0.01)
  if hangs:
    time.sleep(60)
  return [1.0] * len(completions)


def swallowing_child(completions, **_):
  """1 where a child may take 64 GiB."""
  call = subprocess.run(
    [sys.executable, '-c', 'bytearray(2**36)'],
    stderr=subprocess.DEVNULL,
    start_new_session=True,
  )
  return [float(call.returncode == 0)] * len(completions)


def crowded(completions, *, seconds, rivals, **_):
  """Takes `seconds` of one core's time, which it shares with others."""
  os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
  spin = [sys.executable, '-c', 'while True: pass']
  others = [subprocess.Popen(spin) for _ in range(rivals)]
  time.sleep(0.1)  # they are there
  end = time.process_time() + seconds
  while time.process_time() < end:
    pass
  for other in others:
    other.kill()
    other.wait()
  return [1.0] * len(completions)
