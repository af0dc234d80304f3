"""Fields that contradict each other, fields that there are not, functions that
are none; and beside them what a command line can say."""

import pytest

from experiments.fields.check import check
from experiments.fields.overrides import at, resolved

KIND = 'contradictions between fields'
RL, HRPO, SFT, LRT = 'rl:MODEL', 'hrpo_gsm8k:MODEL', 'sft:MODEL', 'lrt:MODEL,rl'
GRADED = 'hybrid_latent.rewards'

# Command, config, what is written, and what is said of it.
WRONG = [
  # --------------------------------------------------------- rows and updates
  ('grpo', RL, 'gradient_accumulation_steps=3',
   'gradient_accumulation_steps=3: write num_mini_batches * gr'),
  ('grpo', RL, 'num_mini_batches=5',
   'num_mini_batches=5, config.gradient_accumulation_steps=4: wri'),
  ('grpo', RL, 'rollout.num_generations=1',
   'rollout.num_generations=1, config.critic.enabled=Fal'),
  ('grpo', HRPO, 'num_iterations=2',
   "num_iterations=2, config.num_mini_batches=1, config.feedbac"),
  ('grpo', HRPO, 'num_mini_batches=2',
   'num_mini_batches=2, config.feedback.function='),
  ('grpo', 'soft_tokens_gsm8k:MODEL', 'objective.kwargs.beta=0.1',
   "feedback.function='soft:soft': write beta=0, as the reference"),
  ('grpo', HRPO, 'rollout.max_num_seqs=4 rollout.cache_stages=2',
   "max_num_seqs=4, config.rollout.cache_stages=2: write cache_stages=1"),
  ('grpo', HRPO, 'latent_passes=2',
   "latent_passes=2, config.feedback.function='gated:gated': write latent"),
  ('grpo', RL, 'rollout.dynamic_sampling_max_batches=2',
   'rollout.buckets=3: write rollout.bucket'),
  ('grpo', RL, 'max_steps=0 eval.num_prompts=0',
   'max_steps=0, config.eval.num_prompts=0, con'),
  ('lrt', LRT, 'gradient_accumulation_steps=7',
   'gradient_accumulation_steps=7: write num_mini_batches * gr'),
  ('lrt', LRT, 'rollout.num_generations=1',
   "sft_answers_dir='', config.rollout.num_generations=1: write "),
  ('lrt', LRT, 'data.sft_answers_dir=F',
   "sft_answers_dir='F', config.rollout.num_generations=8: write "),
  ('lrt', LRT, 'data.sft_answers_dir=F rollout.num_generations=1',
   'write cross_entropy:cross_'),
  ('sft', SFT, 'batch_size=6',
   'batch_size=6, config.gradient_accumulation_steps=4: write gradient_acc'),
  ('sft', SFT, 'gradient_accumulation_steps=5',
   'gradient_accumulation_steps=5: write gradient_accumulation_steps that '),
  # ----------------------------------------------------------------- lengths
  ('grpo', RL, 'rollout.max_thinking_tokens=600',
   'max_completion_length=512, config.rollout.max_th'),
  ('grpo', RL, 'rollout.max_answer_tokens=513', 'max_answer_tokens=513'),
  ('grpo', RL, 'rollout.answer_reserve=512', 'answer_reserve=512'),
  ('grpo', RL, 'eval.max_thinking_tokens=513',
   'eval.max_thinking_tokens=513: write a max_completion_le'),
  ('generate', RL, 'rollout.max_thinking_tokens=600',
   'rollout.max_thinking_tokens=600'),
  ('evaluate', LRT, 'rollout.answer_reserve=4096',
   'rollout.answer_reserve=4096'),
  # ------------------------------------------------------- critic, reference
  ('grpo', RL, 'critic.enabled=True', "a group that trains the critic"),
  ('grpo', RL, 'critic.enabled=True optimizer.groups.c.pattern=^critic '
   'optimizer.groups.c.lr=1e-5', "'advantages:group_relative': write advanta"),
  ('grpo', RL, 'advantage.function=gae:gae advantage.kwargs={}',
   'critic.enabled=False: write critic.enabled=True'),
  ('grpo', RL, 'critic.enabled=True advantage.function=gae:gae '
   'advantage.kwargs={}', "a group that trains the critic"),
  ('grpo', RL, 'reference.sync_steps=5', 'sync_steps=5, config.objective.kwar'),
  # ------------------------------------------------------ what would be said
  ('grpo', RL, 'checkpoint.best=eval/acuracy', "best='eval/acuracy', config.r"),
  ('grpo', RL, 'checkpoint.best=reward', "best='reward', config.rewards="),
  ('grpo', RL, 'checkpoint.best=eval/accuracy/pass@4', "pass@4'"),
  ('grpo', RL, 'checkpoint.best=eval/accuracy eval.num_prompts=0',
   "eval.num_prompts=0: write eval.num"),
  ('sft', SFT, 'checkpoint.best=eval/accuracy',
   'eval.num_prompts=0: write eval.'),
  ('grpo', RL, 'rewards.accuracy.weight=0', 'write a weight that is not 0'),
  ('lrt', LRT, 'rewards.accuracy.weight=0', 'write a weight that is not 0'),
  ('grpo', RL, 'data.prompt_template=hello',
   "prompt_template='hello': write a text with "),
  ('generate', RL, 'rollout.end_of_thinking=',
   "end_of_thinking='': write the text that e"),
  ('serve', RL, 'rollout.end_of_thinking=',
   "end_of_thinking='': write the text that ends"),
  # ------------------------------------------------------------- what learns
  ('grpo', RL, 'optimizer.groups.lora.pattern=^critic', 'lora.rank=32, config'),
  ('grpo', RL, 'objective.kwargs.aggregation=constant', "'constant', config.o"),
  ('grpo', RL, 'objective.kwargs.surrogate=sapo', "clip_range=None with surr"),
  ('grpo', RL, 'objective.kwargs.length=64.0', "length=64.0: write the larges"),
  ('grpo', HRPO, 'feedback.init_kwargs.r_min=0.9999', 'r_min=0.9999, config'),
  ('grpo', RL, 'objective.function=cross_entropy:cross_entropy '
   'objective.kwargs={}', 'cross-entropy has no rewards'),
  ('sft', SFT, 'stages.starts=(1,)',
   'starts=(1,), config.max_steps=700: write the '),
  ('sft', SFT, 'stages.starts=(0,900) stages.data_fraction=(1.0,1.0)',
   'starts=(0, 900)'),
  ('sft', SFT, 'stages.starts=(0,5,5) stages.data_fraction=(1,1,1)',
   'starts=(0, 5, 5)'),
  ('sft', SFT, 'stages.data_fraction=(0.5,0.5)',
   'data_fraction=(0.5, 0.5), config.stages.sta'),
  ('sft', SFT, 'max_steps=0', 'config.max_steps=0: write the firs'),
  ('sft', SFT, 'objective.function=codi:self_distillation '
   'curriculum.function=codi:codi curriculum.kwargs={} packing=True',
   'packing=True: write packi'),
  ('sft', SFT, 'objective.function=cross_entropy:cross_entropy',
   'write a loss of supervised texts'),
  ('grpo', RL, 'objective.function=supervised:weighted_cross_entropy '
   'objective.kwargs={}', 'write a loss of completions'),
  # ------------------------------------------------------------------ latents
  ('grpo', RL, 'rollout.mode=latent', "mode='latent', config.feedback.functio"),
  ('lrt', LRT, 'rollout.mode=chain_of_thought',
   "mode='chain_of_thought': write '' or 'latent"),
  ('lrt', LRT, 'feedback.function=discrete:discrete', 'one with a prefix'),
  ('lrt', LRT, 'feedback.init_kwargs.backbone=',
   "backbone='': write the folder o"),
  # ------------------------------------------------------------------- no field
  ('grpo', RL, 'max_stepz=3',
   'has no field config.max_stepz: write config.max_steps'),
  ('grpo', RL, 'rolout.num_generations=3',
   'write config.rollout.num_generations'),
  ('grpo', RL, 'rollout=3', 'write config.rollout.answer_reserve'),
  ('grpo', RL, 'data.sft_answers_dir=F',
   'data.sft_answers_dir, which other configs have: '),
  ('grpo', RL, 'batch_size=3', 'has no field config.batch_size'),
  ('sft', SFT, 'rollout.dynamic_sampling_max_batches=2',
   'no field config.rollout.dynamic_sampling_max_batches'),
  ('sft', SFT, 'rollout.mesh.fsdp=2', 'no field config.rollout.mesh.fsdp'),
  ('sft', SFT, 'rollout.logits_chunk=2',
   'no field config.rollout.logits_chunk'),
  ('sft', SFT, 'rollout.mask_truncated=True', 'no field config.rollout.mask_t'),
  ('lrt', LRT, 'rollout.rollout_dir=F', 'no field config.rollout.rollout_dir'),
  ('lrt', LRT, 'critic.enabled=True', 'no field config.critic.enabled'),
  ('lrt', LRT, 'reward_kl.beta=1', 'no field config.reward_kl.beta'),
  ('grpo', RL, 'rewards.mine.wieght=1', 'no field config.rewards.mine.wieght'),
  ('grpo', RL, 'eval.sampling.topk=1', 'no field config.eval.sampling.topk'),
  # -------------------------------------------------------- another command's
  ('grpo', SFT, '', 'this is a config of python -m '),
  ('sft', RL, '', 'this is a config of python -m '),
  ('lrt', RL, '', 'this is a config of python -m '),
  ('generate', SFT, '', 'this is a config of python -m '),
  ('evaluate', SFT, '', 'this is a config of python -m '),
  ('step_entropy', RL, '', 'this is a config of python -m '),
  # ---------------------------------------------------------------- functions
  ('grpo', RL, 'feedback.function=gated:gatd', "config.feedback.function: 'ga"),
  ('grpo', RL, 'feedback.function=gate:gated', 'no module hybrid_latent.feedb'),
  ('grpo', RL, 'feedback.function=gated', "'gated': write 'module:function'"),
  ('grpo', HRPO, 'feedback.init=gated:Gat', 'config.feedback.init'),
  ('grpo', RL, 'objective.function=policy_gradient:grpo', 'config.objective.f'),
  ('grpo', RL, 'advantage.function=nope:f', 'config.advantage.function: '),
  ('grpo', RL, 'data.function=nope:problems', 'config.data.function: '),
  ('sft', SFT, 'curriculum.function=cot:solutions', 'config.curriculum.fun'),
  ('grpo', RL, 'rewards.accuracy.function=os:system', 'no function written in'),
  ('grpo', RL, 'rewards.accuracy.function=math:sqrt', 'config.rewards.accurac'),
  ('grpo', RL, 'rewards.accuracy.function=builtins:len', 'no function written'),
  ('grpo', RL, f'rewards.accuracy.function={GRADED}.hrpo:gsm9k', 'gsm9k'),
  ('grpo', RL, 'rewards.accuracy.function=hrpo:correct', f"'{GRADED}.hrpo:cor"),
  ('grpo', RL, 'rewards.mine.weight=1', "config.rewards.mine.function is ''"),
  ('grpo', RL, 'optimizer.groups.mine.pattern=x', 'config.optimizer.groups.mi'),
  # ----------------------------------------------------------------- keywords
  ('grpo', RL, 'objective.kwargs.importance_sampling_mod=none',
   'write config.objective.kwa'),
  ('grpo', RL, 'advantage.kwargs.whiten=True', 'no field config.advantage.kwa'),
  ('grpo', RL, 'rewards.accuracy.kwargs.parserr=fixed', 'kwargs.parser'),
  ('grpo', RL, 'feedback.kwargs.width=3', 'no field config.feedback.kwargs.wi'),
  ('grpo', RL, 'data.kwargs.tsk=math', 'write config.data.kwargs.task'),
  ('grpo', HRPO, 'feedback.function=hidden:hidden', "takes none: write --conf"),
  ('grpo', HRPO, 'feedback.init_kwargs.rmin=0.5', 'feedback.init_kwargs.r_min'),
  ('sft', 'coconut_gsm8k:MODEL', 'curriculum.kwargs.max_stepz=1',
   'curriculum.kwa'),
]  # fmt: skip
RIGHT = [
  ('grpo', RL, 'objective.kwargs.clip_range', 'None', None),
  ('grpo', RL, 'objective.kwargs.clip_range', '(0.2, 0.28)', (0.2, 0.28)),
  ('grpo', RL, 'objective.kwargs.clip_range', '0.2,1', (0.2, 1.0)),
  (
    'grpo',
    RL,
    'objective.kwargs.importance_sampling_mode',
    'token_mask',
    'token_mask',
  ),
  ('grpo', RL, 'objective.kwargs.delta', '3', 3.0),
  ('grpo', RL, 'objective.kwargs.value_clip', 'None', None),
  ('grpo', RL, 'optimizer.groups.lora.lr', '1', 1.0),
  ('grpo', RL, 'optimizer.warmup_ratio', '0', 0.0),
  ('grpo', RL, 'generate.min_reward', '-inf', float('-inf')),
  ('grpo', RL, 'eval.sampling.temperature', '0.6', 0.6),
  ('grpo', RL, 'evaluate.budgets', '64', (64,)),
  ('grpo', RL, 'evaluate.budgets', '64,128', (64, 128)),
  ('grpo', RL, 'evaluate.modes', 'chain_of_thought', ('chain_of_thought',)),
  (
    'grpo',
    RL,
    'evaluate.modes',
    'chain_of_thought,latent',
    ('chain_of_thought', 'latent'),
  ),
  ('grpo', RL, 'evaluate.models', "('a=F',)", ('a=F',)),
  ('grpo', RL, 'model.new_tokens', '<a>,<b>', ('<a>', '<b>')),
  ('grpo', RL, 'data.kwargs.task', 'math', 'math'),
  ('grpo', RL, 'data.kwargs', '{"task": "math"}', {'task': 'math'}),
  ('grpo', RL, 'data.kwargs', 'task=math', {'task': 'math'}),
  ('grpo', RL, 'data.prefill', "it's 5", "it's 5"),
  ('grpo', RL, 'data.train_split', '2024', '2024'),
  ('grpo', RL, 'export', 'true', True),
  ('grpo', RL, 'mesh.data', '-1', -1),
  ('grpo', RL, 'rewards.accuracy.kwargs', '{}', {}),
  ('grpo', HRPO, 'feedback.init_kwargs.r_min', '0.5', 0.5),
  (
    'sft',
    'codi_gsm8k:MODEL',
    'feedback.inner.init_kwargs.norm',
    'False',
    False,
  ),
]


