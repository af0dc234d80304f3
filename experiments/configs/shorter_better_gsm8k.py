r"""ShorterBetter on GSM8K: "ShorterBetter: Guiding Reasoning Models to Find
Optimal Inference Length", arXiv 2504.21370, and the released code (verl).

    python -m experiments.grpo --workdir=runs/shorter_better \
        --config=shorter_better_gsm8k

The argument is MODEL[,smoke], a model that thinks before </think>. The paper
trains on DeepScaleR (--config.data.kwargs.task=deepscaler
--config.eval.num_prompts=0 --config.data.path=FOLDER --config.max_steps=STEPS);
the values are those of its 1.5B run, the steps three epochs of GSM8K. LRT (ICLR
2026) measures the released 1.5B model on GSM8K: 0.6078, both at a budget of 512
tokens and of 1024. Not run at that size here.
"""

from ml_collections import ConfigDict

from . import rl


def get_config(
  argument: str = 'deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B',
) -> ConfigDict:
  source, _, smoke = rl.parse_arg(argument)
  config = rl.defaults(source)
  rl.full_finetune(config, lr=1e-6)
  config.max_steps = 175  # 3 * 7473 prompts, 128 per step
  config.num_mini_batches = 8  # of 16 prompts
  config.gradient_accumulation_steps = 16
  config.data.system_prompt = 'Put your final answer within \\boxed{}.'
  config.rollout.update(
    prompts_per_step=128,
    num_generations=8,
    max_prompt_length=1500,
    max_completion_length=6000,
    end_of_thinking='</think>',
  )
  config.rollout.sampling.update(temperature=0.9, score_temperature=0.9)
  config.objective.kwargs.update(beta=0.001, kl='k3', entropy_coef=0.001)
  config.advantage.kwargs.eps = 1e-6
  config.rewards = dict(
    shorter_better=dict(
      function='hybrid_latent.rewards.lengths:shorter_better',
      weight=1.0,
      kwargs=dict(kind='latex', alpha=2.0, beta=0.001),
    ),
    accuracy=dict(  # a metric only: the reward above has it
      function='hybrid_latent.rewards.answers:correct',
      weight=0.0,
      kwargs=dict(kind='latex'),
    ),
  )
  return rl.finalize(config, smoke)
