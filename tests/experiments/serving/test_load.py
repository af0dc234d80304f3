"""Many clients, clients that leave, and the end of the server."""

import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress

import pytest

from experiments.serving import connections, worker
from experiments.serving.http_server import running
from tests.experiments.serving.live import TYPE, events, request

TEXT = '/v1/completions'
GREEDY = {'temperature': 0, 'max_tokens': 12}
POST = (
  'POST {} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n'
  'Content-Length: {}\r\n\r\n{}'
)


def post(body, path=TEXT) -> bytes:
  data = json.dumps(body)
  return POST.format(path, len(data), data).encode()


def connect(http):
  return socket.create_connection(('127.0.0.1', http.server_port), timeout=30)


def received(connection) -> bytes:
  data = b''
  with suppress(ConnectionResetError):
    while part := connection.recv(65536):
      data += part
  return data


def is_healthy(http):
  return request(http.server_port, '/health')[0] == 200


@contextmanager
def held(monkeypatch):
  """A worker that waits before each batch until the event is set."""
  event, decode = threading.Event(), worker.Worker._decode

  def wait(self, batch):
    assert event.wait(30)
    decode(self, batch)

  monkeypatch.setattr(worker.Worker, '_decode', wait)
  yield event
  event.set()


def test_fifty_requests_at_once(http):
  prompts = [f'{i} + 1 =' for i in range(5)] * 10
  ask = lambda prompt: request(
    http.server_port, TEXT, {'prompt': prompt, **GREEDY}
  )
  alone = {prompt: ask(prompt) for prompt in prompts[:5]}
  with ThreadPoolExecutor(50) as pool:
    found = [*pool.map(ask, prompts)]
  assert [status for status, *_ in found] == [200] * 50
  for prompt, (_, _, answer) in zip(prompts, found, strict=True):
    assert answer['choices'] == alone[prompt][2]['choices']


def test_a_full_queue(server, monkeypatch):
  body = {'prompt': '1 +', **GREEDY, 'n': 2}
  with (
    held(monkeypatch) as go,
    running(server, '127.0.0.1', 0, 4) as http,
    ThreadPoolExecutor(8) as pool,
  ):
    ask = lambda: request(http.server_port, TEXT, body)
    started = [pool.submit(ask)]
    until(lambda: http._running and not http.worker._waiting)
    started += [pool.submit(ask) for _ in range(2)]
    until(lambda: len(http.worker._waiting) == 4)
    status, headers, found = ask()
    assert status == 429 and int(headers['Retry-After']) > 0
    assert found['error']['code'] == 'queue_full'
    go.set()
    assert [x.result()[0] for x in started] == [200] * 3
    assert ask()[0] == 200


def until(condition):
  deadline = time.monotonic() + 20
  while not condition():
    assert time.monotonic() < deadline
    time.sleep(0.01)


@pytest.mark.parametrize('stream', [False, True])
def test_a_client_that_leaves_is_not_decoded(stream, server, monkeypatch):
  jobs = []
  submit = worker.Worker.submit
  spy = lambda self, job: jobs.append(job) or submit(self, job)
  monkeypatch.setattr(worker.Worker, 'submit', spy)
  with (
    held(monkeypatch) as go,
    running(server, '127.0.0.1', 0, 64) as http,
  ):
    connection = connect(http)
    connection.sendall(post({'prompt': '1 +', 'stream': stream, **GREEDY}))
    until(lambda: jobs)
    assert jobs[0].wants(0)
    connection.close()
    until(lambda: not jobs[0].wants(0))
    go.set()
    assert request(http.server_port, TEXT, {'prompt': '2', **GREEDY})[0] == 200
  assert jobs[0].pieces.empty()


def test_the_end_of_the_server(server, monkeypatch):
  """It answers what runs and refuses what is new."""
  answers = []
  with (
    ThreadPoolExecutor(8) as pool,
    held(monkeypatch) as go,
    running(server, '127.0.0.1', 0, 64) as http,
  ):
    body = {'prompt': '1 +', **GREEDY}
    first = pool.submit(request, http.server_port, TEXT, body)
    until(lambda: http._running == 1)
    idle = connect(http)

    def late():
      until(lambda: http.draining)
      answers.append(request(http.server_port, TEXT, body))
      go.set()

    second = pool.submit(late)
  second.result()
  assert first.result()[0] == 200
  status, headers, found = answers[0]
  assert status == 503 and found['error']['message'] == 'the server is ending'
  assert headers['Connection'] == 'close' and 'Retry-After' in headers
  idle.close()
  with pytest.raises(OSError):
    connect(http)


