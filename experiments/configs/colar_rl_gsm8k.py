r"""CoLaR's second stage, GRPO on the density of its latents: "Think Silently,
Think Fast", arXiv 2505.16552, and the released colar.yaml (rl_config).

    python -m experiments.grpo --workdir=runs/colar_rl \
        --config=colar_rl_gsm8k:runs/colar/model

The argument is MODEL[,smoke], the model folder that colar_gsm8k.py has trained,
with its latent head. A latent and a token have a clipped ratio each, that of a
latent with its density per channel; the reward is that of the answer. The
release sums the losses of latents and of answer tokens over a completion and
divides by 32. It does not state the prompts per step nor the number of steps,
which are ours; the paper's RL is on MATH, with DeepSeek-R1-Distill-Qwen-1.5B.
Not run at that size here.
"""

from ml_collections import ConfigDict

from . import colar_gsm8k, rl


def get_config(argument: str) -> ConfigDict:
  source, _, smoke = rl.parse_arg(argument)
  first = colar_gsm8k.get_config(source)
  config = rl.defaults(source)
  config.lora, config.feedback = first.lora, first.feedback
  config.optimizer.groups = first.optimizer.groups
  for group in config.optimizer.groups.values():
    group.lr = 1e-6
  config.num_mini_batches = 8
  config.gradient_accumulation_steps = 1
  config.rollout.update(
    max_thinking_tokens=64,
    forced_text=dict(on_truncation=' ####'),
    max_answer_tokens=16,
    max_completion_length=64 + 8 + 16,  # with up to 8 forced tokens
  )
  config.rollout.sampling.top_p = 0.9
  config.objective.kwargs.update(aggregation='constant', length=32.0)
  config.advantage.kwargs.eps = 1e-8
  return rl.finalize(config, smoke)
