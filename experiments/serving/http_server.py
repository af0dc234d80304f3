"""An HTTP server in the shape of OpenAI's API.

It is http.server of the standard library: the device decodes one batch at a
time, so that a thread per connection is enough, and no package is needed. It
has no TLS and no keys: for other machines put a proxy before it.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from .connections import HTTPServer
from .handler import Handler
from .loading import Server
from .worker import Worker


def serve(server: Server, host: str, port: int, limit: int) -> None:
  """Answers requests until SIGTERM or SIGINT, then those that are running; a
  second signal ends it at once."""
  ended = threading.Event()
  signals = signal.SIGTERM, signal.SIGINT

  def end(number: int, frame: object) -> None:
    for each in signals:
      signal.signal(each, signal.SIG_DFL)
    ended.set()

  for each in signals:
    signal.signal(each, end)
  with running(server, host, port, limit) as http:
    address = f'http://{host}:{http.server_port}/v1'
    print(f'{http.model} answers at {address}', flush=True)
    ended.wait()
    print('ends after the requests that are running', flush=True)


@contextmanager
def running(
  server: Server, host: str, port: int, limit: int
) -> Iterator[HTTPServer]:
  """Answers requests on other threads. At the end it refuses new ones, and
  waits for those that are running."""
  with (
    Worker(server, limit) as worker,
    HTTPServer(server, worker, host, port, Handler) as http,
  ):
    thread = threading.Thread(target=http.serve_forever, args=(0.2,))
    thread.start()
    try:
      yield http
    finally:
      http.drain()
      http.shutdown()
      thread.join()
