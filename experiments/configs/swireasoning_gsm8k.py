r"""SwiReasoning on GSM8K, without any training: "SwiReasoning", arXiv
2510.05069, ICLR 2026, and the released code.

    python -m experiments.grpo --workdir=runs/swireasoning \
        --config=swireasoning_gsm8k:Qwen/Qwen3-8B

The argument is MODEL[,unlimited|limited][,smoke], a model that thinks between
<think> and </think>: any number of switches, or the end of the thinking after
two to words. With max_steps=0 the trainer evaluates and ends. alpha is tuned
per model and task in the release (0.1 to 1.0; here Qwen3-8B's on GSM8K).
Paper: up to 2.8 points more accuracy than chain of thought on mathematics, and
56 to 79 % more of it per token under a budget. Not run at that size here.
"""

from ml_collections import ConfigDict

from . import rl, soft_thinking_gsm8k


def get_config(argument: str = 'Qwen/Qwen3-8B') -> ConfigDict:
  source, (limit,), smoke = rl.parse_arg(argument, ['unlimited', 'limited'])
  config = soft_thinking_gsm8k.get_config(source).unlock()
  config.model.new_tokens = ('<think>', '</think>')
  config.rollout.sampling.update(top_k=20, min_p=0.0)
  config.feedback = dict(
    function='swireasoning:swireasoning',
    kwargs={},
    init='swireasoning:switches',
    init_kwargs=dict(
      start='<think>',
      end='</think>',
      window=512,
      max_switches=2 if limit == 'limited' else 0,
      alpha=0.5,
      beta=0.7,
      max_tokens=config.rollout.max_completion_length,
      symbols=True,
      mixtures_first=True,
    ),
  )
  return rl.finalize(config, smoke)
