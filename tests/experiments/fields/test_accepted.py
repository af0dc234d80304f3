"""What annotations accept, in words and from a command line."""

from typing import Annotated, Any, Literal

import pytest

from experiments.fields.accepted import (
  Folder,
  NamedPath,
  Path,
  accepts,
  described,
  expanded,
  parsed,
)
from hybrid_latent.ranges import Pattern, PositiveInt, Range, UnitFloat

INF = float('inf')


@pytest.mark.parametrize(
  ('annotation', 'words', 'right', 'wrong'),
  [
    (int, 'an integer', [0, -3], [1.0, True, '1', None]),
    (PositiveInt, 'an integer >= 1', [1], [0, -1]),
    (float, 'a number', [1, -2.5], [INF, -INF, float('nan'), True, '1']),
    (UnitFloat, 'a number >= 0 and <= 1', [0, 1.0], [1.1, -0.1]),
    (
      Annotated[float, Range(gt=0, lt=2)],
      'a number > 0 and < 2',
      [1],
      [0, 2],
    ),
    (
      Annotated[float, Range(infinite=True)],
      'a number or -inf',
      [-INF, 3],
      [INF, float('nan')],
    ),
    (bool, 'True or False', [True], [1, 'True']),
    (str, 'text', ['', 'x'], [1, None]),
    (Pattern, 'a regular expression', ['^a$'], ['(', 3]),
    (NamedPath, 'NAME=FOLDER', ['a=b=c'], ['a', 'a=', '=b']),
    (Folder, 'a path', ['x'], ['']),
    (Literal['a', 1], "'a' or 1", ['a', 1], ['b', True]),
    (UnitFloat | None, 'a number >= 0 and <= 1 or None', [None, 1], [2]),
    (
      tuple[PositiveInt, ...],
      'a tuple of values, each an integer >= 1',
      [(), (1, 2)],
      [(0,), [1], 1],
    ),
    (tuple[int, str], '(an integer, text)', [(1, 'a')], [(1,), (1, 2)]),
    (dict[str, Any], 'NAME=VALUE,NAME=VALUE', [{}, {'a': 1}], [(), 'a=1']),
    (Any, 'a Python literal', [1, None, 'x'], [INF, float('nan')]),
    (object, 'a Python literal', [1, None, 'x'], [float('nan')]),
  ],
)
def test_an_annotation(annotation, words, right, wrong):
  assert described(annotation) == words
  assert all(accepts(annotation, value) for value in right)
  assert not [value for value in wrong if accepts(annotation, value)]


@pytest.mark.parametrize(
  ('annotation', 'text', 'value'),
  [
    (int, '7', 7),
    (int, '1_000', 1000),
    (float, '7', 7.0),
    (float, '1e-3', 1e-3),
    (float | None, 'None', None),
    (float | None, '2', 2.0),
    (bool, 'true', True),
    (bool, 'False', False),
    (str, 'None', ''),
    (str, "'x'", "'x'"),
    (str, '3', '3'),
    (str | None, 'None', None),
    (tuple[float, float] | None, '(1, 2)', (1.0, 2.0)),
    (tuple[float, float] | None, '[1, 2]', (1.0, 2.0)),
    (tuple[int, ...], '3', (3,)),
    (tuple[int, ...], '()', ()),
    (tuple[str, ...], 'a, b', ('a', 'b')),
    (tuple[str, ...], "('a,b',)", ('a,b',)),
    (dict[str, Any], '{}', {}),
    (dict[str, Any], 'a=1,b=x', {'a': 1, 'b': 'x'}),
    (Any, '(1, 2)', (1, 2)),
    (Any, 'some words', 'some words'),
  ],
)
def test_a_text_is_read_as_its_annotation_says(annotation, text, value):
  found = parsed(annotation, text)
  assert found == value and type(found) is type(value)


@pytest.mark.parametrize(
  'text', ['__import__("os")', '[x for x in ()]', '2**9']
)
def test_no_text_is_run(text):
  assert parsed(Any, text) == text
  with pytest.raises(ValueError, match='write an integer'):
    parsed(int, text)


def test_paths_begin_at_home(monkeypatch):
  monkeypatch.setenv('HOME', '/home/ada')
  assert expanded(Path, '~/x') == '/home/ada/x'
  assert expanded(NamedPath, 'a=~/x') == 'a=/home/ada/x'
  assert expanded(tuple[NamedPath, ...], ('a=~',)) == ('a=/home/ada',)
  assert expanded(str, '~/x') == '~/x'
  assert expanded(Path, 'gs://bucket/~') == 'gs://bucket/~'
