r"""SofT-GRPO and Latent-GRPO on GSM8K: soft thinking drawn with Gumbel noise.
arXiv 2511.06411 and 2604.27998, and the released code of both (verl).

    python -m experiments.grpo --workdir=runs/soft_grpo \
        --config=soft_grpo_gsm8k

The argument is MODEL[,soft_grpo|latent_grpo][,smoke], a model that thinks
before </think>. SofT-GRPO trains DeepSeek-R1-Distill-Qwen-1.5B on DeepScaleR
(--config.data.kwargs.task=deepscaler --config.eval.num_prompts=0
--config.data.path=FOLDER --config.max_steps=STEPS); the values are those of
that run, the steps one epoch of GSM8K. Latent-GRPO trains a Llama-3.2-1B that
Latent-SFT (arXiv 2510.15522) has taught to think in mixtures, which we do not
have, on GSM8K-Aug; the steps are ten epochs of GSM8K.
Paper (SofT-GRPO): 0.13 points more pass@1 and 2.19 more pass@32 than GRPO, on
average over three models and five benchmarks. 8 GPUs. Not run at that size
here.
"""

from ml_collections import ConfigDict

from . import rl


def get_config(
  argument: str = 'deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B',
) -> ConfigDict:
  source, (method,), smoke = rl.parse_arg(
    argument, ['soft_grpo', 'latent_grpo']
  )
  config = rl.defaults(source)
  rl.full_finetune(config, lr=1e-6)
  config.num_mini_batches = 2  # of 32 prompts
  config.gradient_accumulation_steps = 16
  config.max_steps = 116  # 7473 prompts, 64 per step
  config.data.system_prompt = (
    'Please reason step by step, and put your final answer within \\boxed{}.'
  )
  config.rollout.update(
    prompts_per_step=64,
    num_generations=8,
    max_prompt_length=1024,
    max_completion_length=8192,
    cache_stages=4,
    end_of_thinking='</think>',
  )
  config.rollout.sampling.update(top_k=5, top_p=0.95)
  config.eval.sampling = dict(greedy=False, temperature=0.6)
  width, noise = (
    5,
    dict(
      temperature=0.1,
      scale=1.0,
      low=-1.5,
      high=3.0,
      one_sided=False,
      renormalized=True,
      min_log_prob=-3.0,
    ),
  )
  if method == 'latent_grpo':
    width = 10
    noise.update(
      temperature=1.0,
      one_sided=True,
      renormalized=False,
      min_log_prob=-float('inf'),
    )
    config.advantage.function = 'latent_grpo:group_relative'
    # The embedding is frozen.
    config.optimizer.groups.model.pattern = r'^model\.(?!embedding)'
    config.max_steps = 1167
    config.num_mini_batches = 4  # of 16 prompts
    config.rollout.update(
      max_prompt_length=192,
      max_completion_length=128,
      cache_stages=1,
      buckets=1,  # batches of dynamic sampling are concatenated
      dynamic_sampling_max_batches=50,
    )
    config.rollout.sampling.top_k = 30
    config.eval.sampling = dict(greedy=True)  # without noise
  config.feedback = dict(
    function='gumbel_soft:gumbel_soft',
    kwargs=dict(width=width),
    init='gumbel_soft:gumbel_noise',
    init_kwargs=noise,
  )
  config.advantage.kwargs.eps = 1e-6
  config.rewards.accuracy = dict(
    function='hybrid_latent.rewards.math:accuracy', weight=1.0, kwargs={}
  )
  return rl.finalize(config, smoke)
