"""Every field of experiments/sft.py, with TRL's SFTConfig as defaults.

    python -m experiments.sft --workdir=runs/sft \
        --config=experiments/configs/sft.py:Qwen/Qwen2.5-0.5B-Instruct

The configs beside it begin here and say what their paper changes. The argument
is as in rl.py, and so are the fields that say how a model is loaded, sampled
and graded.
"""

from ml_collections import ConfigDict

from . import rl

SAMPLED = ('seed', 'model', 'lora', 'mesh', 'data', 'feedback', 'rollout',
           'rewards', 'grader', 'eval', 'optimizer', 'checkpoint',
           'nonfinite', 'alarms')  # fmt: skip
# Of rollout, what only training on rollouts reads.
REINFORCED = 'mesh', 'attempts', 'source', 'mask_truncated', 'chunk'
SPAN_TOKENS = ('<start-latent>', '<latent>', '<end-latent>')


def get_config(argument: str = 'Qwen/Qwen2.5-0.5B-Instruct') -> ConfigDict:
  source, _, smoke = rl.parsed(argument)
  return finished(defaults(source), smoke)


def defaults(source: str) -> ConfigDict:
  """Full fine-tuning on GSM8K's own solutions, in words; unlocked."""
  base = rl.defaults(source)
  rl.trained_whole(base, lr=2e-5)
  config = ConfigDict({name: base[name] for name in SAMPLED})
  for name in REINFORCED:
    del config.rollout[name]
  config.data.scored = ''
  config.steps = 700  # three epochs of GSM8K
  config.batch = 32
  config.micro_batches = 4
  config.length = 1024
  config.packed = False
  config.buckets = 3
  config.chunk = 128
  config.curriculum = dict(
    function='cot:worked_solutions', kwargs=dict(steps=True)
  )
  config.stages = dict(begin=(0,), share=(1.0,), reset_optimizer=False)
  config.truncate = 0
  config.distillation = dict(weight=0.0, kind='smooth_l1', scaled=True)
  config.entropy = dict(measure='mean', rows_per_part=1024, shown=2)
  config.eval.prompts = 0
  return config


def in_latents(config: ConfigDict, slots: int, opening: bool) -> None:
  """Spans of `slots` hidden states, where the model begins them or, `opening`,
  once before it speaks."""
  config.model.new_tokens = SPAN_TOKENS
  config.feedback = dict(
    function='switching:switching',
    kwargs={},
    parameters='switching:spans',
    initial=dict(slots=slots, sampled=False, opening=opening),
  )


def finished(config: ConfigDict, smoke: bool = False) -> ConfigDict:
  """The config, locked; cut to two steps a stage if it is a smoke test."""
  if smoke:
    stages = len(config.stages.begin)
    config.stages.begin = tuple(range(0, 2 * stages, 2))
    config.steps = 2 * stages
    config.batch, config.micro_batches = 4, 1
    config.length = min(config.length, 512)
    config.rollout.update(prompts=4, prompt_length=256, max_tokens=64)
    config.eval.prompts = 4
    config.checkpoint.every = 1
  return config.lock()
