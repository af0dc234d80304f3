"""Rewards for the tests of the grader: what a reward may do to its process."""

import os
import signal
import subprocess
import sys
import time


def length(completions, *, answer, **_):
  del answer
  return [float(len(text)) for text in completions]


def process(completions, **_):
  time.sleep(0.05)
  return [float(os.getpid())] * len(completions)


def slow(completions, *, seconds, **_):
  time.sleep(seconds)
  return [1.0] * len(completions)


def hang(completions, **_):
  while 'hang' in completions:
    pass
  return [1.0] * len(completions)


def fail(completions, **_):
  if 'fail' in completions:
    raise KeyError(f'cannot judge {completions}')
  return [1.0] * len(completions)


def leave(completions, **_):
  if 'leave' in completions:
    sys.exit('enough')
  return [1.0] * len(completions)


def crash(completions, **_):
  if 'crash' in completions:
    os.kill(os.getpid(), signal.SIGSEGV)
  return [1.0] * len(completions)


def swallow(completions, **_):
  return [float(len(bytearray(2**36))) for _ in completions]


def child(completions, *, file, **_):
  """Starts a process that outlives it, writes its number down and hangs."""
  sleeper = subprocess.Popen(['sleep', '300'])
  with open(file, 'w') as f:
    f.write(f'{os.getpid()} {sleeper.pid}')
  return hang(['hang', *completions])


def talk(completions, **_):
  print('{"rewards": {}}')
  sys.stdin.read()
  return [1.0] * len(completions)


def unsure(completions, **_):
  return [None, float('nan'), *[True] * (len(completions) - 2)]


def short(completions, **_):
  return [1.0] * (len(completions) - 1)


def infinite(completions, **_):
  return [float('inf')] * len(completions)


def modules(completions, **_):
  """Whether jax is imported in the worker."""
  return [float('jax' in sys.modules)] * len(completions)
