import signal

import pytest


@pytest.fixture
def interruptible():
  """SIGINT raises KeyboardInterrupt, also where a shell began the tests in the
  background, which ignore it."""
  before = signal.signal(signal.SIGINT, signal.default_int_handler)
  yield
  signal.signal(signal.SIGINT, before)
