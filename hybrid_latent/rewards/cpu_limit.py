"""A limit on the CPU time of a block, which the load does not affect."""

import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

# Recursion depth of a block above its caller: RecursionError then depends on
# the block's input, not on the depth of the call.
_FRAMES = 3000


class CPULimitExceededError(BaseException):
  """Not an Exception: sympy catches those."""


@contextmanager
def cpu_limit(seconds: float) -> Iterator[None]:
  """Raises CPULimitExceededError after `seconds` of the thread's CPU time in
  the block.

  The signal requires Unix and the main thread; elsewhere there is no limit. A
  long operation in C, such as a huge power, cannot be interrupted.
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
  # Repeated, because an exception raised in a callback of the garbage collector
  # is swallowed.
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
