import signal
import sys
import threading
import time

import pytest

from hybrid_latent.rewards.cpu_limit import CPULimitExceededError, cpu_limit


def spin(seconds):
  end = time.thread_time() + seconds
  while time.thread_time() < end:
    pass


def test_a_block_that_computes_too_long_is_stopped():
  with pytest.raises(CPULimitExceededError), cpu_limit(0.02):
    spin(60)


def test_waiting_and_other_threads_do_not_count():
  stop = threading.Event()
  other = threading.Thread(
    target=lambda: [spin(0.01) for _ in iter(stop.is_set, True)]
  )
  other.start()
  try:
    with cpu_limit(0.1):
      time.sleep(0.3)
  finally:
    stop.set()
    other.join()


def test_what_sympy_swallows_is_stopped_all_the_same():
  with pytest.raises(CPULimitExceededError), cpu_limit(0.02):
    try:
      spin(60)
    except Exception:
      spin(60)


def test_nothing_is_left_behind():
  before = signal.getsignal(signal.SIGPROF), sys.getrecursionlimit()
  with cpu_limit(5):
    assert sys.getrecursionlimit() != before[1]
  assert signal.getitimer(signal.ITIMER_PROF) == (0, 0)
  assert (signal.getsignal(signal.SIGPROF), sys.getrecursionlimit()) == before


def test_the_stack_is_as_deep_wherever_it_is_called_from():
  def deepest():
    try:
      return 1 + deepest()
    except RecursionError:
      return 0

  def below(frames):
    if frames:
      return below(frames - 1)
    with cpu_limit(5):
      return deepest()

  assert abs(below(0) - below(200)) <= 2


def test_without_a_main_thread_there_is_no_limit():
  passed = []

  def work():
    with cpu_limit(0.01):
      spin(0.05)
    passed.append(True)

  thread = threading.Thread(target=work)
  thread.start()
  thread.join()
  assert passed == [True]
