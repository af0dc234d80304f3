r"""HRPO on MATH: "Hybrid Latent Reasoning via Reinforcement Learning", arXiv
2505.18454, tables 1, 3 and 5, and the released code.

    python -m experiments.grpo --workdir=runs/hrpo_math \
        --config=hrpo_math:Qwen/Qwen2.5-1.5B-Instruct \
        --config.data.path=FOLDER

The argument is that of hrpo_gsm8k.py. FOLDER has MATH's train.jsonl (7500) and
test.jsonl (5000), with solutions, as ToRA lists them.
Paper: 1.5B 0.518 accuracy, 3B 0.613 (MATH-500: 0.536, 0.630), each the best
over r_min and tau. Not run at that size here.
"""

from ml_collections import ConfigDict

from . import hrpo_gsm8k, rl


def get_config(argument: str = 'Qwen/Qwen2.5-1.5B-Instruct') -> ConfigDict:
  source, (variant,), smoke = rl.parse_arg(argument, list(hrpo_gsm8k.FEEDBACKS))
  config = hrpo_gsm8k.get_config(f'{source},{variant}').unlock()
  config.max_steps = 937  # one epoch: 7500 prompts, 8 per step
  config.data.kwargs.task = 'math'
  config.rollout.update(num_generations=8, max_completion_length=1024)
  config.rewards = dict(
    math=dict(
      function='hybrid_latent.rewards.hrpo:boxed_math',
      weight=1.0,
      kwargs=dict(parser='official'),  # or 'fixed'
    ),
    accuracy=dict(  # without the condition on ####: a metric only
      function='hybrid_latent.rewards.hrpo:correct',
      weight=0.0,
      kwargs=dict(kind='latex', parser='fixed'),
    ),
  )
  return rl.finalize(config, smoke)
