"""Connections: a thread for each, and limits of their number and patience."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import ThreadingHTTPServer
from socketserver import BaseRequestHandler
from typing import Any

from .loading import Server, model_id
from .responses import Vocabulary
from .worker import Worker

_CONNECTIONS = 512
_RECEIVE_S = 30.0  # for a whole request, from the end of the one before


class HTTPServer(ThreadingHTTPServer):
  """Connections, each with a thread, and the requests that are running."""

  daemon_threads = True
  request_queue_size = 128

  def __init__(
    self,
    server: Server,
    worker: Worker,
    host: str,
    port: int,
    handler: type[BaseRequestHandler],
  ):
    if ':' in host:
      self.address_family = socket.AF_INET6
    self.loaded, self.worker, self.model = server, worker, model_id(server)
    self.vocabulary = Vocabulary(server.actor.tokenizer)
    self.created = int(time.time())
    self.draining = False
    self._running, self._change = 0, threading.Condition()
    self._room = threading.BoundedSemaphore(_CONNECTIONS)
    self._deadlines: dict[socket.socket, float] = {}
    super().__init__((host, port), handler)

  @contextmanager
  def request_running(self) -> Iterator[None]:
    """Counts a request, for which `drain` waits."""
    with self._change:
      self._running += 1
    try:
      yield
    finally:
      with self._change:
        self._running -= 1
        self._change.notify()

  def drain(self) -> None:
    """Refuses new requests and waits for those that are running."""
    self.draining = True
    with self._change:
      self._change.wait_for(lambda: not self._running)

  def process_request(self, request: Any, client_address: Any) -> None:
    """Starts the thread of a connection, or closes one too many."""
    if self._room.acquire(blocking=False):
      super().process_request(request, client_address)
    else:
      super().shutdown_request(request)

  def process_request_thread(self, request: Any, client_address: Any) -> None:
    """The thread of a connection."""
    try:
      super().process_request_thread(request, client_address)
    finally:
      self._room.release()

  def handle_error(self, request: Any, client_address: Any) -> None:
    """A client that is gone is no error of the server."""

  def expect_request(self, connection: socket.socket, expected: bool) -> None:
    """Whether a whole request is to arrive within the limit."""
    if expected:
      self._deadlines[connection] = time.monotonic() + _RECEIVE_S
    else:
      self._deadlines.pop(connection, None)

  def service_actions(self) -> None:
    """Closes the connections of requests that do not arrive."""
    now = time.monotonic()
    for connection, deadline in [*self._deadlines.items()]:
      if deadline < now:
        self._deadlines.pop(connection, None)
        with suppress(OSError):
          connection.shutdown(socket.SHUT_RDWR)
