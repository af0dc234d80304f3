"""A limit on the CPU time of a block, which no clock and no neighbour moves."""

import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

# What a block may recurse on top of its caller: the same wherever it is called
# from, so that RecursionError is a property of what it works on.
_FRAMES = 3000


class CPULimitExceededError(BaseException):
  """Not an Exception: sympy swallows those."""


@contextmanager
def cpu_limit(seconds: float) -> Iterator[None]:
  """Raises CPULimitExceededError once the thread has computed for `seconds`
  within the block.

  The signal is of Unix and of the main thread; elsewhere there is no limit.
  Nothing interrupts one long operation of C, such as a huge power.
  """
  stack = sys.getrecursionlimit()
  sys.setrecursionlimit(_depth() + _FRAMES)
  try:
    main = threading.current_thread() is threading.main_thread()
    if main and hasattr(signal, 'SIGPROF'):
      with _alarm(seconds):
        yield
    else:
      yield
  finally:
    sys.setrecursionlimit(stack)


@contextmanager
def _alarm(seconds: float) -> Iterator[None]:
  deadline = time.thread_time() + seconds
  armed = True

  def expire(*_) -> None:
    # The timer counts the CPU time of all threads.
    if armed and time.thread_time() >= deadline:
      raise CPULimitExceededError(f'more than {seconds} s of CPU time')

  before = signal.signal(signal.SIGPROF, expire)
  # Repeatedly: a callback of the garbage collector swallows what is raised.
  signal.setitimer(signal.ITIMER_PROF, seconds, 0.05)
  try:
    yield
  finally:
    armed = False
    signal.setitimer(signal.ITIMER_PROF, 0)
    signal.signal(signal.SIGPROF, before)


def _depth() -> int:
  frame, depth = sys._getframe(), 0
  while frame:
    frame, depth = frame.f_back, depth + 1
  return depth
