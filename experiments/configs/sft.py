"""All fields of experiments/sft.py, with the defaults of TRL's SFTConfig.

    python -m experiments.sft --workdir=runs/sft \
        --config=sft:Qwen/Qwen2.5-0.5B-Instruct

The other configs start from these defaults and set the values of their paper.
The argument is as in rl.py, and so are the fields of loading, sampling and
grading.
"""

from ml_collections import ConfigDict

from . import rl

SHARED = ('seed', 'model', 'lora', 'mesh', 'data', 'feedback', 'rollout',
           'rewards', 'grader', 'eval', 'optimizer', 'checkpoint',
           'trackers', 'profile', 'nonfinite', 'alarms')  # fmt: skip
# Fields of rollout that only training on rollouts uses.
ROLLOUT_ONLY = (
  'mesh',
  'dynamic_sampling_max_batches',
  'rollout_dir',
  'mask_truncated',
  'logits_chunk',
)
SPAN_TOKENS = ('<start-latent>', '<latent>', '<end-latent>')


def get_config(argument: str = 'Qwen/Qwen2.5-0.5B-Instruct') -> ConfigDict:
  source, _, smoke = rl.parse_arg(argument)
  return finalize(defaults(source), smoke)


def defaults(source: str) -> ConfigDict:
  """Full fine-tuning on GSM8K's own solutions as text; unlocked."""
  base = rl.defaults(source)
  rl.full_finetune(base, lr=2e-5)
  config = ConfigDict({name: base[name] for name in SHARED})
  for name in ROLLOUT_ONLY:
    del config.rollout[name]
  config.data.step_entropy_dir = ''
  config.max_steps = 700  # three epochs of GSM8K
  config.batch_size = 32
  config.gradient_accumulation_steps = 4
  config.max_length = 1024
  config.packing = False
  config.buckets = 3
  config.logits_chunk = 128
  config.curriculum = dict(
    function='cot:worked_solutions', kwargs=dict(steps=True)
  )
  config.stages = dict(starts=(0,), data_fraction=(1.0,), reset_optimizer=False)
  config.bptt_steps = config.latent_passes = 0
  config.objective = dict(
    function='supervised:weighted_cross_entropy',
    kwargs={},
    init='',
    init_kwargs={},
  )
  config.entropy = dict(
    aggregation='mean', rows_per_shard=1024, example_steps=2
  )
  config.eval.num_prompts = 0
  return config


def use_latent_spans(
  config: ConfigDict, num_latents: int, opening: bool, delimiters: bool = True
) -> None:
  """Spans of `num_latents` hidden states, where the model samples their start
  token or, with `opening`, once before the completion, there without start and
  end unless `delimiters`."""
  config.model.new_tokens = SPAN_TOKENS
  config.feedback = dict(
    function='switching:switching',
    kwargs={},
    init='switching:spans',
    init_kwargs=dict(
      num_latents=num_latents,
      sampled=False,
      opening=opening,
      **({} if delimiters else {'delimiters': False}),
    ),
  )


def finalize(config: ConfigDict, smoke: bool = False) -> ConfigDict:
  """The config, locked; for a smoke test with two steps per stage."""
  if smoke:
    stages = len(config.stages.starts)
    config.stages.starts = tuple(range(0, 2 * stages, 2))
    config.max_steps = 2 * stages
    config.batch_size, config.gradient_accumulation_steps = 4, 1
    config.max_length = min(config.max_length, 512)
    config.rollout.update(
      prompts_per_step=4, max_prompt_length=256, max_completion_length=64
    )
    config.eval.num_prompts = 4
    config.checkpoint.every = 1
  return config.lock()
