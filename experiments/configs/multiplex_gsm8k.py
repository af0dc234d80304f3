r"""Multiplex Thinking on GSM8K: several tokens drawn per step and their mean
read. arXiv 2601.08808, and the released code (verl).

    python -m experiments.grpo --workdir=runs/multiplex \
        --config=multiplex_gsm8k

The argument is MODEL[,average|weighted][,smoke], a model that thinks before
</think>: the tokens of a step weigh the same, or as they are likely. The paper
trains DeepSeek-R1-Distill-Qwen-1.5B and 7B on DeepScaleR
(--config.data.kwargs.task=deepscaler --config.eval.num_prompts=0
--config.data.path=FOLDER), one update per rollout, and has no results on GSM8K.
8 GPUs. Not run at that size here.
"""

from ml_collections import ConfigDict

from . import rl


def get_config(
  argument: str = 'deepseek-ai/DeepSeek-R1-Distill-Qwen-7B',
) -> ConfigDict:
  source, (weighting,), smoke = rl.parse_arg(argument, ['average', 'weighted'])
  config = rl.defaults(source)
  rl.full_finetune(config, lr=1e-6)
  config.max_steps = 300
  config.gradient_accumulation_steps = 64
  config.data.system_prompt = (
    'Please reason step by step, and put your final answer within \\boxed{}.'
  )
  config.rollout.update(
    prompts_per_step=128,
    num_generations=8,
    max_prompt_length=1024,
    max_completion_length=4096,
    cache_stages=4,
    end_of_thinking='</think>',
  )
  config.feedback = dict(
    function='multiplex:multiplex',
    kwargs=dict(width=3, weighted=weighting == 'weighted'),
    init='',
    init_kwargs={},
  )
  config.advantage.kwargs.eps = 1e-6
  config.rewards.accuracy = dict(
    function='hybrid_latent.rewards.math:accuracy', weight=1.0, kwargs={}
  )
  config.eval.update(num_generations=4, sampling=dict(greedy=False))
  return rl.finalize(config, smoke)
