r"""HyRea's second stage, GRPO on Math-12k: "Hybrid Reasoning", ICLR 2026,
equation 6 and tables 1 and 2; it names EasyR1 as its framework.

    python -m experiments.grpo --workdir=runs/hyrea \
        --config=hyrea_rl_math:FOLDER \
        --config.data.path=FOLDER2

The argument is MODEL[,none|easyr1][,latent|words][,smoke]. `none` has no KL, as
in equation 6; `easyr1` is the loss of EasyR1's defaults. `words` is the paper's
baseline SFT+RL, without spans of latents. MODEL is one of the first stage, that
samples spans; a released model gets the three tokens and hardly samples them.
FOLDER2 has train.jsonl, MATH without MATH-500; there is no test split, so there
are no evaluations.
Paper, MATH-500, Qwen2.5-7B-Instruct: 0.836 with 387 tokens and 4.4 switches,
SFT+RL 0.842 with 698; 32B: 0.844 with 369, SFT+RL 0.852 with 588. 8 H200. Not
run at that size here.
"""

from ml_collections import ConfigDict

from hybrid_latent.rewards.hyrea import FORMAT

from . import rl

LOSSES = {
  'none': dict(aggregation='token', clip_range=(0.2, 0.2), beta=0.0),
  'easyr1': dict(
    aggregation='token', clip_range=(0.2, 0.3), delta=3.0, beta=1e-2, kl='k3'
  ),
}
SYSTEM_PROMPT = (
  'Reason first, between <think> and </think>; then give the final answer '
  'within \\boxed{}.'
)


def get_config(argument: str = 'Qwen/Qwen2.5-7B-Instruct') -> ConfigDict:
  source, (loss, feedback), smoke = rl.parse_arg(
    argument, list(LOSSES), ['latent', 'words']
  )
  config = rl.defaults(source)
  rl.full_finetune(config, lr=1e-6, weight_decay=1e-2)
  config.max_steps = 93  # one epoch: 12,000 prompts, 128 per step
  config.gradient_accumulation_steps = 64  # of 1024 completions
  config.data.kwargs.task = 'math12k'
  config.data.system_prompt = SYSTEM_PROMPT
  config.eval.num_prompts = 0
  config.rollout.update(
    prompts_per_step=128,
    num_generations=8,
    max_prompt_length=2048,
    max_completion_length=2048,
    end_of_thinking='</think>',
  )
  config.objective.kwargs = LOSSES[loss]
  config.advantage.kwargs.eps = 1e-6
  config.rewards = dict(
    accuracy=dict(
      function='hybrid_latent.rewards.math:accuracy', weight=0.9, kwargs={}
    ),
    format=dict(
      function='hybrid_latent.rewards.math:format',
      weight=0.1,
      kwargs=dict(pattern=FORMAT),
    ),
  )
  if feedback == 'latent':
    config.model.new_tokens = ('<start-latent>', '<latent>', '<end-latent>')
    config.feedback = dict(
      function='switching:switching',
      kwargs={},
      init='switching:spans',
      init_kwargs=dict(num_latents=1, sampled=False),
    )
    config.rewards.accuracy.weight = 0.8
    config.rewards.latent = dict(
      function='hybrid_latent.rewards.hyrea:latent',
      weight=0.1,
      kwargs=dict(max_spans=1),
    )
  return rl.finalize(config, smoke)
