"""Pages of the site whose source lies outside docs/, and links to the rest."""

import ast
import os
import re
from pathlib import Path

from mkdocs.structure.files import File

ROOT = Path(__file__).parents[1]
# Page of the site -> its source in the repository.
PAGES = {
  'changelog.md': 'CHANGELOG.md',
  'commands.md': 'experiments/README.md',
  'contributing.md': 'CONTRIBUTING.md',
  'launch.md': 'experiments/launch/README.md',
  'log.md': 'experiments/results/LOG.md',
  'papers.md': 'PAPERS.md',
  'results.md': 'experiments/results/RESULTS.md',
}
_LINK = re.compile(r'(!?)\[([^\]]*)\]\(([^)#\s]*)(#[^)\s]*)?\)')


def on_files(files, config):
  """Adds the pages."""
  for page, source in PAGES.items():
    files.append(File.generated(config, page, abs_src_path=str(ROOT / source)))
  return files


def on_page_markdown(markdown, page, config, files):
  """Links between sources become links between pages; a link to a file that
  is on no page becomes the file's path."""
  here = page.file.src_uri
  if here == 'api/index.md':
    markdown += _public_names()
  folder = (ROOT / PAGES.get(here, f'docs/{here}')).parent
  site = {str(ROOT / source): page for page, source in PAGES.items()}

  def link(match: re.Match) -> str:
    image, text, target, anchor = match.groups(default='')
    if not target or '://' in target or target.startswith('mailto:'):
      return match[0]
    path = os.path.normpath(folder / target)
    name = site.get(path, os.path.relpath(path, ROOT / 'docs'))
    if not name.startswith('..'):
      name = os.path.relpath(name, Path(here).parent)
      return f'{image}[{text}]({name}{anchor})'
    name = os.path.relpath(path, ROOT)
    return f'{text} (`{name}`)' if text.strip('`') != name else f'`{name}`'

  markdown = re.sub('^<!-- (examples/.*) -->$', _quoted, markdown, flags=re.M)
  return _LINK.sub(link, markdown)


def _quoted(comment: re.Match) -> str:
  """The part of an example between its marks, or all of it."""
  code = (ROOT / comment[1]).read_text()
  part = re.search('(?s)# --- docs: begin\n(.*?)\n*# --- docs: end', code)
  return f'```python\n{part[1].strip() if part else code}\n```'


def _public_names() -> str:
  """What `import hybrid_latent as hl` has, with the first sentence of each."""
  package = ROOT / 'hybrid_latent' / '__init__.py'
  modules = next(
    ast.literal_eval(node.value)
    for node in ast.parse(package.read_text()).body
    if isinstance(node, ast.Assign) and node.targets[0].id == '_MODULES'
  )
  rows = ['| name | |', '|---|---|']
  for name, module in modules.items():
    file = ROOT / f'{module.replace(".", "/")}.py'
    definition = next(
      node
      for node in ast.parse(file.read_text()).body
      if getattr(node, 'name', None) == name
    )
    first = ' '.join(ast.get_docstring(definition).split()).split('. ')[0]
    rows.append(f'| [`{name}`][{module}.{name}] | {first.rstrip(".")} |')
  return '\n'.join(rows)
