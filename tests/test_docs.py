"""What the documentation names exists: pages, commands, configs, paths."""

import ast
import re
import runpy
import tomllib
from importlib import import_module
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest
import yaml

import hybrid_latent as hl
from experiments.fields.overrides import load_config
from experiments.fields.renamed import new_name

ROOT = Path(__file__).parents[1]
README = ROOT / 'README.md'
PAGES = sorted(
  {
    *ROOT.glob('*.md'),
    *ROOT.glob('docs/**/*.md'),
    *ROOT.glob('experiments/**/README.md'),
    *ROOT.glob('experiments/results/*.md'),
    *ROOT.glob('kernels/*.md'),
  }
)
CODE = re.compile(r'^```(?s:.*?)^```|^ {4}.*', re.M)
FIELDS = re.findall(
  r'^\| `([\w.*]+)` \|', (ROOT / 'docs' / 'config.md').read_text(), re.M
)
CONFIGS = {path.stem for path in (ROOT / 'experiments/configs').glob('*.py')}
TARGETS = re.findall(r'^(\w[\w-]*):', (ROOT / 'Makefile').read_text(), re.M)
PLACEHOLDERS = {'...', 'CONFIG', 'NAME', 'FILE', 'path/to/file', 'my_config'}


def name_of(page: Path) -> str:
  return str(page.relative_to(ROOT))


PRESENT = [page for page in PAGES if page.name != 'CHANGELOG.md']
every_page = pytest.mark.parametrize('page', PAGES, ids=name_of)
page_of_today = pytest.mark.parametrize('page', PRESENT, ids=name_of)


def anchors(page: Path) -> set[str]:
  """The anchors of a page's headings, as GitHub and MkDocs make them."""
  headings = re.findall(r'^#+ (.*)', CODE.sub('', page.read_text()), re.M)
  words = (re.sub(r'[^\w\s-]', '', heading) for heading in headings)
  return {'-'.join(text.lower().split()) for text in words}


@every_page
def test_links_resolve(page):
  text = CODE.sub('', page.read_text())
  for link in re.findall(r'\]\(([^)\s]+)\)', text):
    target, _, anchor = link.partition('#')
    if '://' not in link:
      path = (page.parent / target).resolve() if target else page
      assert path.exists(), link
      assert not anchor or anchor in anchors(path), link


@page_of_today
def test_commands_exist(page):
  text = page.read_text()
  for module in re.findall(r'-m (?:hybrid_latent\.)?(experiments[\w.]+)', text):
    path = ROOT / module.removesuffix('.NAME').replace('.', '/')
    assert path.with_suffix('.py').exists() or path.is_dir(), module
  for target in re.findall(r'(?:^ {4}|`|&& )make ([a-z][\w-]*)', text, re.M):
    assert target in TARGETS, target


@page_of_today
def test_configs_and_their_fields_exist(page):
  text = page.read_text()
  for value in re.findall(r'[-"|\s`]config=([^"`;\s]+)', text):
    for config in value.split('|'):
      name = config.strip('\\').split(':')[0].split(',')[0]
      name = name.removesuffix('.py').removeprefix('experiments/configs/')
      assert name in CONFIGS | PLACEHOLDERS | {'saved'}, config
  for field in re.findall(r'\bconfig((?:\.[\w*]+)+)=', text):
    assert any(re.fullmatch(form(x), field[1:]) for x in FIELDS), field


@page_of_today
def test_fields_have_their_present_names(page):
  if page.name in ('migration.md', 'LOG.md'):
    return  # they have the old names
  named = (
    r'\bconfig\.((?:\w+\.)*\w+)|`((?:\w+\.)*\w+)='
    r'|`((?:\w+\.)+(?!jsonl)\w+)`'
  )
  for names in re.findall(named, page.read_text()):
    old = ''.join(names)
    assert new_name(old) == old, f'{old} is {new_name(old)}'


@page_of_today
def test_variants_of_configs_exist(page):
  for name, words in re.findall(r'\b(\w+):MODEL((?:,\w+)+)', page.read_text()):
    config = import_module(f'experiments.configs.{name}')
    assert config.get_config(f'MODEL{words}')


def form(field: str) -> str:
  """What a row of docs/config.md stands for: keywords are open, a value that is
  itself a function has its own."""
  pattern = field.replace('.', r'\.').replace('*', r'\w+')
  return pattern + (
    r'(\.\w+)*' if re.search(r'kwargs$|initial$|\.of$', field) else ''
  )


