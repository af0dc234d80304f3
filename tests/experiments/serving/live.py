"""A client of the standard library."""

import json
from http.client import HTTPConnection
from typing import Any

TYPE = {'Content-Type': 'application/json'}


def request(
  port: int, path: str, body: Any = None, method: str = '', **headers: str
) -> tuple[int, dict[str, str], Any]:
  """Status, headers and JSON of a response."""
  connection = HTTPConnection('127.0.0.1', port, timeout=60)
  data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
  method = method or ('GET' if body is None else 'POST')
  headers = {name.replace('_', '-'): text for name, text in headers.items()}
  connection.request(
    method, path, data, headers if body is None else TYPE | headers
  )
  response = connection.getresponse()
  found = json.loads(response.read() or 'null')
  connection.close()
  return response.status, dict(response.getheaders()), found


def events(port: int, path: str, body: dict) -> list[Any]:
  """The events of a stream, without the last one, which is [DONE]."""
  connection = HTTPConnection('127.0.0.1', port, timeout=60)
  data = json.dumps(body | {'stream': True})
  connection.request('POST', path, data, TYPE)
  response = connection.getresponse()
  assert response.status == 200
  assert response.headers['Content-Type'] == 'text/event-stream'
  *lines, done = response.read().decode().removesuffix('\n\n').split('\n\n')
  assert done == 'data: [DONE]'
  connection.close()
  return [json.loads(line.removeprefix('data: ')) for line in lines]
