import base64
import collections
import hashlib
import json
import re
import sys
import zlib
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from experiments.evaluation.record import record_line
from experiments.traces import __main__ as traces
from experiments.traces.page import traces_html
from tests.experiments.traces.records import (
  HOSTILE,
  hostile_record,
  record,
  sample_row,
)

FOLDER = Path(traces.__file__).parent


class Elements(HTMLParser):
  """The elements of a page, and the text of each script and style."""

  def __init__(self, page: str):
    super().__init__()
    self.found: list[tuple] = []
    self.texts = collections.defaultdict(str)
    self._name = ''
    self.feed(page)

  def handle_starttag(self, tag, attrs):
    fields = dict(attrs)
    self.found.append((tag, *sorted(x for x in attrs if x[0] != 'content')))
    self._name = fields.get('id', tag)
    if fields.get('http-equiv') == 'Content-Security-Policy':
      self.policy = fields['content']

  def handle_endtag(self, tag):
    self._name = ''

  def handle_data(self, data):
    self.texts[self._name] += data


def decoded(page: str) -> list[dict]:
  """The rows that a page was made of, from its text alone."""
  texts = Elements(page).texts
  index, rows = json.loads(texts['index']), []
  word = index['texts'].__getitem__
  near = lambda flat: (
    flat
    and [[word(text), p] for text, p in zip(flat[::2], flat[1::2], strict=True)]
  )
  for number, packed in enumerate(texts['traces'].split('\n')):
    row = json.loads(zlib.decompress(base64.b64decode(packed, validate=True)))
    row |= {name: x[number] for name, x in index['samples'].items()}
    arm, question = (
      index[f'{name}s'][row.pop(name)] for name in ('arm', 'question')
    )
    row['tokens'] = [*map(word, row['tokens'])]
    for name in 'near', 'prefix_near':
      row[name] = [*map(near, row[name])]
    rows.append(row | arm | question)
  return rows


def test_the_page_has_the_record():
  rows = json.loads(json.dumps(record(2) + hostile_record()))
  rows[0]['entropy'][1] = rows[0]['log_prob'][0] = None
  for row, found in zip(rows, decoded(traces_html({'w': rows})), strict=True):
    for name in 'entropy', 'log_prob', 'latent_share':
      numbers = [np.array(x.pop(name), float) for x in (row, found)]
      np.testing.assert_allclose(*numbers, rtol=5.1e-3)
    for name in 'near', 'prefix_near':
      pairs = [
        [pair for near in x.pop(name, []) for pair in near or [('null', 0)]]
        for x in (row, found)
      ]
      texts, shares = zip(*(zip(*x, strict=True) if x else ((), ())
                            for x in pairs), strict=True)  # fmt: skip
      assert texts[0] == texts[1]
      np.testing.assert_allclose(*shares, atol=5.1e-5)
    row.pop('prefix_latents', None)
    assert {name: found[name] for name in row} == row


def test_the_index_sums_up_the_tokens():
  row = sample_row('hrpo', length=40)
  row['latent_share'] = [0.0] * 20 + [0.25] * 19 + [None]
  row['latent'] = [False] * 20 + [True] * 19 + [False]
  row['entropy'] = [None] + [2.0] * 39
  (found,) = decoded(traces_html({'w': [row]}))
  assert found['mean_entropy'] == 2
  assert found['mean_latent_share'] == round(0.25 * 19 / 39, 3)
  assert found['latents'] == 19
  # nine times the square root of 1/4 is 4.5, and Python rounds to even
  assert found['shades'] == '0' * 20 + '4' * 19 + '0'
  (found,) = decoded(traces_html({'w': [row | {'entropy': [None] * 40}]}))
  assert found['mean_entropy'] is None


def test_arms_of_two_records_have_two_names():
  rows = record(1)[:2]
  found = decoded(traces_html({'runs/a': rows[:1], 'runs/b': rows}))
  assert [row['arm'] for row in found] == ['base', 'base (runs/b)', 'hrpo']


def test_hostile_text_adds_no_element():
  plain = Elements(traces_html({'w': record(1)}))
  page = traces_html({'w': hostile_record()})
  hostile = Elements(page)
  assert hostile.found == plain.found
  assert [row['question'] for row in decoded(page)] == HOSTILE
  for name in 'index', 'traces':
    assert not re.search('[<>&\u2028\u2029]', hostile.texts[name])
  page.encode()  # no surrogate is left


def test_the_policy_allows_the_style_and_script_of_the_page_alone():
  elements = Elements(traces_html({'w': record(1)}))
  assert elements.policy.startswith("default-src 'none'; ")
  for name in 'style', 'script':
    digest = hashlib.sha256(elements.texts[name].encode()).digest()
    source = base64.b64encode(digest).decode()
    assert f"{name}-src 'sha256-{source}';" in elements.policy
  assert 'unsafe' not in elements.policy


def test_scripts_make_no_markup_of_text_and_no_request():
  for path in FOLDER.glob('*.js'):
    text = path.read_text()
    assert not re.search(
      r'innerHTML|outerHTML|insertAdjacent|document\.write|\beval\(|Function\('
      r'|fetch\(|XMLHttp|import\(|localStorage',
      text,
    )
    assert len(text.splitlines()) <= 300
    assert max(map(len, text.splitlines())) <= 80, path


def test_the_command_writes_the_page(tmp_path, monkeypatch, capsys):
  lines = ''.join(map(record_line, record(4, samples=3)))
  (tmp_path / 'samples.jsonl').write_text(lines)
  few = '--num_prompts=1', '--num_samples=2'
  for words, count in ((), 60), (few, 20):
    argv = ['traces', f'--record={tmp_path}', *words]
    monkeypatch.setattr(sys, 'argv', argv)
    traces.main()
    path = tmp_path / 'traces.html'
    assert path.as_uri() in capsys.readouterr().out
    rows = decoded(path.read_text())
    assert len(rows) == count
  assert {(r['dataset'], r['prompt'], r['sample']) for r in rows} == {
    *(('gsm8k', 0, 0), ('gsm8k', 0, 1), ('svamp', 1, 0), ('svamp', 1, 1))
  }


def test_a_page_is_not_written_over_a_folder(tmp_path, monkeypatch, capsys):
  (tmp_path / 'samples.jsonl').write_text('')
  for out, message in (
    (tmp_path, 'is a folder: write the name of a file'),
    (tmp_path / 'samples.jsonl/page.html', 'samples.jsonl is no folder: write'),
  ):
    argv = ['traces', f'--record={tmp_path}', f'--out={out}']
    monkeypatch.setattr(sys, 'argv', argv)
    with pytest.raises(SystemExit):
      traces.main()
    assert message in capsys.readouterr().err


@pytest.mark.parametrize('lines', [None, ''])
def test_a_record_without_samples_is_refused(lines, tmp_path, monkeypatch):
  if lines is not None:
    (tmp_path / 'samples.jsonl').write_text(lines)
  monkeypatch.setattr(sys, 'argv', ['traces', f'--record={tmp_path}'])
  with pytest.raises(SystemExit):
    traces.main()
  assert not (tmp_path / 'traces.html').exists()
