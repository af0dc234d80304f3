"""Old names of fields: refused with the new one, and read where a run wrote
them."""

import json
from pathlib import Path

import pytest

from experiments.configs import rl, sft_arithmetic
from experiments.fields import renamed
from experiments.fields.check import check
from experiments.fields.overrides import resolved
from experiments.fields.table import is_known
from experiments.sweep.grid import grid_points, make_cells
from experiments.training.resume import validate_resume
from experiments.training.saved import from_fields
from tests.experiments import lrt_tiny, rl_tiny

ROOT = Path(__file__).parents[3]
# Of runs before the fields had the names of today.
BEFORE = json.loads(Path(__file__).with_name('config_before.json').read_text())
NOW = {
  'grpo': lambda: rl_tiny.get_config('FOLDER,hrpo'),
  'sft': lambda: sft_arithmetic.get_config('FOLDER,codi'),
  'lrt': lambda: lrt_tiny.get_config('FOLDER,rl,BACKBONE'),
}


@pytest.mark.parametrize(
  ('path', 'option', 'new'),
  [
    ('rl:M', 'steps=8', 'max_steps=8'),
    ('rl:M', 'rollout.prompts=8', 'rollout.prompts_per_step=8'),
    ('rl:M', 'rollout.closing.cut=x', 'rollout.forced_text.on_truncation=x'),
    ('rl:M', 'rollout.closing={"cut": ""}', 'rollout.forced_text={"cut": ""}'),
    (
      'rl:M',
      'objective.kwargs.proposal=sampler',
      'objective.kwargs.importance_sampling_target=rollout',
    ),
    (
      'lrt:M',
      "evaluate.ways=('explicit','latent')",
      "evaluate.modes=('chain_of_thought','latent')",
    ),
    ('rl:M', 'data.of.task=math', 'data.kwargs.task=math'),
    ('rl:M', 'objective.kwargs.clip=None', 'objective.kwargs.clip_range=None'),
    (
      'hyrea_rl_math:M',
      'feedback.initial.slots=2',
      'feedback.init_kwargs.num_latents=2',
    ),
    (
      'codi_gsm8k:M',
      'feedback.inside.initial.width=3',
      'feedback.inner.init_kwargs.width=3',
    ),
  ],
)
def test_an_override_is_told_the_new_name(path, option, new):
  with pytest.raises(ValueError) as error:
    resolved(path, [f'--config.{option}'])
  assert str(error.value) == (
    f'config.{option.partition("=")[0]} is called '
    f'config.{new.partition("=")[0]} now: write --config.{new}'
  )


@pytest.mark.parametrize(
  ('path', 'option', 'told'),
  [
    (
      'rl:M',
      'rollout.mode=explicit',
      'config.rollout.mode is explicit, which is called chain_of_thought now: '
      'write --config.rollout.mode=chain_of_thought',
    ),
    (
      'rl:M',
      'objective.kwargs.importance_sampling_target=behaviour',
      'config.objective.kwargs.importance_sampling_target is behaviour, which '
      'is called behavior now: write '
      '--config.objective.kwargs.importance_sampling_target=behavior',
    ),
    (
      'sft:M',
      'curriculum.function=worked:worked_solutions',
      'config.curriculum.function is worked:worked_solutions, which is called '
      'cot:worked_solutions now: write '
      'config.curriculum.function=cot:worked_solutions',
    ),
  ],
)
def test_so_is_an_old_value(path, option, told):
  with pytest.raises(ValueError) as error:
    check(resolved(path, [f'--config.{option}']), 'sft')
  assert str(error.value) == told


@pytest.mark.parametrize('option', ['grids', 'zips', 'lists'])
def test_so_is_a_sweep(option, tmp_path):
  swept = 'config.rollout.group=2,4'
  if option == 'lists':
    swept = tmp_path / 'cells.csv'
    swept.write_text('config.rollout.group\n2\n4\n')
  with pytest.raises(ValueError) as error:
    make_cells('rl:M', grid_points(**{option: [swept]}), (), tmp_path)
  assert str(error.value) == (
    'config.rollout.group is called config.rollout.num_generations now: write '
    'config.rollout.num_generations in the grid'
  )


def test_a_field_of_another_command_is_said_to_be_one():
  with pytest.raises(
    ValueError, match=r'no field config\.bptt_steps, which ot'
  ):
    resolved('rl:M', ['--config.truncate=2'])


@pytest.mark.parametrize(
  ('part', 'fields', 'told'),
  [
    (
      'rollout',
      {'prompts': 8},
      'config.rollout.prompts is called config.rollout.prompts_per_step now: '
      'write config.rollout.prompts_per_step=8',
    ),
    (
      'objective.kwargs',
      {'clip': None},
      'config.objective.kwargs.clip is called config.objective.kwargs.'
      'clip_range now: write config.objective.kwargs.clip_range=None',
    ),
  ],
)
def test_so_is_a_config_file(part, fields, told):
  config = rl.defaults('M')
  config.update_from_flattened_dict(
    {f'{part}.{name}': value for name, value in fields.items()}
  )
  with pytest.raises(ValueError) as error:
    check(config, 'grpo')
  assert str(error.value) == told


def test_a_function_of_ones_own_keeps_its_keywords(tmp_path, monkeypatch):
  (tmp_path / 'my_loss.py').write_text('def loss(inputs, clip=1.0): ...\n')
  monkeypatch.syspath_prepend(str(tmp_path))
  config = resolved(
    'rl:M',
    [
      '--config.objective.function=my_loss:loss',
      '--config.objective.kwargs={}',
      '--config.objective.kwargs.clip=0.5',
    ],
  )
  assert config.objective.kwargs.clip == 0.5


@pytest.mark.parametrize('old', renamed.FIELDS)
def test_every_new_name_is_a_field(old):
  assert is_known(renamed.new_name(old)) and not is_known(old)


@pytest.mark.parametrize('trainer', NOW)
def test_a_run_with_old_names_resumes(trainer):
  notes = {'config': json.dumps(BEFORE[trainer]), 'trainer': trainer}
  assert validate_resume(notes, NOW[trainer](), 'w') == notes


def test_what_has_changed_is_still_found():
  old = json.loads(json.dumps(BEFORE['grpo']))
  old['rollout']['group'] += 1
  notes = {'config': json.dumps(old), 'trainer': 'grpo'}
  with pytest.raises(ValueError, match=r'num_generations: 5 then, 4 now\n'):
    validate_resume(notes, NOW['grpo'](), 'w')


@pytest.mark.parametrize('trainer', NOW)
def test_a_saved_config_has_the_new_names(trainer):
  config = from_fields(BEFORE[trainer])
  check(config, trainer)


def test_values_are_renamed_too():
  old = {
    'rollout': {'mode': 'neither'},
    'evaluate': {'ways': ['latent', 'explicit']},
  }
  assert renamed.renamed_config(old) == {
    'rollout': {'mode': 'no_thinking'},
    'evaluate': {'modes': ['latent', 'chain_of_thought']},
  }


def test_the_table_in_docs_is_current():
  """Else write `python -m experiments.fields --renamed > docs/migration.md`."""
  text = (ROOT / 'docs' / 'migration.md').read_text()
  assert text == renamed.markdown()
