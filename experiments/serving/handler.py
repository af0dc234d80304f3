"""Requests and answers of one connection, in the shape of OpenAI's API."""

import json
import select
import socket
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from queue import Empty, Full
from typing import Any

from hybrid_latent.formats.parsed import parsed_json

from .connections import HTTPServer
from .errors import APIError
from .query import Query, chat_query, completion_query
from .responses import Response
from .worker import Job

_BODY = 8 * 2**20  # bytes
_SEND_S = 30.0  # for a client that does not read
_POLL_S = 0.2  # between looks at whether the client is still there
_RETRY_S = 2
_QUERIES = {
  '/v1/completions': completion_query,
  '/v1/chat/completions': chat_query,
}


class Handler(BaseHTTPRequestHandler):
  """The requests of one connection."""

  server: HTTPServer
  protocol_version = 'HTTP/1.1'
  server_version, sys_version = 'hybrid-latent', ''
  timeout = _SEND_S  # of each read and write
  disable_nagle_algorithm = True

  def handle_one_request(self) -> None:
    """Reads and answers one request."""
    self.server.expect_request(self.connection, True)
    try:
      super().handle_one_request()
    except OSError:  # the client is gone
      self.close_connection = True
    finally:
      self.server.expect_request(self.connection, False)

  def do_GET(self) -> None:
    """Health and models."""
    if {'Content-Length', 'Transfer-Encoding'} & {*self.headers}:
      self.close_connection = True  # its body is not read
    path = self._path()
    if path in _QUERIES:
      self._refuse(_not_allowed('POST'), {'Allow': 'POST'})
    elif path == '/health':
      draining = self.server.draining
      state = {'status': 'draining' if draining else 'ok'}
      self._send(503 if draining else 200, state)
    elif path in ('/v1/models', f'/v1/models/{self.server.model}'):
      model = {
        'id': self.server.model,
        'object': 'model',
        'created': self.server.created,
        'owned_by': 'hybrid_latent',
      }
      every = {'object': 'list', 'data': [model]}
      self._send(200, every if path == '/v1/models' else model)
    else:
      self._refuse(_not_found())

  def do_POST(self) -> None:
    """Completions and chat completions."""
    path = self._path()
    try:
      body = self._body()
      if path not in _QUERIES:
        known = path in ('/health', '/v1/models')
        raise _not_allowed('GET') if known else _not_found()
      if self.server.draining:
        raise APIError('the server is ending', 503, code='ending')
      with self.server.request_running():
        loaded, worker = self.server.loaded, self.server.worker
        make = _QUERIES[path]
        self._answer(make(loaded, self.server.model, worker.limit, body))
    except APIError as error:
      headers = {}
      if error.status in (429, 503):
        headers['Retry-After'] = str(_RETRY_S)
      self._refuse(error, headers)

  def _answer(self, query: Query) -> None:
    job = Job(query.rows)
    try:
      self.server.worker.submit(job)
    except Full:
      raise APIError(
        f'the queue is full, at most {self.server.worker.limit} completions '
        'wait: send the request again later',
        *(429, None, 'queue_full'),
      ) from None
    response = Response(query, self.server.model, self.server.vocabulary)
    try:
      if query.stream:
        self._stream(job, response, query.include_usage)
      else:
        for _ in self._chunks(job, response):
          pass
        self._send(200, response.body())
    finally:
      job.end()

  def _stream(self, job: Job, response: Response, usage: bool) -> None:
    """Server-sent events, up to the end of the connection."""
    self.close_connection = True
    self.send_response(200)
    self.send_header('Content-Type', 'text/event-stream')
    self.send_header('Cache-Control', 'no-cache')
    self.send_header('Connection', 'close')
    self.end_headers()
    try:
      for chunk in self._chunks(job, response):
        self._event(chunk)
      if usage:
        self._event(response.usage_chunk())
    except APIError as error:  # the status has been sent
      self._event(error.body())
    self.wfile.write(b'data: [DONE]\n\n')

  def _event(self, value: Any) -> None:
    self.wfile.write(b'data: ' + _json(value) + b'\n\n')

  def _chunks(self, job: Job, response: Response) -> Iterator[dict[str, Any]]:
    """The chunks of the pieces of a job. ConnectionError where the client is
    gone, which ends the job."""
    while not response.is_complete:
      if self._is_gone():
        raise ConnectionError
      try:
        piece = job.pieces.get(timeout=_POLL_S)
      except Empty:
        continue
      chunk, ends = response.add(piece)
      if ends:
        job.end(piece.row)
      if chunk:
        yield chunk

  def _is_gone(self) -> bool:
    """Whether the client has closed its side of the connection."""
    readable, *_ = select.select([self.connection], [], [], 0)
    return bool(readable) and not self.connection.recv(1, socket.MSG_PEEK)

  def _path(self) -> str:
    return self.path.partition('?')[0]

  def _body(self) -> Any:
    """The JSON of the body. APIError for another body, after which the
    connection is closed, as the rest of it is not read."""
    keep, self.close_connection = self.close_connection, True
    lengths = self.headers.get_all('Content-Length', [])
    if 'Transfer-Encoding' in self.headers or len(lengths) != 1:
      raise APIError('the body needs one header Content-Length', 411)
    if not (lengths[0].isascii() and lengths[0].isdecimal()):
      raise APIError('Content-Length is no number of bytes')
    if len(lengths[0]) > 12 or int(lengths[0]) > _BODY:
      raise APIError(f'the body has more than {_BODY} bytes', 413)
    if self.headers.get_content_type() != 'application/json':
      raise APIError('Content-Type is not application/json', 415)
    data = self.rfile.read(int(lengths[0]))
    if len(data) < int(lengths[0]):
      raise ConnectionError
    self.server.expect_request(self.connection, False)
    self.close_connection = keep
    try:
      return parsed_json(data.decode())
    except ValueError as error:
      text = f'the body is no JSON in UTF-8: {error!s:.200}'
      raise APIError(text, code='invalid_json') from None

  def _refuse(self, error: APIError, headers: Mapping[str, str] = {}) -> None:
    self._send(error.status, error.body(), headers)

  def _send(
    self, status: int, value: Any, headers: Mapping[str, str] = {}
  ) -> None:
    data = _json(value)
    self.send_response(status)
    self.send_header('Content-Type', 'application/json')
    self.send_header('Content-Length', str(len(data)))
    for name, text in headers.items():
      self.send_header(name, text)
    if self.close_connection or self.server.draining:
      self.close_connection = True
      self.send_header('Connection', 'close')
    self.end_headers()
    if self.command != 'HEAD':
      self.wfile.write(data)

  def send_error(
    self, code: int, message: str | None = None, explain: str | None = None
  ) -> None:
    """The answer to what is no request that this server knows."""
    self.close_connection = True
    status = {501: 405, 505: 400}.get(code, int(code))
    self._refuse(APIError(HTTPStatus(status).phrase, status))

  def log_message(self, *args: object) -> None:
    """Nothing: a log of requests is the work of a proxy."""


def _not_found() -> APIError:
  accepted = [*_QUERIES, '/v1/models', '/health']
  return APIError(f'there is no such path: accepted are {accepted}', 404)


def _not_allowed(method: str) -> APIError:
  return APIError(f'the method of this path is {method}', 405)


def _json(value: Any) -> bytes:
  return json.dumps(value, allow_nan=False).encode()
