"""`import hybrid_latent as hl`."""

import ast
import subprocess
import sys
import tomllib
from importlib import import_module, metadata
from pathlib import Path

import pytest

import hybrid_latent as hl

ROOT = Path(__file__).parents[1]


LAZY = """
import sys, hybrid_latent as hl
assert {*hl.__all__} == {x for x in dir(hl) if x[:2] != '__'}
assert not {'jax', 'numpy'} & {*sys.modules}
assert hl.rollout and 'jax' in sys.modules
"""
AFTER_ITS_MODULE = """
import hybrid_latent.rollout, hybrid_latent.rescoring, hybrid_latent as hl
assert callable(hl.rollout) and callable(hl.rescore)
"""


@pytest.mark.parametrize('code', [LAZY, AFTER_ITS_MODULE])
def test_a_name_is_imported_when_it_is_used(code):
  subprocess.run([sys.executable, '-c', code], cwd=ROOT, check=True)


def test_every_name_is_what_a_type_checker_sees():
  tree = ast.parse(Path(str(hl.__file__)).read_text())
  (block,) = (node for node in tree.body if isinstance(node, ast.If))
  typed = {
    alias.name: (node.module, alias.asname)
    for node in block.body
    for alias in node.names
  }
  assert [*typed] and sorted(typed) == sorted(hl.__all__)
  for name, (module, asname) in typed.items():
    assert name == asname  # else it is not exported
    assert getattr(hl, name) is getattr(import_module(module), name)


def test_an_unknown_name_is_an_attribute_error():
  with pytest.raises(AttributeError, match="no attribute 'rolout'"):
    _ = hl.rolout


def test_the_version_has_one_source():
  project = tomllib.loads((ROOT / 'pyproject.toml').read_text())
  assert 'version' in project['project']['dynamic']
  assert hl.__version__ == metadata.version('hybrid-latent')
