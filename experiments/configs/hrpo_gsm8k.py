"""HRPO on GSM8K: "Hybrid Latent Reasoning via Reinforcement Learning",
arXiv 2505.18454, tables 1, 5 and 6, and the released code.

    python -m experiments.grpo --workdir=runs/hrpo \
        --config=experiments/configs/hrpo_gsm8k.py:Qwen/Qwen2.5-1.5B-Instruct

The argument is MODEL[,smoke]: a preset (smollm2-135m), a .gguf file, a Hugging
Face folder or a name on its hub; `smoke` cuts the run to a minute or two.
Paper: 1.5B 0.720 accuracy, 3B 0.845, each the best of its r_min and tau.
Not run at that size here; for what was run see experiments/RESULTS.md.
"""

from ml_collections import ConfigDict

from hybrid_latent.rewards.hrpo import SYSTEM_PROMPT


def get_config(argument: str = 'Qwen/Qwen2.5-1.5B-Instruct') -> ConfigDict:
  source, *variant = argument.split(',')
  if variant not in ([], ['smoke']):
    raise ValueError(f"config argument {argument!r}: write 'MODEL[,smoke]'")
  small = source == 'smollm2-135m'
  config = ConfigDict()
  config.seed = 42
  config.steps = 934  # one epoch: 7473 prompts, 8 a step
  config.epochs = 1
  config.micro_batches = 4

  config.model = dict(
    source=source,
    dtype='float32' if small else 'bfloat16',  # of the computation
    param_dtype='float32' if small else 'bfloat16',  # of the frozen weights
    remat='none' if small else 'full',
  )
  config.lora = dict(rank=32, alpha=64.0)
  config.mesh = dict(data=-1, fsdp=1, tensor=1)

  config.data = dict(
    source='jsonl:problems',
    of=dict(task='gsm8k'),
    path='',  # folder of train.jsonl and test.jsonl; '': download
    train='train',
    test='test',
    system=SYSTEM_PROMPT,
  )
  config.rollout = dict(
    prompts=8,
    group=4,
    prompt_length=512,
    max_tokens=512,
    buckets=3,  # lengths are rounded up to 1/4, 1/2 or all of these
    stages=1,
    chunk=128,  # positions whose logits exist at a time
    delimiter='####',  # the thinking ends with it
    sampling=dict(
      temperature=0.5,
      top_k=50,
      top_p=1.0,
      min_p=0.0,
      greedy=False,
      score_temperature=1.0,
    ),
  )
  config.feedback = dict(
    function='gated:gated',
    kwargs=dict(form='stable', width=64),
    parameters='gated:Gate',
    initial=dict(r_min=0.99, r_max=0.999, initializer='normal'),
  )
  config.objective = dict(
    function='reinforce:reinforce', kwargs=dict(beta=0.005)
  )
  config.advantage = dict(
    function='advantages:group_advantages', kwargs=dict(eps=1e-4)
  )
  config.rewards = dict(
    gsm8k=dict(
      function='hybrid_latent.rewards.hrpo:gsm8k',
      weight=1.0,
      kwargs=dict(parser='official'),  # or 'fixed'
    ),
    accuracy=dict(  # without the condition on ####: measured, not rewarded
      function='hybrid_latent.rewards.hrpo:correct',
      weight=0.0,
      kwargs=dict(parser='fixed'),
    ),
  )
  config.grader = dict(workers=2, timeout_s=20.0)
  config.optimizer = dict(
    groups=dict(
      lora=dict(pattern=r'\.lora\.', lr=5e-6, weight_decay=0.1),
      gate=dict(pattern=r'^feedback\.[wb]_', lr=1e-4, weight_decay=0.1),
      decay=dict(pattern=r'^feedback\.decay', lr=1e-3, weight_decay=0.1),
    ),
    schedule='cosine',
    warmup=0.1,
    b1=0.9,
    b2=0.99,
    clip=0.1,
  )
  config.eval = dict(prompts=0 if small else 256, every=100, greedy=True)
  config.checkpoint_every = 250
  config.completions = 8  # written down each step

  if small:  # two CPU cores
    config.rollout.update(prompts=4, prompt_length=256, max_tokens=128)
    config.micro_batches = 2
    config.checkpoint_every = 1
  if variant:
    config.steps = 2
    config.rollout.update(prompts=2, max_tokens=32)
    config.micro_batches = 1
    config.eval.prompts = 0
  return config.lock()