def test_a_failure_of_the_worker(server, monkeypatch, caplog):
  def fail(self, rows, prompt):
    raise RuntimeError('out of memory at /home/me')

  with running(server, '127.0.0.1', 0, 64) as http:
    with monkeypatch.context() as patch:
      patch.setattr(worker.Worker, '_stream', fail)
      body = {'prompt': '1 +', **GREEDY}
      status, _, found = request(http.server_port, TEXT, body)
      assert status == 500
      assert found['error'] == {
        'message': 'the server failed to decode this request',
        'type': 'server_error',
        'param': None,
        'code': None,
      }
      (event,) = events(http.server_port, TEXT, body)
      assert event == found
    assert 'out of memory' in caplog.text  # of the server alone
    assert request(http.server_port, TEXT, body)[0] == 200


HOSTILE = [
  b'\x00\xff' * 99 + b'\r\n',
  b'GET\r\n\r\n',
  b'GET / HTTP/9.9\r\n\r\n',
  b'GET /' + b'a' * 70_000 + b' HTTP/1.1\r\n\r\n',
  b'GET / HTTP/1.1\r\n' + b'A: b\r\n' * 200 + b'\r\n',
  b'GET / HTTP/1.1\r\nA: ' + b'b' * 70_000 + b'\r\n\r\n',
  b'POST /v1/completions HTTP/1.1\r\nContent-Length: 2\r\n'
  b'Content-Length: 3\r\n\r\n{}',
]


@pytest.mark.parametrize('data', HOSTILE, ids=range(len(HOSTILE)))
def test_what_is_no_request(data, http):
  with connect(http) as connection:
    with suppress(OSError):
      connection.sendall(data)
    answer = received(connection)
  if answer:
    body = answer.partition(b'\r\n\r\n')[2] or answer
    assert json.loads(body)['error']['type'] == 'invalid_request_error'
  assert is_healthy(http)


def test_pipelined_requests_are_answered_in_order(http):
  with connect(http) as connection:
    each = [post({'prompt': '1 +', **GREEDY, 'max_tokens': i}) for i in (3, 5)]
    last = b'GET /health HTTP/1.1\r\nConnection: close\r\n\r\n'
    connection.sendall(b''.join([*each, last]))
    answer = received(connection).decode()
  bodies = [part.partition('\r\n\r\n')[2] for part in answer.split('HTTP/1.1')]
  found = [json.loads(body) for body in bodies[1:]]
  tokens = [x['usage']['completion_tokens'] for x in found[:2]]
  assert tokens == [3, 5] and found[2] == {'status': 'ok'}


def test_a_body_that_ends_early(http):
  with connect(http) as connection:
    connection.sendall(post({'prompt': '1 +'})[:-3])
    connection.shutdown(socket.SHUT_WR)
    assert received(connection) == b''
  assert is_healthy(http)


def test_a_client_that_sends_a_byte_now_and_then(http, monkeypatch):
  monkeypatch.setattr(connections, '_RECEIVE_S', 0.4)
  start = time.monotonic()
  with connect(http) as connection, suppress(OSError):
    for byte in post({'prompt': '1 +'}) * 9:
      connection.sendall(bytes([byte]))
      time.sleep(0.05)
  assert time.monotonic() - start < 5
  assert is_healthy(http)


def test_a_connection_too_many(server, monkeypatch):
  monkeypatch.setattr(connections, '_CONNECTIONS', 1)
  with running(server, '127.0.0.1', 0, 64) as http:
    with connect(http) as first:
      first.sendall(b'GET /health HTTP/1.1\r\n')
      with connect(http) as second:
        assert received(second) == b''
    until(lambda: http._room._value == 1)
    assert is_healthy(http)


def test_a_type_for_json(http):
  """What a form of a web page may send is no request."""
  assert TYPE == {'Content-Type': 'application/json'}
  status, _, _ = request(
    http.server_port, TEXT, b'{"prompt": "1"}', Content_Type='text/plain'
  )
  assert status == 415
