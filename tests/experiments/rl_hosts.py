"""rl_tiny on several hosts: enough prompts, dumped, and a reward that notes
where it ran. The argument is FOLDER:MODEL,METHOD."""

from ml_collections import ConfigDict

from tests.experiments import rl_tiny


def get_config(argument: str) -> ConfigDict:
  folder, _, rest = argument.partition(':')
  config = rl_tiny.get_config(rest).unlock()
  config.rollout.prompts_per_step = 4
  config.num_logged_completions = (
    1  # of those that process 0 has in any number of them
  )
  config.dump_every = 1
  config.eval.num_prompts = 3
  # A random model that reads more of its latents, or learns faster, makes
  # rounding grow into other samples.
  config.feedback.init_kwargs.r_min = 0.999
  for group in config.optimizer.groups.values():
    group.lr = 1e-3
  config.rewards.noted = dict(
    function='tests.experiments.rewards:noted',
    weight=0.0,
    kwargs=dict(folder=folder),
  )
  return config.lock()
