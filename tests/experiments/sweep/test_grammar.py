"""How the text of a grid is read."""

import pytest

from experiments.sweep.grammar import parse_grid


@pytest.mark.parametrize(
  ('text', 'fields'),
  [
    ('config.seed=0, 1', {'config.seed': ['0', '1']}),
    ('argument=MODEL,smoke', {'argument': ['MODEL,smoke']}),
    ('argument=a b/M,x|N', {'argument': ['a b/M,x', 'N']}),
    (
      'config=a.py:M,x|b.py:M; config.seed=1',
      {'config': ['a.py:M,x', 'b.py:M'], 'config.seed': ['1']},
    ),
    ('config.a=(0.2,0.3),None', {'config.a': ['(0.2,0.3)', 'None']}),
    ('config.a={"b": [1, 2]},3', {'config.a': ['{"b": [1, 2]}', '3']}),
    ("config.a=('x;', 'y|'),1", {'config.a': ["('x;', 'y|')", '1']}),
    ('config.a="x, y",z', {'config.a': ['x, y', 'z']}),
    ("config.a='x; y|z'|(a|b)", {'config.a': ['x; y|z', '(a|b)']}),
    ("config.a=don't, do", {'config.a': ["don't", 'do']}),
    ('config.a=a, b|', {'config.a': ['a, b', '']}),
    ("config.a='',x", {'config.a': ['', 'x']}),
    ('config.a="config.b=1"', {'config.a': ['config.b=1']}),
    ('config.a=x=y', {'config.a': ['x=y']}),
  ],
)
def test_nothing_separates_that_belongs_together(text, fields):
  assert parse_grid('--grid', text) == fields


@pytest.mark.parametrize(
  ('text', 'says'),
  [
    ('config.a=(1,2', "'(' has no partner: write quotes"),
    ('config.a=1)', "')' has no partner: write quotes"),
    ('config.a="x, y', "'\"' has no partner: write quotes"),
    ('config.a=1,,2', "has an empty value: write ''"),
    ('config.a=1,config.b=2', "write a semicolon before 'config.b='"),
    ('argument=M,smoke,config.b=2', "write a semicolon before 'config.b='"),
    ('config.a=1;', "'': write 'config.field=value,value'"),
    ('seed=1', "'seed=1': write 'config.field=value,value'"),
    ('config.a=1;config.a=2', "'config.a=2': write each field once"),
  ],
)
def test_what_can_be_read_in_two_ways_is_refused(text, says):
  with pytest.raises(ValueError) as error:
    parse_grid('--grid', text)
  assert str(error.value).startswith('--grid: ') and says in str(error.value)
