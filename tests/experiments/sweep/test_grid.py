"""What a grid, a zip and a list mean, and which cells they make."""

from pathlib import Path

import pytest

from experiments.sweep.grid import grid_points, make_cells

# Of ml_collections, where it loads a config file.
pytestmark = pytest.mark.filterwarnings('ignore:the load_module')

ROOT = Path(__file__).parents[3]
PAGE = ROOT / 'experiments/configs/rl_arithmetic.py'
TINY = ROOT / 'tests/experiments/rl_tiny.py'
R_MIN = 'config.feedback.init_kwargs.r_min'


def grid_of(grid, config=f'{PAGE}:x,hrpo', fixed=()):
  return make_cells(config, grid_points([grid]), fixed, Path('w'))


def test_a_cell_is_one_of_the_product():
  found = grid_of(
    f'{R_MIN}=0.9,0.98; config.seed = 0, 1', fixed=['--config.max_steps=7']
  )
  assert [
    (c.config.feedback.init_kwargs.r_min, c.config.seed) for c in found
  ] == [*((0.9, 0), (0.9, 1), (0.98, 0), (0.98, 1))]
  assert {c.config.max_steps for c in found} == {7}
  assert found[1].label == 'r_min=0.9, seed=1'
  assert found[1].folder == Path('w/feedback.init_kwargs.r_min=0.9,seed=1')
  assert found[1].run == 'w/feedback.init_kwargs.r_min=0.9,seed=1'
  assert found[1].options == [
    f'--config={PAGE}:x,hrpo',
    '--config.max_steps=7',
    f'--{R_MIN}=0.9',
    '--config.seed=1',
  ]


def test_a_zip_goes_side_by_side_and_multiplies_a_grid():
  found = grid_points(
    ['config.max_steps=8,9'], [f'{R_MIN}=0.9,0.9;config.seed=1,2']
  )
  assert [tuple(point.values()) for point in found] == [
    *(('0.9', '1', '8'), ('0.9', '1', '9')),
    *(('0.9', '2', '8'), ('0.9', '2', '9')),
  ]
  with pytest.raises(
    ValueError, match=r'seed has 2, config\.max_steps has 3: write'
  ):
    grid_points(zips=['config.seed=1,2; config.max_steps=1,2,3'])


@pytest.mark.parametrize(
  ('name', 'text'),
  [
    (
      'l.jsonl',
      '{"config.seed": 3, "argument": "a,b"}\n\n{"config.seed": 4}\n',
    ),
    ('l.csv', 'config.seed,argument\n3,"a,b"\n4,\n'),
  ],
)
def test_a_list_has_a_row_a_cell(tmp_path, name, text):
  (tmp_path / name).write_text(text)
  rows = [{'config.seed': '3', 'argument': 'a,b'}, {'config.seed': '4'}]
  assert grid_points(lists=[tmp_path / name]) == rows
  assert grid_points(['config.max_steps=5'], lists=[tmp_path / name]) == [
    row | {'config.max_steps': '5'} for row in rows
  ]


def test_a_list_that_is_none_is_told(tmp_path):
  for name, text, told in (
    ('no.jsonl', None, 'no file'),
    ('a.txt', 'x', r'write a file \.jsonl or \.csv'),
    ('b.jsonl', '', 'has no row'),
    ('c.jsonl', '{"seed": 1}', 'line 1 is .*write fields and their values'),
    ('d.csv', 'config.seed\n1,2\n', 'line 2: 2 fields where the header has 1'),
    (
      'd.jsonl',
      '[1]',
      r'line 1: a list .*accepted is one such as .*config.seed',
    ),
    (
      'e.jsonl',
      '{"config.seed": 1',
      'line 1: Expecting .*one JSON object per line',
    ),
  ):
    if text is not None:
      (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=told):
      grid_points(lists=[tmp_path / name])


def test_a_field_that_is_none_is_read_as_python():
  config = ROOT / 'experiments/configs/soft_tokens_gsm8k.py'
  clip = 'config.objective.kwargs.clip_range'
  of = lambda text: make_cells(str(config), grid_points([text]), [], Path('w'))
  found = of(f'{clip}=(0.2, 0.3)|None')
  assert [c.config.objective.kwargs.clip_range for c in found] == [
    (0.2, 0.3),
    None,
  ]
  assert {c.config.objective.kwargs.aggregation for c in found} == {'sum'}
  with pytest.raises(
    ValueError, match=r"clip_range is 'much': write .* or None"
  ):
    of(f'{clip}=much')


def test_the_argument_is_a_field_and_bars_keep_commas_together():
  found = grid_of('argument=x/y,hrpo|x/y,direct;config.seed=3', str(PAGE))
  assert [c.config.feedback.function for c in found] == [
    *('gated:gated', 'hidden:hidden')
  ]
  assert [c.label for c in found] == ['hrpo', 'direct']
  assert found[1].options[0] == f'--config={PAGE}:x/y,direct'
  (one,) = grid_of(
    'config.rollout.forced_text.on_truncation=a, b|', f'{TINY}:x,grpo'
  )[:1]
  assert one.config.rollout.forced_text.on_truncation == 'a, b'


