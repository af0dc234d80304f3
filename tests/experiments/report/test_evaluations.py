import csv
import itertools
import json
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from matplotlib.image import imread

from experiments.report.evaluations import evaluations
from experiments.report.figures import write_figures, write_tables
from experiments.report.page import html_report
from hybrid_latent.measures.accuracy import grades_of
from tests.experiments.report.records import write_record
from tests.experiments.report.test_report import HOSTILE, Tags

NAMES = ['accuracy_tokens', 'pass_at_k', 'controls', 'latent_share',
         'span_starts', 'entropy']  # fmt: skip
TEXTS = f'{HOSTILE}\u202e\u2066\0\x1b[31m\ud800$x$'


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  folder = tmp_path_factory.mktemp('eval')
  write_record(folder)
  return folder


def rows_of(folder):
  lines = (folder / 'samples.jsonl').read_text().splitlines()
  return [json.loads(line) for line in lines]


def test_a_chart_has_the_numbers_of_the_record(folder):
  found = evaluations({'a': folder})
  charts = {chart.name: chart for chart in found.charts}
  assert [*charts] == NAMES and found.arms == ['base', 'hrpo', 'hyrea']
  rows = rows_of(folder)
  own = [row for row in rows if row['arm'] == 'hyrea']
  point = charts['accuracy_tokens'].series['hyrea']
  correct, tokens = (
    np.mean([row[name] for row in own]) for name in ('correct', 'num_tokens')
  )
  np.testing.assert_allclose([point.x[0], point.y[0]], [tokens, correct])
  assert point.low[0] < correct < point.high[0]
  # pass@2 by enumeration of the pairs.
  pairs = [
    max(pair)
    for grades in grades_of(own).values()
    for pair in itertools.combinations(grades, 2)
  ]
  curve = charts['pass_at_k'].series['hyrea']
  np.testing.assert_allclose(curve.y[:2], [correct, np.mean(pairs)])
  paused = [row['correct'] for row in rows if row['arm'] == 'hyrea/pause']
  controls = charts['controls'].series['hyrea']
  np.testing.assert_allclose(controls.y[[0, 2]], [correct, np.mean(paused)])
  # HRPO reads latents in the first two thirds, a tenth of each input.
  share = charts['latent_share'].series['hrpo']
  np.testing.assert_allclose(share.y[[0, -1]], [0.1, 0], atol=1e-9)
  spans = charts['span_starts'].series
  assert spans['hrpo'].y.tolist() == [1.0, *[0.0] * 9]
  assert not len(spans['base'].x) and spans['hyrea'].y.sum() == pytest.approx(1)


def test_the_front_is_of_arms_that_no_other_beats(folder):
  front = evaluations({'a': folder}).charts[0].front
  assert (np.diff(front.x) >= 0).all() and (np.diff(front.y) >= 0).all()


def test_arms_of_the_same_name_are_told_apart_by_their_folders(folder):
  found = evaluations({'x': folder, 'y': folder})
  assert found.arms[:4] == ['x/base', 'x/hrpo', 'x/hyrea', 'y/base']
  assert {row['dataset'] for row in found.more['Given answers']} == {'arc'}


def test_a_record_without_rows_has_a_page(tmp_path):
  (tmp_path / 'samples.jsonl').write_text('')
  path = tmp_path / 'page.html'
  html_report(path, title='', intro='', table=[], runs={'a': tmp_path})
  assert '<figure>' not in path.read_text()


def test_text_of_a_record_is_only_text(tmp_path):
  run = tmp_path / '<b>run'
  write_record(run, text=TEXTS, datasets=(TEXTS, 'b'), problems=2, samples=2)
  (run / 'traces.html').write_text('')
  path = tmp_path / 'page.html'
  html_report(path, title=TEXTS, intro='', table=[], runs={TEXTS: run})
  page = path.read_text()
  tags = Tags(page)
  assert not tags.stack and not tags.tags & {'script', 'img', 'link'}
  assert 'href="./%3Cb%3Erun/traces.html"' in page
  assert page.count('<figure>') == 2 * len(NAMES)


def test_the_files_of_charts_and_tables(folder, tmp_path):
  found = evaluations({'a': folder})
  series = {f'{TEXTS} {name}': x for name, x in found.charts[1].series.items()}
  chart = found.charts[1]._replace(name='a/../b c', title=TEXTS, series=series)
  write_figures(tmp_path, [chart])
  write_tables(tmp_path, {'Results': found.results, 'none': []})
  assert {path.name for path in tmp_path.iterdir()} == {
    *('a_.._b_c.png', 'a_.._b_c.svg', 'a_.._b_c.csv'),
    *('results.csv', 'results.tex'),
  }
  assert np.ptp(imread(tmp_path / 'a_.._b_c.png')[..., 0]) > 0.5
  drawn = ET.parse(tmp_path / 'a_.._b_c.svg')
  text = ''.join(drawn.getroot().itertext())
  assert '<script>alert(1)' in text and '\u202e' not in text
  with (tmp_path / 'a_.._b_c.csv').open(encoding='utf-8') as file:
    rows = [*csv.DictReader(file)]
  assert [row['x'] for row in rows] == ['1.0', '2.0', '4.0'] * 3
  with (tmp_path / 'results.csv').open() as file:
    rows = [*csv.DictReader(file)]
  assert [row['arm'] for row in rows] == found.arms
  assert float(rows[2]['accuracy']) == found.results[2]['accuracy']
  assert r'\toprule' in (tmp_path / 'results.tex').read_text()
