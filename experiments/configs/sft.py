"""Every field of experiments/sft.py, with TRL's SFTConfig as defaults.

    python -m experiments.sft --workdir=runs/sft \
        --config=experiments/configs/sft.py:Qwen/Qwen2.5-0.5B-Instruct

The configs beside it begin here and say what their paper changes. The argument
is as in rl.py, and so are the fields that say how a model is loaded, sampled
and graded.
"""

from ml_collections import ConfigDict

from experiments.configs import rl

SAMPLED = ('seed', 'model', 'lora', 'mesh', 'data', 'feedback', 'rollout',
           'rewards', 'grader', 'eval', 'optimizer', 'checkpoint',
           'nonfinite', 'alarms')  # fmt: skip
SPAN_TOKENS = ('<start-latent>', '<latent>', '<end-latent>')


def get_config(argument: str = 'Qwen/Qwen2.5-0.5B-Instruct') -> ConfigDict:
  source, _, smoke = rl.parsed(argument)
  return finished(defaults(source), smoke)


def defaults(source: str) -> ConfigDict:
  """Full fine-tuning on GSM8K's own solutions, in words; unlocked."""
  base = rl.defaults(source)
  rl.trained_whole(base, lr=2e-5)
  config = ConfigDict({name: base[name] for name in SAMPLED})
  config.data.scored = (
    ''  # a folder of experiments.entropy: the rows to train on
  )
  config.steps = 700  # three epochs of GSM8K
  config.batch = 32  # rows of a step
  config.micro_batches = 4  # slices of an update, which change nothing
  config.length = 1024  # positions of a row; longer examples are left out
  config.packed = False  # whether a row holds as many examples as fit
  config.buckets = 3  # else: rows are padded to 1/4, 1/2 or all of `length`
  config.chunk = 128  # positions whose logits exist at a time
  config.curriculum = dict(
    function='worked:worked_solutions', kwargs=dict(steps=True)
  )
  config.stages = dict(
    begin=(0,),  # the step at which each stage begins
    share=(1.0,),  # of the training data, in each stage
    reset_optimizer=False,  # whether every stage begins with a new one
  )
  config.truncate = 0  # latents that a gradient goes back through; 0: all
  config.distillation = dict(weight=0.0, kind='smooth_l1', scaled=True)
  # Of experiments.entropy; it shows examples with so many steps replaced.
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
