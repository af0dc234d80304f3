"""All fields of experiments/grpo.py, with TRL's defaults of GRPO.

    python -m experiments.grpo --workdir=runs/rl \
        --config=rl:Qwen/Qwen2.5-0.5B-Instruct

The other configs start from these defaults and set the values of their paper.
The argument of each is MODEL[,WORD...]: a preset (smollm2-135m), a .gguf file,
a Hugging Face folder or a name on its hub, then words of the config; `smoke`
shortens any of them to a minute or two on two CPU cores. MODEL may be any
Qwen2.5, Qwen3, Llama 3.x or SmolLM2, from 135M to 32B. ../../PAPERS.md has the
source of each number, ../../docs/config.md the meaning of each field and its
accepted values (experiments/fields).
"""

from collections.abc import Sequence
from typing import NamedTuple

from ml_collections import ConfigDict


class Argument(NamedTuple):
  """The argument of --config=FILE.py:ARGUMENT."""

  source: str  # the model
  words: tuple[str, ...]  # one per choice, the first by default
  smoke: bool


def parse_arg(argument: str, *choices: Sequence[str]) -> Argument:
  """Parses 'MODEL[,WORD...]' with at most one word of each of `choices`, and
  'smoke'."""
  source, *words = argument.split(',')
  smoke = 'smoke' in words
  words = [word for word in words if word != 'smoke']
  chosen = tuple(
    next((word for word in words if word in choice), choice[0])
    for choice in choices
  )
  # Also an unknown word, a repeated one and two of one choice differ here.
  if sorted(words) != sorted(set(words) & set(chosen)):
    known = ''.join(f'[,{"|".join(x)}]' for x in [*choices, ['smoke']])
    raise ValueError(f"config argument {argument!r}: write 'MODEL{known}'")
  return Argument(source, chosen, smoke)


def get_config(argument: str = 'Qwen/Qwen2.5-0.5B-Instruct') -> ConfigDict:
  source, _, smoke = parse_arg(argument)
  return finalize(defaults(source), smoke)


