"""The page of traces: one HTML file with its data, style and script."""

import base64
import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from string import Template

from ..evaluation.record import Sample
from .encoding import encode, json_in_html

# In the order in which they are read: each uses what is above it.
_SCRIPTS = 'record', 'text', 'state', 'list', 'trace', 'page', 'keys'


def traces_html(records: Mapping[str, Iterable[Sample]]) -> str:
  """The page of the samples of all records, folder -> rows. ValueError where
  there are none."""
  encoded = encode(records)
  if not encoded.traces:
    raise ValueError(
      f'--record: {", ".join(records)} have no samples: write an evaluation '
      'with at least one'
    )
  style = _source('traces.css')
  script = '\n'.join(_source(f'{name}.js') for name in _SCRIPTS)
  return Template(_source('traces.html')).substitute(
    policy=(
      f"default-src 'none'; style-src '{_digest(style)}'; "
      f"script-src '{_digest(script)}'; base-uri 'none'; form-action 'none'"
    ),
    style=style,
    script=script,
    index=json_in_html(encoded.index),
    traces='\n'.join(encoded.traces),
  )


def _source(name: str) -> str:
  return Path(__file__).with_name(name).read_text('utf-8')


def _digest(text: str) -> str:
  """The source expression of a content security policy."""
  digest = hashlib.sha256(text.encode()).digest()
  return f'sha256-{base64.b64encode(digest).decode()}'