def test_configs_go_side_by_side_and_a_cell_has_the_fields_of_its_own():
  """HRPO beside GRPO: only one of them has a gate."""
  grpo, hrpo = (
    f'{ROOT}/experiments/configs/{name}_gsm8k.py' for name in ('grpo', 'hrpo')
  )
  text = f'config={grpo}:M|{hrpo}:M; {R_MIN}=0.9,0.98; config.seed=0,1'
  found = grid_of(text, None, ['--config.data.path=my data'])
  assert [c.label for c in found] == [
    *('grpo_gsm8k, seed=0', 'grpo_gsm8k, seed=1'),
    *('hrpo_gsm8k, r_min=0.9, seed=0', 'hrpo_gsm8k, r_min=0.9, seed=1'),
    *('hrpo_gsm8k, r_min=0.98, seed=0', 'hrpo_gsm8k, r_min=0.98, seed=1'),
  ]
  assert [c.without for c in found] == [(R_MIN,)] * 2 + [()] * 4
  assert {c.config.data.path for c in found} == {'my data'}
  assert found[2].config.feedback.init_kwargs.r_min == 0.9
  assert found[0].options == [
    f'--config={grpo}:M',
    '--config.data.path=my data',
    '--config.seed=0',
  ]
  assert len({c.folder for c in found}) == 6
  assert found[0].folder.name[:-8] == 'config=grpo_gsm8k,seed=0-'
  # An argument is of all of them, and a fixed field as well of some only.
  found = grid_of(
    f'config={grpo}|{hrpo}; argument=M,smoke|N', None, [f'--{R_MIN}=0.9']
  )
  assert [c.label for c in found] == [
    *('grpo_gsm8k, M,smoke', 'grpo_gsm8k, N'),
    *('hrpo_gsm8k, M,smoke', 'hrpo_gsm8k, N'),
  ]
  assert [c.config.model.source for c in found] == ['M', 'N'] * 2
  with pytest.raises(ValueError, match=r'has no field config\.sed'):
    grid_of(f'config={grpo}:M|{hrpo}:M; config.sed=0', None)
  with pytest.raises(ValueError, match='write --config=FILE'):
    grid_of('config.seed=0', None)


def test_a_folder_is_a_cells_own_and_does_not_move():
  names = [c.folder.name for c in grid_of('argument=x/y,hrpo|x_y,hrpo')]
  assert len(set(names)) == 2 and '/' not in ''.join(names)
  few = grid_of('config.seed=1; config.max_steps=3')
  more = grid_of('config.max_steps=2,3; config.seed=0,1')
  assert few[0].folder in [c.folder for c in more]
  far = 'x' * 400
  names = [c.folder.name for c in grid_of(f'argument={far},hrpo|{far},grpo')]
  assert len(set(names)) == 2 and len(names[0]) < 130


def test_runs_may_be_elsewhere():
  (cell,) = make_cells(
    f'{PAGE}:x,hrpo', grid_points(['config.seed=1']), [], Path('w'), 'gs://b/s/'
  )
  assert cell.run == 'gs://b/s/seed=1' and cell.folder == Path('w/seed=1')


@pytest.mark.parametrize(
  ('grid', 'told'),
  [
    ('config.feedback.r_min=0.9', 'write config.feedback.init_kwargs.r_min'),
    ('config.optimizer.groups=1', 'write config.optimizer.groups.'),
    (
      'config.max_steps=2,few',
      "config.max_steps is 'few': write an integer >= 0",
    ),
    ('argument=x,hrpo|x,hrp', "config argument 'x,hrp': write 'FOLDER,"),
    ('config.seed=1,2,1', 'is given twice: write each cell once'),
    ('config.seed=1;config.seed=2', "'config.seed=2': write each field once"),
    ('seed=1', "'seed=1': write 'config.field=value,value'"),
  ],
)
def test_a_mistake_is_told_before_anything_runs(grid, told):
  with pytest.raises(ValueError) as error:
    grid_of(grid)
  assert told in str(error.value)


def test_a_field_is_given_once():
  with pytest.raises(ValueError, match=r'config\.seed is given twice'):
    grid_points(['config.seed=1'], ['config.seed=1;config.max_steps=2'])


def test_what_holds_for_all_cells_is_checked_as_well():
  for option, told in (
    (
      '--config.max_stepz=3',
      'no field config.max_stepz: write config.max_steps',
    ),
    ('--config.max_steps', "'--config.max_steps': write --config.FIELD=VALUE"),
    ('--colour=red', "'--colour=red': write --config.FIELD=VALUE"),
  ):
    with pytest.raises(ValueError, match=told):
      grid_of('config.seed=1', fixed=[option])
  with pytest.raises(ValueError, match=r"no file 'nothing\.py'"):
    grid_of('config.seed=1', 'nothing.py')
