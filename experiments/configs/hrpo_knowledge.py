"""HRPO on questions with documents: "Hybrid Latent Reasoning via Reinforcement
Learning", arXiv 2505.18454, tables 2, 3 and 5, and the released code.

    python -m experiments.grpo --workdir=runs/hrpo_knowledge \
        --config=hrpo_knowledge \
        --config.data.path=FOLDER

The argument is that of hrpo_gsm8k.py. FOLDER has train.jsonl, NQ with HotpotQA,
and test.jsonl, each question with its retrieved documents (E5 over the
Wikipedia of 2020, of which the first three are in the prompt); the layout is in
hybrid_latent/data/tasks.py. The paper's mixture is not released; its curves end
after about 1750 steps.
Paper, exact match on NQ, TriviaQA, HotpotQA, 2Wiki, Bamboogle: 1.5B 0.364,
0.553, 0.273, 0.276, 0.216; 3B 0.378, 0.593, 0.316, 0.318, 0.296; each the best
over r_min and tau. Not run at that size here.
"""

from ml_collections import ConfigDict

from . import hrpo_gsm8k, rl


def get_config(argument: str = 'Qwen/Qwen2.5-1.5B-Instruct') -> ConfigDict:
  source, (variant,), smoke = rl.parse_arg(argument, list(hrpo_gsm8k.FEEDBACKS))
  config = hrpo_gsm8k.get_config(f'{source},{variant}').unlock()
  config.max_steps = 1750
  config.data.kwargs.task = 'knowledge'
  config.rollout.update(prompts_per_step=16, max_prompt_length=2048)
  config.rewards = dict(
    knowledge=dict(
      function='hybrid_latent.rewards.knowledge:knowledge',
      weight=1.0,
      kwargs={},
    )
  )
  return rl.finalize(config, smoke)
