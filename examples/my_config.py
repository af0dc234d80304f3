"""The routed feedback on the embedded arithmetic, beside GRPO.

    hybrid-latent grpo --workdir=runs/routed \
        --config=my_config.py:runs/base/model,routed

The argument is FOLDER,routed or FOLDER,grpo.
"""

from hybrid_latent.experiments.configs import rl_arithmetic


def get_config(argument: str):
  """GRPO on this task, with the feedback unless it is the baseline."""
  folder, _, method = argument.partition(',')
  config = rl_arithmetic.get_config(f'{folder},grpo').unlock()
  config.max_steps = 60
  if method != 'grpo':
    config.feedback = dict(
      function='routed:routed',
      kwargs={},
      init='routed:router',
      init_kwargs=dict(latent=0.1),
    )
    config.optimizer.groups.router = dict(
      pattern=r'^feedback\.', lr=1e-2, weight_decay=0.0
    )
  return config.lock()