def defaults(source: str) -> ConfigDict:
  """GRPO on GSM8K with plain tokens; unlocked."""
  small = source == 'smollm2-135m'
  config = ConfigDict()
  config.seed = 42
  config.max_steps = 934  # one epoch of GSM8K: 7473 prompts, 8 per step
  config.num_iterations = 1
  config.num_mini_batches = 1
  config.latent_passes = 0
  config.gradient_accumulation_steps = 4

  config.model = dict(
    source=source,
    dtype='float32' if small else 'bfloat16',
    param_dtype='float32' if small else 'bfloat16',
    remat='none' if small else 'full',
    attention=None,
    new_tokens=(),
  )
  config.lora = dict(rank=32, alpha=64.0)
  config.critic = dict(enabled=False)
  config.mesh = dict(data=-1, fsdp=1, tensor=1, sequence=1)

  config.data = dict(
    function='jsonl:problems',
    kwargs=dict(task='gsm8k'),
    path='',
    fields='',
    train_split='train',
    test_split='test',
    system_prompt='',
    prompt_template='',
    prefill='',
    enable_thinking=True,
  )
  config.rollout = dict(
    prompts_per_step=8,
    num_generations=8,
    max_prompt_length=512,
    max_completion_length=512,
    mesh=dict(data=0, fsdp=0, tensor=0, sequence=0),
    buckets=3,
    cache_stages=1,
    max_num_seqs=0,
    logits_chunk=128,
    end_of_thinking='####',
    max_thinking_tokens=0,
    forced_text=dict(
      after_thinking='', on_truncation='', on_budget='', no_thinking=''
    ),
    max_answer_tokens=0,
    answer_reserve=0,
    mode='',
    dynamic_sampling_max_batches=1,
    mask_truncated=False,
    rollout_dir='',
    sampling=dict(
      temperature=1.0,
      top_k=0,
      top_p=1.0,
      min_p=0.0,
      greedy=False,
      greedy_answer=False,
      score_temperature=1.0,
    ),
  )
  config.dump_every = 0
  config.feedback = dict(
    function='discrete:discrete', kwargs={}, init='', init_kwargs={}
  )
  config.objective = dict(
    function='policy_gradient:policy_gradient',
    kwargs=dict(aggregation='token', clip_range=(0.2, 0.2), beta=0.0),
  )
  config.advantage = dict(
    function='advantages:group_relative',
    kwargs=dict(scale='group', ddof=1, eps=1e-4),
  )
  config.reward_kl = dict(beta=0.0, estimator='k1')
  config.reference = dict(sync_steps=0, mixup_alpha=0.6)
  config.rewards = dict(
    accuracy=dict(
      function='hybrid_latent.rewards.hrpo:correct',
      weight=1.0,
      kwargs=dict(parser='fixed'),
    ),
  )
  config.grader = dict(workers=2, timeout_s=20.0)
  config.optimizer = dict(
    groups=dict(
      # Ten times TRL's rate, which is for all parameters.
      lora=dict(pattern=r'^model\..*\.lora\.', lr=1e-5, weight_decay=0.0)
    ),
    schedule='constant',
    warmup_ratio=0.0,
    b1=0.9,
    b2=0.999,
    max_grad_norm=1.0,
  )
  config.eval = dict(
    num_prompts=0 if small else 256,
    every=100,
    num_generations=1,
    max_thinking_tokens=0,
    sampling=dict(greedy=True),
    datasets=(),
  )
  config.checkpoint = dict(every=1 if small else 250, keep=2, best='')
  config.num_logged_completions = 8
  config.trackers = ('tensorboard',)
  config.profile = dict(step=0, steps=0)
  config.nonfinite = dict(action='stop', limit=3)
  config.alarms = dict(
    window=20,
    stop=(),
    flat_groups=1.0,
    entropy_collapse=0.01,
    length_explosion=0.95,
    kl_blowup=5.0,
    latent_collapse=0.01,
    gate_saturation=None,
  )
  config.generate = dict(
    num_generations=1, num_prompts=0, rows_per_shard=256, min_reward=1.0
  )
  config.evaluate = dict(
    base=True,
    models=(),
    reasoners=(),
    as_trained=False,
    feedbacks=('',),
    modes=(),
    budgets=(),
    answer_reserve=32,
    controls=('other_problem', 'pause', 'dropped'),
    datasets=(),
    data_dir='',
    given=(),
  )
  config.export = False
  if small:  # two CPU cores
    config.gradient_accumulation_steps = 2
    config.rollout.update(
      prompts_per_step=4,
      num_generations=4,
      max_prompt_length=256,
      max_completion_length=128,
    )
  return config


def finalize(config: ConfigDict, smoke: bool = False) -> ConfigDict:
  """The config, locked; for a smoke test with two steps of eight short
  completions."""
  if smoke:
    rollout, group = config.rollout, min(config.rollout.num_generations, 4)
    config.max_steps = min(config.max_steps, 2)  # 0 stays an evaluation
    config.num_iterations = min(config.num_iterations, 2)
    config.num_mini_batches = min(config.num_mini_batches, 2)
    config.gradient_accumulation_steps = 1
    longest = min(rollout.max_prompt_length, 1024)
    rollout.update(
      prompts_per_step=8 // group,
      num_generations=group,
      max_prompt_length=longest,
      max_completion_length=32,
    )
    if rollout.max_thinking_tokens:
      rollout.update(max_thinking_tokens=16, max_answer_tokens=8)
      config.eval.max_thinking_tokens = 0
    config.eval.num_prompts = 0 if config.max_steps else 8
    config.checkpoint.every = 1
    config.generate.num_prompts = 8
    config.evaluate.answer_reserve = 16
    if config.evaluate.budgets:
      config.evaluate.budgets = (32,)
  return config.lock()


def full_finetune(config: ConfigDict, lr: float, weight_decay: float = 0.0):
  """Full fine-tuning: no adapters, all parameters of the model in one group."""
  config.lora.rank = 0
  config.model.param_dtype = 'float32'
  group = dict(pattern=r'^model\.', lr=lr, weight_decay=weight_decay)
  config.optimizer.groups = dict(model=group)
