"""A headless Chromium that is driven over the DevTools protocol, by a pipe."""

import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
from base64 import b64decode
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = next(
  filter(None, map(shutil.which, ('chromium', 'google-chrome', 'chrome'))), None
)
needs_chromium = pytest.mark.skipif(not CHROMIUM, reason='no chromium in PATH')


class Page:
  """A page of a browser of its own; a context manager. `messages` are its
  errors, and all that its scripts wrote to the console."""

  def __init__(
    self,
    profile: Path,
    *,
    width: int = 1280,
    height: int = 800,
    dark: bool = False,
  ):
    self.messages: list[str] = []
    self._ids = itertools.count(1)
    self._loaded = False
    ours, theirs = socket.socketpair()
    ours.settimeout(60)
    number = theirs.fileno()
    self._process = subprocess.Popen(
      [
        *('bash', '-c', f'exec "$0" "$@" 3<&{number} 4>&{number}', CHROMIUM),
        *('--headless=new', '--no-sandbox', '--remote-debugging-pipe'),
        *('--disable-gpu', '--hide-scrollbars', f'--user-data-dir={profile}'),
        *('--no-first-run', '--disable-background-networking'),
      ],
      pass_fds=[number],
      stdout=subprocess.DEVNULL,
      stderr=subprocess.DEVNULL,
      start_new_session=True,
    )
    theirs.close()
    self._socket, self._received = ours, b''
    self._session = None
    target = self.send('Target.createTarget', url='about:blank')['targetId']
    self._session = self.send(
      'Target.attachToTarget', targetId=target, flatten=True
    )['sessionId']
    for domain in 'Page', 'Runtime', 'Log', 'Network':
      self.send(f'{domain}.enable')
    self.send(
      'Emulation.setDeviceMetricsOverride',
      width=width,
      height=height,
      deviceScaleFactor=1,
      mobile=width < 600,
    )
    scheme = {'name': 'prefers-color-scheme', 'value': 'light'}
    scheme['value'] = 'dark' if dark else 'light'
    self.send('Emulation.setEmulatedMedia', features=[scheme])

  def __enter__(self) -> 'Page':
    return self

  def __exit__(self, *_) -> None:
    os.killpg(self._process.pid, signal.SIGKILL)
    self._process.wait()
    self._socket.close()

  def send(self, method: str, **params) -> dict[str, Any]:
    """The result of a command; events that come before it are kept."""
    call: dict[str, Any] = {'id': next(self._ids), 'method': method}
    call['params'] = params
    if self._session:
      call['sessionId'] = self._session
    self._socket.sendall(json.dumps(call).encode() + b'\0')
    while True:
      message = self._receive()
      if message.get('id') == call['id']:
        assert 'error' not in message, (method, message)
        return message['result']

  def open(self, url: str) -> None:
    """Goes to a page and waits until it has loaded; at once where only the
    fragment of the address changes."""
    self._loaded = False
    gone = self.send('Page.navigate', url=url)
    while 'loaderId' in gone and not self._loaded:
      self._receive()

  def run(self, expression: str) -> Any:
    """The value of a JavaScript expression, a promise's when it is there."""
    result = self.send(
      'Runtime.evaluate',
      expression=expression,
      awaitPromise=True,
      returnByValue=True,
    )
    assert 'exceptionDetails' not in result, result
    return result['result'].get('value')

  def wait(self, condition: str) -> None:
    """Waits until a JavaScript expression is true, ten seconds at most."""
    found = self.run(
      'new Promise((done) => { const begin = Date.now(); const check = () => {'
      f'if ({condition}) done(true); else if (Date.now() - begin > 10000) '
      'done(false); else setTimeout(check, 20); }; check(); })'
    )
    assert found, f'{condition}: {self.run("document.body.innerText")[:2000]}'

  def press(self, *keys: str) -> None:
    """Presses keys, each a letter or a name such as ArrowRight."""
    for key in keys:
      text = {'text': key} if len(key) == 1 else {}
      text = {'text': '\r'} if key == 'Enter' else text
      codes = {'Enter': 13, 'Escape': 27, 'Tab': 9}
      fields = {'key': key, 'windowsVirtualKeyCode': codes.get(key, 0)} | text
      self.send('Input.dispatchKeyEvent', type='keyDown', **fields)
      self.send('Input.dispatchKeyEvent', type='keyUp', key=key)

  def move(self, x: float, y: float) -> None:
    """Moves the pointer, in CSS pixels."""
    self.send('Input.dispatchMouseEvent', type='mouseMoved', x=x, y=y)

  def screenshot(self, path: str | Path) -> None:
    """Writes what is seen as a PNG."""
    data = self.send('Page.captureScreenshot', format='png')['data']
    Path(path).write_bytes(b64decode(data))

  def _receive(self) -> dict[str, Any]:
    while b'\0' not in self._received:
      received = self._socket.recv(1 << 20)
      assert received, 'the browser has ended'
      self._received += received
    line, _, self._received = self._received.partition(b'\0')
    message = json.loads(line)
    params = message.get('params', {})
    match message.get('method'):
      case 'Page.loadEventFired':
        self._loaded = True
      case 'Runtime.consoleAPICalled':
        self.messages.append(json.dumps(params['args']))
      case 'Runtime.exceptionThrown':
        self.messages.append(json.dumps(params['exceptionDetails']))
      case 'Log.entryAdded':
        self.messages.append(json.dumps(params['entry']))
    return message
