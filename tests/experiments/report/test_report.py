import json
import re
import sys
import xml.etree.ElementTree as ET
from html.parser import HTMLParser

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.image import imread

from experiments.report import __main__ as report
from experiments.report.charts import COLOURS, Chart, Points
from experiments.report.curves import training_curves
from experiments.report.page import curves_png, html_report, summary_table
from experiments.report.run_folders import seed_groups
from experiments.report.smoothing import (
  downsample,
  identical_curves,
  smooth,
  smoothing_width,
)
from experiments.report.step_times import step_times_html
from experiments.report.svg import svg
from hybrid_latent.telemetry import Telemetry

HOSTILE = '<script>alert(1)</script><img src=x onerror="alert(2)">&\'"\n'


@pytest.fixture
def runs(tmp_path):
  """Two runs of thirty steps; the second thinks in latents."""
  for name, latent in (('grpo', 0.0), ('hrpo', 0.2)):
    with Telemetry(tmp_path / name, trackers=()) as telemetry:
      for step in range(30):
        metrics = {'reward': step / 30, 'kl': float('nan'), 'grad_norm': 2.0}
        times = {'time/decode': 3.0, 'time/idle': 1.0, 'time/step': 4.0}
        telemetry.log(step, {**metrics, 'hidden_ratio': latent, **times})
        tokens = {'tokens': [HOSTILE, ' 4'], 'latent': [latent, latent / 2]}
        texts = {'prompt': HOSTILE, 'completion': HOSTILE, 'answer': HOSTILE}
        telemetry.completions(step, [{**texts, **tokens, 'reward': 1.0}])
      telemetry.log(29, {'eval/accuracy': 0.75})
  return {name: tmp_path / name for name in ('grpo', 'hrpo')}


@pytest.fixture
def page(runs, tmp_path):
  path = tmp_path / 'report.html'
  table = [{'run': HOSTILE, 'steps': 1200, 'reward': 2 / 3}, {'run': 'b'}]
  html_report(path, title=HOSTILE, intro='One.\n\nTwo.', table=table, runs=runs)
  return path.read_text('utf-8')


class Tags(HTMLParser):
  """All tags of a page, and that they nest."""

  def __init__(self, page):
    super().__init__()
    self.tags, self.attributes, self.stack = set(), set(), []
    self.feed(page)

  def handle_starttag(self, tag, attrs):
    self.tags.add(tag)
    self.attributes |= {name for name, _ in attrs}
    if tag != 'meta':
      self.stack.append(tag)

  def handle_startendtag(self, tag, attrs):
    self.tags.add(tag)

  def handle_endtag(self, tag):
    assert self.stack.pop() == tag


def test_pictures_stand_above_the_text(runs, tmp_path):
  series = {'accuracy': Points(np.zeros(1), np.zeros(1))}
  chart, path = Chart('a', 'First', '', series), tmp_path / 'report.html'
  about = {'title': '', 'intro': 'One.', 'table': [{'run': 'a'}]}
  html_report(path, **about, runs=runs, pictures=[chart])
  page = path.read_text()
  places = [*map(page.index, ('<b>First', '<p>One.', '<table', '<h2>Curv'))]
  assert places == sorted(places) and not Tags(page).stack


def test_text_from_a_model_is_only_text(page):
  found = Tags(page)
  assert not found.stack
  assert not found.tags & {'script', 'img', 'link', 'iframe'}
  assert 'onerror' not in found.attributes and 'src' not in found.attributes
  assert page.count('&lt;script&gt;alert(1)&lt;/script&gt;') > 8
  assert "default-src 'none'" in page
  assert 'http' not in page.replace('http-equiv', '')


def test_the_page_opens_with_what_was_run_and_how_it_went(page):
  order = ['<p>One.</p><p>Two.</p>', '<table>', '<svg', 'class="bar"', '<i ']
  places = [page.index(part) for part in order]
  assert places == sorted(places)
  assert '<td class="number">1200</td><td class="number">0.6667</td>' in page
  assert '<td class="number">–</td>' in page  # what a row does not have


def test_the_colours_of_charts_are_the_light_ones_of_the_page(page):
  for colour, variable in COLOURS.items():
    assert f'{variable[4:-1]}: light-dark({colour},' in page


def test_every_metric_that_changes_has_a_chart(page):
  titles = re.findall('<figcaption><b>(.*?)</b>', page)
  assert titles == ['Accuracy', 'Reward', 'Latent share']
  assert '>The same in all steps: grad_norm = 2</p>' in page
  for drawn in re.findall('<svg.*?</svg>', page, re.DOTALL):
    ET.fromstring(drawn)