def overridden(config, written):
  words = written.split(' ') if written else []
  return resolved(config, [f'--config.{word}' for word in words])


@pytest.mark.parametrize(('command', 'config', 'written', 'said'), WRONG)
def test_a_contradiction_is_refused(command, config, written, said, now):
  with pytest.raises(ValueError) as error:
    check(overridden(config, written), command)
  told = str(error.value)
  now(KIND, f'{command} {config} {written}', told)
  assert said in told
  assert 'write' in told or 'has [' in told


@pytest.mark.parametrize(('command', 'config', 'field', 'text', 'value'), RIGHT)
def test_what_a_command_line_can_say(command, config, field, text, value):
  made = resolved(config, [f'--config.{field}={text}'])
  check(made, command)
  found = at(made, field)
  if isinstance(value, dict):
    found = found.to_dict()
  assert found == value
  assert type(found) is type(value)
  assert made.is_locked


def test_a_second_reward(tmp_path, monkeypatch):
  """Of a module beside the command, and in whatever order it is written."""
  (tmp_path / 'my_rewards.py').write_text(
    'def f(completions, *, answer, scale=1, **columns):\n  return []\n'
  )
  monkeypatch.syspath_prepend(str(tmp_path))
  fields = 'weight=0.5', 'kwargs.scale=3', 'function=my_rewards:f'
  made = resolved(RL, [f'--config.rewards.mine.{field}' for field in fields])
  check(made, 'grpo')
  assert made.rewards.mine.to_dict() == {
    'function': 'my_rewards:f',
    'weight': 0.5,
    'kwargs': {'scale': 3},
  }
  assert list(made.rewards) == ['accuracy', 'mine']