@page_of_today
def test_paths_in_code_exist(page):
  for span in re.findall(r'`([\w*./-]+/[\w*./-]*)`', page.read_text()):
    if span.startswith('runs/'):  # a user's, here or not
      continue
    for folder in (page.parent, ROOT):
      if (folder / span.split('/')[0]).is_dir():
        assert list(folder.glob(span)), span
        break


@page_of_today
def test_modules_and_functions_exist(page):
  names = re.findall(
    r'(hybrid_latent(?:\.\w+)+|latent_kernels(?:\.\w+)+)(:\w+)?',
    page.read_text(),
  )
  for module, function in names:
    if module.startswith('hybrid_latent.experiments'):
      continue  # the folder experiments/, where it is installed
    found = [*ROOT.glob(f'{module.replace(".", "/")}*')] or [
      *ROOT.glob(f'kernels/{module.replace(".", "/")}*')
    ]
    if not found:  # an attribute of a module
      module, _, attribute = module.rpartition('.')
      found, function = (
        [*ROOT.glob(f'{module.replace(".", "/")}.py')],
        attribute,
      )
    assert found, module
    if function:
      assert re.search(rf'\b{function.strip(":")}\b', found[0].read_text()), (
        module,
        function,
      )


def test_every_command_of_the_table_exists():
  folder = ROOT / 'experiments'
  table = (folder / 'README.md').read_text()
  for name in re.findall(r'`(\w+\.\w+)[ `]', table):
    path = folder / name.replace('.', '/')
    assert path.with_suffix('.py').is_file() or '.md' in name, name


def test_readme_is_short():
  assert len(README.read_text().splitlines()) <= 160


def test_the_code_of_readme_runs(tmp_path, capsys):
  block = re.compile('^```python\n(.*?)^```', re.M | re.S)
  (code,) = block.findall(README.read_text())
  (tmp_path / 'readme.py').write_text(code)
  names = runpy.run_path(str(tmp_path / 'readme.py'))
  policy, out = names['policy'], names['out']
  assert out.tokens.shape == (16, 24)
  assert 0 < out.latent_share.max() < 1
  gradient = jax.grad(names['loss'])(policy)
  leaves = jax.tree.leaves(gradient)
  assert all(jnp.isfinite(x).all() and jnp.any(x != 0) for x in leaves)
  again = hl.rescore(policy, names['hrpo'], names['prompt'], out)
  assert abs(again.log_probs - out.log_probs).max() < 1e-5
  assert 'Gate' in capsys.readouterr().out


def test_the_config_of_your_own_is_loaded(tmp_path):
  text = (ROOT / 'docs' / 'own_data.md').read_text()
  package = 'hybrid_latent.experiments'  # where the project is installed
  (code,) = re.findall(f'(?ms)^```python\n(from {package}.*?)^```', text)
  file = tmp_path / 'my_config.py'
  file.write_text(code.replace(package, 'experiments'))
  config = load_config(f'{file}:MODEL')
  assert config.model.source == 'MODEL'
  assert config.rollout.num_generations == 8


def test_every_page_is_on_the_site_and_every_module_in_the_reference():
  site = yaml.safe_load((ROOT / 'mkdocs.yml').read_text())
  hooks = ast.parse((ROOT / 'docs' / 'hooks.py').read_text())
  (elsewhere,) = (
    ast.literal_eval(node.value)
    for node in hooks.body
    if isinstance(node, ast.Assign) and node.targets[0].id == 'PAGES'
  )
  here = {str(x.relative_to(ROOT / 'docs')) for x in ROOT.glob('docs/**/*.md')}
  assert sorted(leaves(site['nav'])) == sorted(here | elsewhere.keys())
  assert all((ROOT / source).is_file() for source in elsewhere.values())

  reference = ''.join(x.read_text() for x in ROOT.glob('docs/api/*.md'))
  shown = set(re.findall('^::: (.*)', reference, re.M))
  parts = {x for x in ROOT.glob('hybrid_latent/*') if x.stem[0] != '_'}
  assert shown == {
    'latent_kernels',
    *(f'hybrid_latent.{x.stem}' for x in parts if x.suffix in ('', '.py')),
  }


def leaves(nav):
  if isinstance(nav, str):
    return [nav]
  values = nav.values() if isinstance(nav, dict) else nav
  return [page for value in values for page in leaves(value)]


def test_the_citation_is_of_this_version():
  project = tomllib.loads((ROOT / 'pyproject.toml').read_text())['project']
  citation = yaml.safe_load((ROOT / 'CITATION.cff').read_text())
  assert citation['version'] == hl.__version__
  assert citation['license'] == project['license']
  assert citation['authors'] == project['authors']
