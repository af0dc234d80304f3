"""HRPO on multiple choice: "Hybrid Latent Reasoning via Reinforcement
Learning", arXiv 2505.18454, tables 1, 3 and 5, and the released code.

    python -m experiments.grpo --workdir=runs/hrpo_mmlu \
        --config=hrpo_mmlu:Qwen/Qwen2.5-1.5B-Instruct \
        --config.data.path=FOLDER

The argument is that of hrpo_gsm8k.py. FOLDER has train.jsonl, MMLU's auxiliary
training set with ARC-Challenge's (the paper's mixture is not released; its
curves end after about 1450 steps), and test.jsonl, MMLU-STEM or ARC-Challenge;
the layout is in hybrid_latent/data/tasks.py.
Paper: 1.5B 0.569 on MMLU-STEM and 0.742 on ARC-Challenge, 3B 0.590 and 0.820,
each the best over r_min and tau. Not run at that size here.
"""

from ml_collections import ConfigDict

from . import hrpo_gsm8k, rl


def get_config(argument: str = 'Qwen/Qwen2.5-1.5B-Instruct') -> ConfigDict:
  source, (variant,), smoke = rl.parse_arg(argument, list(hrpo_gsm8k.FEEDBACKS))
  config = hrpo_gsm8k.get_config(f'{source},{variant}').unlock()
  config.max_steps = 1450
  config.data.kwargs.task = 'mmlu_arc'
  config.rollout.num_generations = 8
  config.rewards = dict(
    choice=dict(
      function='hybrid_latent.rewards.hrpo:choice',
      weight=1.0,
      kwargs=dict(parser='official'),  # or 'fixed'
    ),
    accuracy=dict(  # without the condition on ####: a metric only
      function='hybrid_latent.rewards.hrpo:correct',
      weight=0.0,
      kwargs=dict(kind='letter', parser='fixed'),
    ),
  )
  return rl.finalize(config, smoke)
