"""The smallest run of Latent Reasoning Tuning that shows everything. The
argument is that of lrt_arithmetic.py: BASE,sft|rl[,BACKBONE]."""

from pathlib import Path

from ml_collections import ConfigDict

from experiments.configs import lrt_arithmetic

TRIPLES = Path(__file__).with_name('triples.jsonl')


def get_config(argument: str) -> ConfigDict:
  config = lrt_arithmetic.get_config(argument).unlock()
  config.max_steps = 4
  config.mesh.update(fsdp=2, tensor=2)
  config.data.kwargs = dict(count=16, steps=(1, 2), largest=20)
  config.rollout.update(
    prompts_per_step=4, max_prompt_length=64, max_completion_length=8
  )
  config.rollout.forced_text.no_thinking = ''
  config.feedback.init_kwargs.update(latents=3, reads='last')
  config.rewards = dict(
    digits=dict(
      function='tests.experiments.rewards:tied_digits', weight=1.0, kwargs={}
    )
  )
  config.grader.workers = 1
  for group in config.optimizer.groups.values():
    group.lr = 3e-3
  config.optimizer.update(schedule='constant', warmup_ratio=0.0)
  config.eval.update(num_prompts=0, every=2)
  config.checkpoint.every = 1
  if config.rollout.num_generations == 1:
    config.data.sft_answers_dir = str(TRIPLES)
    config.gradient_accumulation_steps = 2
  else:
    config.rollout.num_generations = 4
  return config.lock()
