r"""LC-R1 on GSM8K: "Optimizing Length Compression in Large Reasoning Models",
arXiv 2506.14755, and the released code (a fork of TRL).

    python -m experiments.grpo --workdir=runs/lc_r1 \
        --config=lc_r1_gsm8k

The argument is MODEL[,smoke], a model that thinks before </think>. The values
are those of the 1.5B run. Not implemented (see rewards/lengths.py): the model
that finds where the thinking could have ended, the loss on the text after it,
and the bonus at </think>.
LRT (ICLR 2026) measures the released 1.5B model on GSM8K: 0.7426 at a budget of
512 tokens, 0.7898 at 1024. Not run at that size here.
"""

from ml_collections import ConfigDict

from . import rl


def get_config(
  argument: str = 'deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B',
) -> ConfigDict:
  source, _, smoke = rl.parse_arg(argument)
  config = rl.defaults(source)
  rl.full_finetune(config, lr=2e-6)
  config.gradient_accumulation_steps = 16
  config.data.system_prompt = (
    'Please reason step by step, and put your final answer within \\boxed{}.'
  )
  config.rollout.update(max_completion_length=8192, end_of_thinking='</think>')
  config.rollout.sampling.update(temperature=0.9, score_temperature=0.9)
  config.objective.kwargs.update(beta=0.04, kl='k3')
  config.advantage.kwargs.scale = 'none'
  config.optimizer.max_grad_norm = 0.1
  config.rewards = dict(
    accuracy=dict(
      function='hybrid_latent.rewards.math:accuracy', weight=1.0, kwargs={}
    ),
    format=dict(
      function='hybrid_latent.rewards.math:format',
      weight=1.0,
      kwargs=dict(pattern=r'(?!.*</think>.*</think>).*</think>.*'),
    ),
    length=dict(
      function='hybrid_latent.rewards.lengths:lc_r1', weight=1.0, kwargs={}
    ),
  )
  config.grader.timeout_s = 40.0  # 2 judges of 8 completions, 2 s each
  return rl.finalize(config, smoke)