@pytest.mark.parametrize(
  ('source', 'said'),
  [
    ('def f(completions): return []', 'whose arguments are (completions)'),
    ('async def f(completions, **_): return []', 'which is async'),
    ('def f(prompts, completions, **_): return []', 'every column'),
    ('def f(**columns): return []', 'every column'),
    ('f = 3', 'has ['),
    ('import no_such_thing', "ModuleNotFoundError: No module named 'no_such"),
    ('1 / 0', 'ZeroDivisionError'),
    ('def f(:', 'SyntaxError'),
  ],
)
def test_a_reward_that_cannot_work(source, said, tmp_path, monkeypatch, now):
  name = f'rewards_{abs(hash(source))}'
  (tmp_path / f'{name}.py').write_text(source)
  monkeypatch.syspath_prepend(str(tmp_path))
  made = resolved(RL, [f'--config.rewards.accuracy.function={name}:f'])
  with pytest.raises(
    ValueError, match=r'config\.rewards\.accuracy\.function'
  ) as e:
    check(made, 'grpo')
  now('a reward that can never work runs to the end', source, e.value)
  assert said in str(e.value)


def test_hosts_share_the_rows():
  for command, config in (('grpo', RL), ('lrt', LRT), ('sft', SFT)):
    made = resolved(config, [])
    with pytest.raises(ValueError, match='a multiple of the number of hosts'):
      check(made, command, hosts=3)


def test_steps_0_needs_no_group_and_no_updates():
  words = (
    'max_steps=0 rollout.num_generations=1 gradient_accumulation_steps=3 '
    'num_iterations=2'
  )
  check(overridden(HRPO, words), 'grpo')