def test_tokens_are_shaded_on_the_same_scale_on_every_page(page):
  shades = re.findall('<i style="--l:(.*?)" data-tip="latent (.*?)">', page)
  scale = [0.0, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0]
  assert shades[:7] == [(f'{x**0.5:.2f}', f'{x:.3f}') for x in scale]
  # Two tokens of the first, the middle and the last step of either run.
  assert (
    shades[7:]
    == [('0.00', '0.000')] * 6 + [*(('0.45', '0.200'), ('0.32', '0.100'))] * 3
  )


def test_a_bar_shows_where_a_step_spends_its_time(page):
  assert page.count('decode <b>3 s</b> 75%') == 2
  assert page.count('style="width:75.000%"') == 2
  assert page.count('4 s per step, the median of 29; 1 that compiled left') == 2


def test_steps_that_compile_are_no_part_of_the_step_time():
  row = lambda step, seconds, programs: {
    'step': step,
    'time/step': seconds,
    'time/decode': seconds,
    'compilations': programs,
  }
  # A slow step that compiles nothing counts.
  resumed = [row(i, 3.4 + i % 2, int(i % 5 == 0)) for i in range(20)]
  old = [{'step': i, 'time/step': 9.0 - i} for i in range(4)]
  bar = step_times_html(
    {'a': resumed, 'b': [row(0, 7.0, 3)], 'c': [], 'd': old}
  )
  assert '3.9 s per step, the median of 16; 4 that compiled left out' in bar
  assert '7 s per step, the median of 1<' in bar and '>c<' not in bar
  assert '7 s per step, the median of 3; 1 that compiled left out' in bar


def test_outcome_is_the_last_tenth(runs):
  assert summary_table(runs)[1] == {
    'run': 'hrpo',
    'state': None,
    'steps': 30,
    'eval/accuracy': 0.75,
    'reward': pytest.approx((27 + 28 + 29) / 90),
    'hidden_ratio': pytest.approx(0.2),
  }


def test_the_picture_has_a_line_for_every_run(runs, tmp_path):
  curves_png(tmp_path / 'curves.png', runs)
  pixels = imread(tmp_path / 'curves.png')[..., :3]
  for colour in [*COLOURS][:2]:
    assert (np.abs(pixels - to_rgb(colour)).max(-1) < 0.02).sum() > 200


def test_a_run_without_completions_has_a_page(runs, tmp_path):
  (runs['grpo'] / 'completions.jsonl').unlink()
  path = tmp_path / 'page.html'
  html_report(path, title='', intro='', table=[], runs={'a': runs['grpo']})
  assert '<svg' in path.read_text() and '<i ' not in path.read_text()


def test_what_is_no_run_is_named(tmp_path):
  with pytest.raises(FileNotFoundError, match='nowhere/metrics'):
    summary_table({'a': tmp_path / 'nowhere'})


def test_the_command(runs, tmp_path, monkeypatch, capsys):
  out = tmp_path / 'out.html'
  names = ','.join(map(str, runs.values()))
  monkeypatch.setattr(sys, 'argv', ['', f'--runs={names}', f'--out={out}'])
  report.main()
  assert '<td>hrpo</td><td>–</td><td class="number">30</td>' in out.read_text()
  assert capsys.readouterr().out == (
    f'2 runs: grpo, hrpo\nwrote {out}; open it in a browser: {out.as_uri()}\n'
  )


def test_smoothing_neither_shifts_nor_invents():
  line = np.arange(90.0)
  np.testing.assert_allclose(smooth(line)[20:70], line[20:70], atol=1e-6)
  np.testing.assert_allclose(smooth(np.full(9, 2.0)), 2.0)
  gap = np.where(np.arange(90) == 50, np.nan, 1.0)
  assert np.isnan(smooth(gap)[50]) and np.nansum(smooth(gap)) == 89


def test_a_long_curve_keeps_its_mean_and_its_last_step():
  steps, values = downsample(np.arange(2400.0), np.arange(2400.0), 240)
  assert len(steps) == 240 and steps[-1] == 2399
  assert values.mean() == 1199.5


def chart(values, steps=None, **fields):
  steps = np.arange(len(values)) if steps is None else steps
  points = Points(np.array(steps, float), np.array(values, float))
  return Chart('x', 'X', '', {'<a>': points}, **fields)


