"""A record as the compact data of its page: an index, and a trace per sample.

The index has what is listed, filtered, sorted and searched. A trace has the
rest, with lists per token; it is JSON, compressed and in base64, which a page
decodes when it shows the sample. Numbers per token have three digits, shares of
near tokens four decimals.
"""

import base64
import json
import math
import re
import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..evaluation.record import Sample

_ARM = (
  *('arm', 'model', 'feedback', 'mode', 'control', 'budget'),
  'sampling',
)
_QUESTION = 'dataset', 'prompt', 'question', 'answer'
_LISTED = (
  *('sample', 'completion', 'parsed', 'correct', 'ungraded', 'reward'),
  *('truncated', 'num_tokens'),
)
_PER_SAMPLE = (
  *('rewards', 'terminated', 'forced_tokens', 'num_tokens_without_marks'),
  *('thinking_tokens', 'switches', 'first_position', 'ids', 'marks'),
)
_BINS = 40  # of the latent shares along a sample, in the index
# What would end an element or a line of the page, in JSON.
_ESCAPED = re.compile('[<>&\x7f-\x9f\u2028\u2029\ud800-\udfff]')


class Encoded(NamedTuple):
  """The data of a page."""

  # {'arms', 'questions', 'texts': [...], 'samples': {field: [...]}}; a field
  # `arm` or `question` of samples is a place in those lists, as are the tokens
  # of traces in `texts`.
  index: dict[str, Any]
  traces: list[str]  # per sample: base64(zlib(JSON))


def encode(records: Mapping[str, Iterable[Sample]]) -> Encoded:
  """The data of the samples of all records, folder -> rows. An arm whose name
  another record has too gets its folder's name after its own."""
  arms, questions, texts = _Table(), _Table(), _Table()
  folders: dict[str, str] = {}  # the first that has an arm of this name
  samples: dict[str, list] = {}
  traces = []
  for folder, rows in records.items():
    for row in rows:
      arm = {name: row[name] for name in _ARM}
      if folders.setdefault(row['arm'], folder) != folder:
        arm['arm'] += f' ({folder})'
      listed = {
        'arm': arms.place(arm),
        'question': questions.place({name: row[name] for name in _QUESTION}),
        **{name: row[name] for name in _LISTED},
        'mean_entropy': _mean(row['entropy']),
        'mean_latent_share': _mean(row['latent_share']),
        'latents': sum(row['latent']) + row.get('prefix_latents', 0),
        'shades': _shades(row['latent_share']),
      }
      for name, value in listed.items():
        samples.setdefault(name, []).append(value)
      text = json.dumps(_trace(row, texts), separators=(',', ':'))
      packed = zlib.compress(text.encode())
      traces.append(base64.b64encode(packed).decode())
  index = {
    'arms': arms.values,
    'questions': questions.values,
    'texts': texts.values,
    'samples': samples,
  }
  return Encoded(index, traces)


def json_in_html(value: Any) -> str:
  """JSON that is inert within <script type="application/json">."""
  text = json.dumps(value, ensure_ascii=False, separators=(',', ':'))
  return _ESCAPED.sub(lambda found: f'\\u{ord(found[0]):04x}', text)


class _Table:
  """Distinct values, in the order in which they came."""

  def __init__(self):
    self.values: list = []
    self._places: dict[str, int] = {}

  def place(self, value: Any) -> int:
    key = value if isinstance(value, str) else json.dumps(value)
    place = self._places.setdefault(key, len(self.values))
    if place == len(self.values):
      self.values.append(value)
    return place


def _trace(row: Sample, texts: _Table) -> dict[str, Any]:
  """What the index has not, tokens by their place in `texts`. `near` of a
  latent is [token, share, token, share, ...]."""

  def near(pairs: Iterable[tuple[str, float]]) -> list[float]:
    return [x for text, p in pairs for x in (texts.place(text), round(p, 4))]

  return {
    **{name: row[name] for name in _PER_SAMPLE},
    'tokens': [texts.place(text) for text in row['tokens']],
    'latent': [int(x) for x in row['latent']],
    **{
      name: [x if x is None else _digits(x) for x in row[name]]
      for name in ('entropy', 'log_prob', 'latent_share')
    },
    'near': [x and near(x) for x in row['near']],
    'prefix_near': [near(x) for x in row.get('prefix_near', [])],
  }


def _digits(number: float) -> float:
  rounded = float(f'{number:.3g}')
  return int(rounded) if rounded.is_integer() else rounded


def _mean(numbers: Sequence[float | None]) -> float | None:
  known = [x for x in numbers if x is not None]
  return _digits(math.fsum(known) / len(known)) if known else None


def _shades(shares: Sequence[float | None]) -> str:
  """A digit per stretch of the sample: nine times the square root of its mean
  latent share."""
  known = np.nan_to_num(np.array(shares, float))
  parts = np.array_split(known, min(_BINS, max(len(known), 1)))
  means = [part.mean() if part.size else 0.0 for part in parts]
  return ''.join(str(round(9 * min(max(x, 0.0), 1.0) ** 0.5)) for x in means)
