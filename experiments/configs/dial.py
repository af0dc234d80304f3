"""HyRea and what it is compared with, on turns of a dial (data/dial.py).

    python -m experiments.sft --workdir=runs/base --config=dial:FOLDER
    python -m experiments.step_entropy --workdir=runs/steps \\
        --config=dial:runs/base/model,entropy
    python -m experiments.sft --workdir=runs/cold \\
        --config=dial:runs/base/model,entropy \\
        --config.data.step_entropy_dir=runs/steps
    python -m experiments.grpo --workdir=runs/hyrea \\
        --config=dial:runs/cold/model,grpo

The argument is FOLDER[,METHOD]; FOLDER is made with --tokenizer=dial:tokenizer.
`words`, the default, learns solutions as text. `entropy`, `random`, `first`,
`last`, `highest` and `none` are HyRea's cold start with these steps replaced;
`pause` and `drop` are `entropy` with pause tokens, and with the steps simply
gone; `coconut` drops the first steps. `grpo` is HyRea's second stage,
`grpo_words` the same without spans, `switch` with gradients through latents;
`soft_thinking` needs no training. Numbers: experiments/studies/hyrea.py.
"""

from ml_collections import ConfigDict

from . import (
  coconut_gsm8k,
  hyrea_rl_math,
  hyrea_sft_math,
  rl_arithmetic,
  sft_gsm8k,
  soft_thinking_gsm8k,
)

REPLACED = ('entropy', 'random', 'first', 'last', 'highest', 'none')
METHODS = {
  'words': (sft_gsm8k.get_config, ''),
  **{name: (hyrea_sft_math.get_config, '') for name in REPLACED},
  'pause': (hyrea_sft_math.get_config, ''),
  'drop': (hyrea_sft_math.get_config, ''),
  'coconut': (coconut_gsm8k.get_config, ''),
  'grpo': (hyrea_rl_math.get_config, ''),
  'grpo_words': (hyrea_rl_math.get_config, ',words'),
  'switch': (hyrea_rl_math.get_config, ''),
  'soft_thinking': (soft_thinking_gsm8k.get_config, ''),
}
TOKENS = ('<start-latent>= From', '<latent>', '<end-latent>')
WORDS = 1000  # updates from random weights
STAGE = 150  # updates, until stage s of as many replaced steps is the last


def get_config(argument: str) -> ConfigDict:
  folder, _, method = argument.partition(',')
  method = method or 'words'
  if method not in METHODS:
    raise ValueError(
      f"config argument {argument!r}: write 'FOLDER[,{'|'.join(METHODS)}]'"
    )
  published, words = METHODS[method]
  config = published(folder + words).unlock()
  config.seed = 0
  config.lora.rank = 0
  config.model.update(dtype='float32', param_dtype='float32', remat='none')
  if method == 'soft_thinking':
    config.model.new_tokens = ()
    config.feedback.init_kwargs.end = '####'
  elif config.model.new_tokens:
    config.model.new_tokens = TOKENS
  config.gradient_accumulation_steps = 1
  config.data.update(
    function='dial:problems',
    train_split='train',
    test_split='test',
    system_prompt='',
    prompt_template='{question}',
  )
  config.data.kwargs = dict(count=24576)
  config.rollout.update(
    max_prompt_length=8,
    max_completion_length=40,
    buckets=1,
    end_of_thinking='####',
  )
  config.rewards.accuracy = dict(
    function='hybrid_latent.rewards.answers:exact',
    weight=config.rewards.get('accuracy', {}).get('weight', 1.0),
    kwargs={},
  )
  for name in 'format', 'latent':
    if name in config.rewards:
      config.rewards[name].kwargs.update(rl_arithmetic.ANSWERS[name])
  config.eval.update(num_prompts=256, every=10_000, sampling=dict(greedy=True))
  config.checkpoint.every, config.trackers = 10_000, ()
  config.grader.timeout_s = 60.0
  if 'curriculum' in config:
    _supervised(config, method)
  elif method != 'soft_thinking':
    _rl(config)
  if method == 'switch':
    config.latent_passes = 6  # latents of a completion, in place of its steps
  return config.lock()


def _supervised(config: ConfigDict, method: str) -> None:
  config.batch_size, config.max_length = 48 if method == 'words' else 32, 34
  # The rows of eight batches are sorted by length, and thereby by their number
  # of latents: a batch pays for its own.
  config.packing, config.buckets = False, 2
  config.max_steps, starts = WORDS, (0,)
  config.rollout.update(prompts_per_step=256, num_generations=1)
  config.data.step_entropy_dir = ''
  if method != 'words':
    config.max_steps, starts = 1500, (0, 1, STAGE, 2 * STAGE, 3 * STAGE)
  if method == 'coconut':
    config.curriculum.kwargs.update(c_thought=1, max_latent_stage=4)
    config.feedback.init_kwargs.num_latents = 4
  elif method != 'words':
    config.curriculum.kwargs.update(
      replace=method if method in REPLACED else 'entropy',
      min_step_tokens=2,
      uniform_prob=1.0,
      thinking_tags=('', ''),
      pause=method == 'pause',
    )
  if method in ('drop', 'none'):
    config.curriculum.kwargs.num_latents = 0
    config.model.new_tokens = ()
    config.feedback = dict(
      function='discrete:discrete', kwargs={}, init='', init_kwargs={}
    )
  if method == 'pause':  # the token where others have a latent
    config.feedback.inner = dict(
      function='discrete:discrete', kwargs={}, init='', init_kwargs={}
    )
  config.stages.update(
    starts=starts,
    data_fraction=(1.0,) * len(starts),
    reset_optimizer=False,
  )
  config.optimizer = dict(
    groups=dict(
      model=dict(
        pattern=r'^model\.',
        lr=4e-3 if method == 'words' else 2.5e-3,
        weight_decay=0.01,
      )
    ),
    schedule='constant' if method == 'words' else 'cosine',
    warmup_ratio=0.05,
    b1=0.9,
    b2=0.99,
    max_grad_norm=1.0,
  )


def _rl(config: ConfigDict) -> None:
  config.max_steps = 150
  config.num_mini_batches = 1
  config.rollout.update(prompts_per_step=16, num_generations=8)
  config.optimizer.update(b2=0.99)
  config.optimizer.groups.model.update(lr=3e-4, weight_decay=0.0)
