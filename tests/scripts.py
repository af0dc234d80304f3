"""Tests that run themselves as scripts, where a compiler keeps global state."""

import json
import os
import subprocess
import sys


def printed_by(file: str, *arguments: str) -> dict:
  """The JSON object that is the last line of what `file` prints."""
  ran = subprocess.run(
    [sys.executable, file, *arguments],
    env={**os.environ, 'PYTHONPATH': os.pathsep.join(sys.path)},
    capture_output=True,
    text=True,
  )
  assert ran.returncode == 0, ran.stderr
  return json.loads(ran.stdout.splitlines()[-1])
