"""The page of a report in a browser: it fits the screen, and it is inert."""

import pytest

from experiments.report import __main__ as report
from tests.chromium import Page, needs_chromium
from tests.experiments.report.records import write_record

pytestmark = [pytest.mark.slow, needs_chromium]
HOSTILE = (
  '</td><script>window.ran=1</script><img src=x onerror=window.ran=1>\u202e'
)


@pytest.fixture(scope='module')
def url(tmp_path_factory):
  folder = tmp_path_factory.mktemp('page')
  write_record(folder / 'evaluation', text=HOSTILE)
  page = folder / 'report.html'
  with pytest.MonkeyPatch.context() as patch:
    runs = '--runs', str(folder / 'evaluation')
    patch.setattr('sys.argv', ['report', *runs, f'--out={page}'])
    report.main()
  return page.as_uri()


@pytest.mark.parametrize('width', [390, 1280])
@pytest.mark.parametrize('dark', [False, True])
def test_it_fits_the_screen_and_runs_nothing(url, tmp_path, width, dark):
  with Page(tmp_path, width=width, dark=dark) as page:
    page.open(url)
    assert page.run('document.documentElement.scrollWidth') <= width
    assert page.run("document.querySelectorAll('figure svg').length") >= 5
    assert page.run("document.querySelectorAll('script, img').length") == 0
    assert page.run('window.ran === undefined')
    background = page.run('getComputedStyle(document.body).backgroundColor')
    assert (background == 'rgb(251, 251, 250)') == (not dark)
    assert page.messages == []