@pytest.mark.parametrize(
  'values',
  [
    [1.0000001, 1.0000009],
    [0.6912, 0.6913],
    [1e6 + 0.1, 1e6 + 0.9],
    [1e-7, 9e-7],
    [-1e30, 1e30],
    [1e300, float('nan'), -1e300],
  ],
)
@pytest.mark.parametrize('along', ['x', 'y'])
def test_ticks_have_labels_of_their_own(values, along):
  if along == 'y':
    drawn = svg(chart(values))
  else:
    drawn = svg(chart(np.ones(len(values)), values, kind='dots', x='tokens'))
  anchor = 'middle' if along == 'x' else 'end'
  labels = re.findall(f'text-anchor:{anchor};[^>]*>(.*?)<', drawn)
  labels = [
    x for x in labels if x != 'tokens' and not x.startswith(('1e', '+'))
  ]
  assert len(set(labels)) == len(labels) >= 3
  assert max(map(len, labels)) < 8


def test_lines_that_coincide_are_named():
  steps, up = np.arange(30.0), np.linspace(0, 1, 30)
  series = {'a': Points(steps, up), 'b': Points(steps, up * 2)}
  series['c'] = Points(steps, up.copy())
  assert identical_curves(series) == [['a', 'c']]
  assert smoothing_width(series) == '1 steps'
  assert smoothing_width({'a': Points(steps[:5], up[:5])}) == ''


@pytest.mark.parametrize('values', [[0.0], [3.0, 3.0], [float('nan'), 1e9]])
def test_a_chart_of_hardly_anything(values):
  drawn = svg(chart(values))
  assert drawn.count('<use ') == np.isfinite(values).sum()
  assert 'nan' not in drawn
  assert '&lt;a&gt;' in drawn
  ET.fromstring(drawn)


def test_runs_that_differ_in_the_seed_are_one_line_in_a_band(runs, tmp_path):
  for seed, name in enumerate(runs):
    about = {'config': {'max_steps': 30, 'seed': seed}}
    (runs[name] / 'config.json').write_text(json.dumps(about))
  found = seed_groups({f'a, seed={i}': x for i, x in enumerate(runs.values())})
  assert found == {'a (2 seeds)': ['a, seed=0', 'a, seed=1']}
  metrics = {
    'x': [{'step': 0, 'loss': 1.0}, {'step': 1, 'loss': None}],
    'y': [{'step': 0, 'loss': 4.0}, {'step': 2, 'loss': 2.0}],
  }
  points = training_curves(metrics, {'xy': ['x', 'y']}).first[0].series['xy']
  np.testing.assert_allclose(points.x, [0, 1, 2])
  np.testing.assert_allclose(points.y, [2.5, np.nan, 2])
  # The standard error of 1 and 4: sqrt(4.5 / 2).
  np.testing.assert_allclose(points.high, [4.0, np.nan, np.nan])


def test_evaluations_are_marks_on_the_curve_of_their_metric():
  rows = [{'step': i, 'rewards/gsm8k/mean': i / 9} for i in range(9)]
  rows += [{'step': 4, 'eval/gsm8k': 0.5, 'eval/svamp/accuracy': 0.25}]
  curves = training_curves({'a': rows}, {'a': ['a']})
  (only,) = curves.more
  assert only.marks['a'].y.tolist() == [0.5]
  assert 'diamonds: evaluations' in only.note
  assert [chart.title for chart in curves.first] == ['Accuracy on svamp']


def test_forty_runs_are_a_page_below_2_mb(tmp_path):
  rng, runs = np.random.default_rng(0), {}
  for i in range(40):
    runs[f'{i} {HOSTILE} {"long " * 20}'] = run = tmp_path / str(i)
    run.mkdir()
    rows = [
      {'step': step} | {f'm{j}': float(rng.normal()) for j in range(8)}
      for step in range(60)
    ]
    text = {'prompt': 'x' * 9999, 'tokens': ['a'] * 999, 'latent': [0.1] * 999}
    files = {'metrics': rows, 'completions': [{'step': 0} | text] * 4}
    for name, some in files.items():
      lines = ''.join(f'{json.dumps(row)}\n' for row in some)
      (run / f'{name}.jsonl').write_text(lines)
  path = tmp_path / 'page.html'
  html_report(path, title='', intro='', table=[], runs=runs)
  assert 300_000 < path.stat().st_size < 2_000_000
  assert not Tags(path.read_text()).stack
