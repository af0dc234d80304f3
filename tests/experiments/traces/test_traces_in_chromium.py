"""The page of traces in a browser: what it shows, its keys and its address."""

import json

import pytest

from experiments.traces.page import traces_html
from tests.chromium import Page, needs_chromium
from tests.experiments.traces.records import HOSTILE, hostile_record, record

pytestmark = [pytest.mark.slow, needs_chromium]
ROWS = record(6, samples=2)
OF_ONE_QUESTION = '#arm=hyrea&dataset=gsm8k&prompt=2&sample=1'


@pytest.fixture(scope='module')
def url(tmp_path_factory):
  path = tmp_path_factory.mktemp('page') / 'traces.html'
  path.write_text(traces_html({'w': ROWS}), 'utf-8')
  return path.as_uri()


@pytest.fixture
def browser(tmp_path):
  with Page(tmp_path) as page:
    yield page
    assert page.messages == []


def read(page: Page, url: str) -> None:
  page.open('about:blank')
  page.open(url)
  page.wait("document.querySelector('.trace')")


def texts(page: Page, selector: str) -> list[str]:
  nodes = f'[...document.querySelectorAll({json.dumps(selector)})]'
  return page.run(f'{nodes}.map((node) => node.textContent)')


def address(page: Page) -> dict[str, str]:
  return page.run(
    'Object.fromEntries(new URLSearchParams(location.hash.slice(1)))'
  )


def test_it_opens_on_the_first_sample(browser, url):
  read(browser, url)
  assert texts(browser, '#count') == ['60 of 60 samples']
  first = ROWS[0]
  assert texts(browser, '#question blockquote') == [first['question']]
  assert texts(browser, '.trace .token') == first['tokens']
  assert address(browser) == {
    **{'arm': 'base', 'dataset': 'gsm8k', 'prompt': '0', 'sample': '0'}
  }


def test_it_filters_sorts_and_counts(browser, url):
  read(browser, url)
  right = [row for row in ROWS if row['correct']]
  browser.press('f')
  assert texts(browser, '#count') == [f'{len(right)} of 60 samples']
  browser.run("change({only_dataset: 'svamp'})")
  both = [row for row in right if row['dataset'] == 'svamp']
  assert texts(browser, '#count') == [f'{len(both)} of 60 samples']
  options = texts(browser, '#only_arm option')
  for arm in 'base', 'hrpo':
    assert f'arm: {arm} ({sum(row["arm"] == arm for row in both)})' in options
  wrong = [r for r in ROWS if r['correct'] == 0.0 and r['dataset'] == 'svamp']
  assert texts(browser, '#grades [data-grade=wrong] b') == [str(len(wrong))]
  browser.run("change({grade: '', only_dataset: '', sort: '-mean_entropy'})")
  mean = lambda row: sum(row['entropy']) / row['num_tokens']
  assert browser.run('shown[0].arm.arm') == max(ROWS, key=mean)['arm']
  browser.press('/', *'180 PAGES')
  assert texts(browser, '#count') == ['20 of 60 samples']
  assert address(browser)['search'] == '180 PAGES'


def test_its_keys_and_address(browser, url):
  read(browser, url + OF_ONE_QUESTION)
  browser.press('j')
  browser.wait("state.arm === 'lrt'")
  browser.press('k', 'J')
  browser.wait("state.prompt === '3'")
  browser.run('history.back()')
  browser.wait("state.prompt === '2' && state.arm === 'hyrea'")
  browser.press('c')
  browser.wait("document.querySelectorAll('article').length === 2")
  assert address(browser)['with'] == 'base'
  browser.press('e')
  assert address(browser)['heat'] == '1'
  shared = browser.run('location.href')
  browser.press('?')
  assert browser.run("document.querySelector('#help').open")
  browser.press('Escape')
  assert not browser.run("document.querySelector('#help').open")

  read(browser, shared)
  assert texts(browser, 'article h2 bdi') == ['hyrea', 'base']
  assert browser.run("document.querySelector('.heat') !== null")


def test_a_span_opens_on_what_its_latents_are_near(browser, url):
  read(browser, url + OF_ONE_QUESTION)
  (row,) = (
    r for r in ROWS if (r['arm'], r['prompt'], r['sample']) == ('hyrea', 2, 1)
  )
  assert len(texts(browser, '.chip')) == len(row['marks']) // 2
  place = row['marks'][0] + 1
  browser.press('t')
  for _ in range(place):
    browser.press('ArrowRight')
  browser.press('Enter')
  assert browser.run("document.querySelector('.chip').ariaExpanded") == 'true'
  nearest = texts(browser, '.card .near')[0]
  for text, _ in row['near'][place]:
    assert text.strip() in nearest
  browser.press('ArrowRight')
  spoken = browser.run("document.querySelector('#live').textContent")
  assert f'position {row["first_position"] + place}' in spoken
  assert f'entropy {row["entropy"][place]:.3g} nats' in spoken


def test_hostile_text_is_shown_and_does_nothing(browser, tmp_path):
  path = tmp_path / 'hostile.html'
  path.write_text(traces_html({'w': hostile_record()}), 'utf-8')
  for number, text in enumerate(HOSTILE):
    read(browser, path.as_uri())
    browser.run(f'go(SAMPLES.find((x) => x.question.prompt === {number}))')
    browser.wait(f'document.title.includes(" {number} ")')
    browser.run("document.querySelectorAll('.token').forEach(showTip)")
    (shown,) = texts(browser, '#question blockquote')
    if number in (0, 1, 2, 5):
      assert shown == text
    assert not set(shown) & {*'\x00\x1b\x7f\x9b\u202e\u2066\u200b\ufeff'}
    assert browser.run('window.ran') is None
    assert browser.run("document.querySelector('main img')") is None
    assert browser.run('document.documentElement.scrollWidth') <= 1280
  names = texts(browser, '.scores bdi')
  assert {'__proto__', 'constructor'} <= {*names}


@pytest.mark.parametrize('width', [390, 1280])
def test_only_rows_in_view_exist_and_nothing_overflows(width, url, tmp_path):
  with Page(tmp_path, width=width) as page:
    read(page, url)
    assert page.run('document.documentElement.scrollWidth') == width
    assert len(texts(page, '.row')) < 30
    page.press('/')  # on a phone the list takes the place of the sample
    assert page.run("byId('list').clientHeight > 100")
    assert page.run("byId('reader').clientHeight > 100") == (width == 1280)
    assert page.messages == []


def test_every_control_has_a_name(browser, url):
  read(browser, f'{url}{OF_ONE_QUESTION}&with=*')
  named = 'button', 'combobox', 'searchbox', 'listbox', 'option', 'image'
  nodes = browser.send('Accessibility.getFullAXTree')['nodes']
  found = [
    (node['role']['value'], node.get('name', {}).get('value', '').strip())
    for node in nodes
    if not node['ignored'] and node['role']['value'] in named
  ]
  assert {*named} <= {role for role, _ in found}
  assert [role for role, name in found if not name] == []
