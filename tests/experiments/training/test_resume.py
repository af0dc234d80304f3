"""What may change when a run goes on, and what may not."""

import json

import pytest

from experiments.configs import lrt, rl, sft
from experiments.fields.differences import warn_of_schedule
from experiments.training.resume import identity, validate_resume
from tests.experiments import rl_tiny

CONFIGS = {'grpo': rl.get_config, 'sft': sft.get_config, 'lrt': lrt.get_config}
MAY = {
  'max_steps': 7,
  'gradient_accumulation_steps': 7,
  'eval.every': 7,
  'eval.num_generations': 7,
  'checkpoint.every': 7,
  'checkpoint.best': 'eval/x',
  'grader.workers': 7,
  'grader.timeout_s': 7.0,
  'mesh.fsdp': 7,
  'model.remat': 'none',
  'data.test_split': 'other',
  'rollout.logits_chunk': 7,
  'rollout.cache_stages': 7,
  'rollout.max_num_seqs': 7,
  'rollout.buckets': 7,
}
MAY_OF = {
  'grpo': {
    'num_logged_completions': 7,
    'dump_every': 7,
    'export': True,
    'generate.min_reward': 0.5,
    'evaluate.answer_reserve': 7,
  },
  'sft': {'logits_chunk': 7, 'entropy.example_steps': 7},
  'lrt': {'num_logged_completions': 7},
}
MAY_NOT = {
  'seed': 7,
  'model.dtype': 'float16',
  'lora.rank': 7,
  'data.system_prompt': 'x',
  'data.kwargs.task': 'math',
  'rollout.max_completion_length': 7,
  'rewards.accuracy.weight': 0.5,
  'optimizer.b1': 0.7,
  'feedback.function': 'x:x',
}
MAY_NOT_OF = {
  'grpo': {
    'num_iterations': 7,
    'num_mini_batches': 7,
    'latent_passes': 7,
    'rollout.num_generations': 7,
    'rollout.sampling.temperature': 0.7,
    'objective.kwargs.beta': 0.7,
    'advantage.kwargs.scale': 'none',
    'reference.mixup_alpha': 0.7,
  },
  'sft': {
    'batch_size': 7,
    'buckets': 7,
    'bptt_steps': 7,
    'stages.starts': (0, 7),
  },
  'lrt': {'num_iterations': 7, 'feedback.init_kwargs.latents': 7},
}


def changed(trainer, field, value):
  config = CONFIGS[trainer]().unlock()
  config.update_from_flattened_dict({field: value})
  return config


def notes(trainer):
  """Of a run whose rows nobody has digested."""
  return {'config': CONFIGS[trainer]().to_json(), 'trainer': trainer}


@pytest.mark.parametrize('trainer', CONFIGS)
def test_what_changes_no_number_may_change(trainer):
  for field, value in (MAY | MAY_OF[trainer]).items():
    assert validate_resume(notes(trainer), changed(trainer, field, value), 'w')


@pytest.mark.parametrize('trainer', CONFIGS)
def test_what_changes_numbers_is_refused_by_name(trainer):
  for field, value in (MAY_NOT | MAY_NOT_OF[trainer]).items():
    with pytest.raises(ValueError, match=rf'config\.{field}.* then, ') as error:
      validate_resume(notes(trainer), changed(trainer, field, value), 'w')
    assert len(str(error.value).splitlines()) == 3


def test_every_field_that_differs_has_a_line():
  old = rl_tiny.get_config('x,hrpo')
  fixed = rl_tiny.get_config('x,hrpo').unlock()
  fixed.optimizer.groups.lora.lr = 0.5
  fixed.extra = 3
  del fixed.rewards.digits
  fixed.rewards.others = dict(function='a:b', weight=1.0)
  with pytest.raises(ValueError, match='choose another --workdir') as error:
    validate_resume({'config': old.to_json()}, fixed, 'w')
  assert str(error.value).splitlines()[1:-1] == [
    '  config.extra: None then, 3 now',
    '  config.optimizer.groups.lora.lr: 0.01 then, 0.5 now',
    "  config.rewards.digits.function: 'tests.experiments.rewards:digits' "
    'then, None now',
    '  config.rewards.digits.weight: 2.0 then, None now',
    "  config.rewards.others.function: None then, 'a:b' now",
    '  config.rewards.others.weight: None then, 1.0 now',
  ]


def test_a_field_that_the_code_has_gained_or_lost_is_no_difference():
  old = json.loads(rl.get_config().to_json())
  del old['reference'], old['rollout']['answer_reserve']
  old['rollout']['forgotten'] = 3
  kept = {'config': json.dumps(old), 'trainer': 'grpo'}
  assert validate_resume(kept, rl.get_config(), 'w')
  with pytest.raises(
    ValueError, match=r'rollout\.answer_reserve: None then, 7 now'
  ):
    validate_resume(kept, changed('grpo', 'rollout.answer_reserve', 7), 'w')


@pytest.mark.parametrize('text', [None, '', '[]'])
def test_notes_that_are_no_runs_are_refused(text):
  kept = {} if text is None else {'config': text}
  with pytest.raises(ValueError, match='in w are not those of a run'):
    validate_resume(kept, rl.get_config(), 'w')


def test_longer_runs_of_a_schedule_are_told(caplog):
  config = changed('sft', 'max_steps', 9000)
  validate_resume(notes('sft'), config, 'w')  # of workdir and Loop
  assert not caplog.text
  warn_of_schedule(notes('sft'), config)
  assert ('over which config.optimizer.schedule=cosine' in caplog.text) == (
    config.optimizer.schedule == 'cosine'
  )


@pytest.fixture
def own_rows(tmp_path, monkeypatch):
  """A run on rows of a file."""
  monkeypatch.setenv('TFDS_DATA_DIR', str(tmp_path / 'prepared'))
  write(tmp_path / 'data/train.jsonl', [3, 4, 5])
  return at(tmp_path / 'data')


def write(file, answers):
  file.parent.mkdir(exist_ok=True)
  rows = [{'question': f'{x}?', 'answer': f'x #### {x}'} for x in answers]
  file.write_text(''.join(json.dumps(row) + '\n' for row in rows))


def at(folder):
  return changed('grpo', 'data.path', str(folder))


@pytest.mark.parametrize(
  'answers', [[3, 4, 6], [4, 3, 5], [3, 4], [3, 4, 5, 5]]
)
def test_other_rows_are_refused(own_rows, tmp_path, answers):
  kept = identity(own_rows, 'grpo')
  write(tmp_path / 'data/train.jsonl', answers)
  with pytest.raises(ValueError, match=r'SHA-256 .* then, .* now') as error:
    validate_resume(kept, own_rows, 'w')
  assert f"  the rows of config.data.path='{tmp_path}/data'" in str(error.value)


def test_the_same_rows_may_move(own_rows, tmp_path):
  kept = identity(own_rows, 'grpo')
  (tmp_path / 'data').rename(tmp_path / 'moved')
  assert validate_resume(kept, at(tmp_path / 'moved'), 'w') == kept
  write(tmp_path / 'moved/test.jsonl', [7])  # which the training does not read
  assert validate_resume(kept, at(tmp_path / 'moved'), 'w') == kept
