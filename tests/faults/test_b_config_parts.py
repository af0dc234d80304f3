"""Whole parts, groups that learn nothing, what is no feedback, and configs of
one's own that lack a field or have one too many."""

import pytest

from experiments.fields.check import check
from experiments.fields.overrides import at, resolved

KIND = 'nonsense that trains nothing, exit 0'
RL, HRPO, SFT, LRT = 'rl:MODEL', 'hrpo_gsm8k:MODEL', 'sft:MODEL', 'lrt:MODEL,rl'
CLIP = 'objective.kwargs.clip_range'


def made(command, config, *written):
  found = resolved(config, [f'--config.{word}' for word in written])
  check(found, command)
  return found


@pytest.mark.parametrize(
  ('command', 'config', 'written', 'said'),
  [
    ('grpo', RL, ['max_steps=99999999999999999999'], 'write an integer >= 0'),
    ('grpo', RL, ['mesh.fsdp=-1'], "'fsdp': -1"),
    ('grpo', RL, ['rollout.mesh.data=-1', 'rollout.mesh.fsdp=-1'], 'one axis'),
    ('grpo', RL, ['rollout.sampling.greedy=True'], 'as equal completions'),
    ('grpo', RL, ['rollout.sampling.top_k=1'], 'as equal completions'),
    ('grpo', RL, ['eval.num_generations=4'], 'eval.sampling.greedy=False'),
    ('grpo', RL, ['alarms.stop=gate_saturation'], 'a threshold above 0'),
    ('grpo', RL, ['reference.sync_steps=5', 'reference.mixup_alpha=0'],
     'a mixup_alpha above'),
    ('grpo', RL, ['rollout.end_of_thinking=', 'rollout.max_answer_tokens=9'],
     "end_of_thinking=''"),
    ('grpo', RL, ['optimizer.groups.x.lr=1e-5'], 'a regular expression'),
    ('grpo', RL, ['model.source= '], 'config.model.source'),
    ('grpo', RL, ['model.new_tokens=<a>,<a>'], 'each token once'),
    ('grpo', RL, ['model.new_tokens=<a>='], 'TOKEN=OTHER'),
    ('grpo', RL, ['rewards.judged.function=a:f'], 'a name for each reward'),
    ('grpo', RL, ['rewards.accuracy.kwargs.answer=3'], 'no field config.rew'),
    ('grpo', RL, ['feedback.function=os:getcwd'], 'which returns'),
    ('grpo', RL, ['feedback.function=gated:gated'], 'initializer of its'),
    ('grpo', HRPO, ['feedback.init='], 'initializer of its'),
    ('grpo', HRPO, ['feedback.inner.function=hidden:hidden'], 'inner returns'),
    ('grpo', RL, ['rewards.accuracy.function=./mine:f'], 'module:function'),
    ('grpo', 'rl_arithmetic:M,grpo', ['data.kwargs.largest=-1'],
     'integer >= 2'),
    ('sft', SFT, ['objective.function=codi:self_distillation'],
     'codi:codi'),
    ('lrt', LRT, ['rewards.accuracy.kwargs.seconds=0'], 'a number > 0'),
    (
      'grpo',
      'dapo_gsm8k:MODEL',
      ['rewards.overlong.kwargs.limit=9', 'rewards.overlong.kwargs.buffer=10'],
      'config.rewards.overlong.kwargs is',
    ),
  ],
)  # fmt: skip
def test_it_is_refused(command, config, written, said, now):
  with pytest.raises(ValueError) as error:
    made(command, config, *written)
  now(KIND, f'{command} {config} {written}', error.value)
  assert said in str(error.value)
  assert 'config' in str(error.value)


@pytest.mark.parametrize(
  ('written', 'name', 'value'),
  [
    ('advantage.kwargs.ddof=0', 'advantage.kwargs.ddof', 0),
    ('alarms.stop=', 'alarms.stop', ()),
    ('model.new_tokens=None', 'model.new_tokens', ()),
    ('data.system_prompt=None', 'data.system_prompt', ''),
    ('objective.kwargs={"clip_range": null}', CLIP, None),
    ('objective.kwargs=beta=0,clip_range=(0.2,1.0)', CLIP, (0.2, 1.0)),
    ("objective.kwargs={'clip_range': [0.2, 1.0]}", CLIP, (0.2, 1.0)),
    ('mesh={"data": 1, "fsdp": -1}', 'mesh.fsdp', -1),
    ('eval.sampling=temperature=0.6,top_p=0.9', 'eval.sampling.top_p', 0.9),
    (
      'optimizer.groups.head={"pattern": "head", "lr": 1e-6}',
      'optimizer.groups.head.lr',
      1e-6,
    ),
  ],
)  # fmt: skip
def test_what_a_command_line_can_say(written, name, value):
  found = at(made('grpo', RL, written), name)
  assert found == value
  assert type(found) is type(value)


@pytest.mark.parametrize(
  ('change', 'said'),
  [
    (
      'config.max_stepz = 3',
      'config.max_stepz is 3, and no command reads it: write',
    ),
    ('config.rollout.grp = 3', 'config.rollout.grp is 3'),
    ('del config.alarms.window', 'config.alarms.window is missing: begin with'),
    ('config.nonfinite', ''),
    ('1 / 0', '--config: '),
    ('config.foo.bar = 3', 'get_config of'),
    ('return None', 'returns None'),
  ],
)
def test_a_config_file_of_ones_own(change, said, tmp_path, now):
  path = tmp_path / 'mine.py'
  outside = change if change == '1 / 0' else ''
  path.write_text(
    f'from experiments.configs import rl\n{outside}\n'
    'def get_config(source="MODEL"):\n'
    f'  config = rl.defaults(source)\n  {change}\n  return config\n'
  )
  if not said:
    made('grpo', str(path))
    return
  with pytest.raises(ValueError) as error:
    made('grpo', str(path))
  now(KIND, change, error.value)
  assert said in str(error.value)
