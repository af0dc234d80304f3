"""HRPO on GSM8K: "Hybrid Latent Reasoning via Reinforcement Learning",
arXiv 2505.18454, tables 1, 5 and 6, and the released code.

    python -m experiments.grpo --workdir=runs/hrpo \
        --config=hrpo_gsm8k:Qwen/Qwen2.5-1.5B-Instruct

The argument is MODEL[,gated|interpolated|direct][,smoke]: the paper's gate, or
its two ablations, whose inputs are the projected distribution alone or the last
hidden state.
Paper: 1.5B 0.720 accuracy, 3B 0.845, each the best over r_min and tau; on MATH
interpolation collapses after a few hundred steps, direct has a reward of zero.
Not run at that size here; for what was run see experiments/results/RESULTS.md.
"""

from ml_collections import ConfigDict

from hybrid_latent.rewards.hrpo import SYSTEM_PROMPT

from . import rl

FEEDBACKS = {
  'gated': ('gated:gated', dict(form='stable', width=64)),
  'interpolated': ('gated:interpolated', dict(width=64)),
  'direct': ('hidden:hidden', {}),
}


def get_config(argument: str = 'Qwen/Qwen2.5-1.5B-Instruct') -> ConfigDict:
  source, (variant,), smoke = rl.parse_arg(argument, list(FEEDBACKS))
  config = rl.defaults(source)
  config.data.system_prompt = SYSTEM_PROMPT
  config.rollout.num_generations = 4
  config.rollout.sampling.update(temperature=0.5, top_k=50)
  function, kwargs = FEEDBACKS[variant]
  config.feedback = dict(
    function=function, kwargs=kwargs, init='', init_kwargs={}
  )
  config.objective.kwargs = dict(
    aggregation='sequence', clip_range=None, beta=0.005
  )
  config.rewards = dict(
    gsm8k=dict(
      function='hybrid_latent.rewards.hrpo:gsm8k',
      weight=1.0,
      kwargs=dict(parser='official'),  # or 'fixed'
    ),
    accuracy=dict(  # without the condition on ####: a metric only
      function='hybrid_latent.rewards.hrpo:correct',
      weight=0.0,
      kwargs=dict(parser='fixed'),
    ),
  )
  config.optimizer.update(
    schedule='cosine', warmup_ratio=0.1, b2=0.99, max_grad_norm=0.1
  )
  config.optimizer.groups.lora.update(lr=5e-6, weight_decay=0.1)
  if variant == 'gated':
    config.feedback.init = 'gated:gate'
    config.alarms.gate_saturation = 0.01
    config.feedback.init_kwargs = dict(
      r_min=0.99, r_max=0.999, initializer='normal'
    )
    config.optimizer.groups.update(
      gate=dict(pattern=r'^feedback\.[wb]_', lr=1e-4, weight_decay=0.1),
      decay=dict(pattern=r'^feedback\.decay', lr=1e-3, weight_decay=0.1),
    )
  return rl.finalize(config, smoke)
