r"""Soft Thinking on GSM8K, without any training: "Soft Thinking", arXiv
2505.15778, and the released code; with noise: "LLMs are Single-threaded
Reasoners", arXiv 2508.03440.

    python -m experiments.grpo --workdir=runs/soft_thinking \
        --config=soft_thinking_gsm8k:Qwen/Qwen3-8B

The argument is MODEL[,WORD][,smoke], where the word is cold_stop, the method;
mixing, its concept tokens without the cold stop; stop_only, the cold stop after
plain greedy thinking; gumbel or dirichlet, concept tokens of random weights
without the cold stop, as in the release (scripts/st/qwq32b_gumble.sh). With
max_steps=0 the trainer evaluates and ends. A model without the token </think>
gets one, which only the cold stop produces.
According to its README it does not help models of 7B or less. In HyRea's table
Qwen2.5-7B-Instruct has 0.664 on MATH-500 (SFT: 0.736). Not run at that size
here.
"""

from ml_collections import ConfigDict

from . import rl


def get_config(argument: str = 'Qwen/Qwen3-8B') -> ConfigDict:
  source, (part,), smoke = rl.parse_arg(
    argument, ['cold_stop', 'mixing', 'stop_only', 'gumbel', 'dirichlet']
  )
  config = rl.defaults(source)
  config.max_steps = 0
  config.lora.rank = 0
  config.optimizer.groups = {}
  config.model.new_tokens = ('</think>',)
  config.data.system_prompt = (
    'Please reason step by step, and put your final answer within \\boxed{}.'
  )
  config.rollout.update(
    prompts_per_step=4,
    num_generations=2,
    max_completion_length=32768,
    cache_stages=4,
    end_of_thinking='</think>',
  )
  config.rollout.sampling.update(
    temperature=0.6, top_k=30, top_p=0.95, min_p=0.001
  )
  config.feedback = dict(
    function='soft_thinking:soft_thinking',
    kwargs=dict(width=1 if part == 'stop_only' else 10),
    init='soft_thinking:cold_stop',
    init_kwargs=dict(
      end='</think>',
      threshold=0.01 if part in ('cold_stop', 'stop_only') else 0.0,
      patience=256,
    ),
  )
  if part in ('gumbel', 'dirichlet'):
    config.rollout.sampling.min_p = 0.0
    config.feedback.kwargs = dict(width=5, noise=part)
    config.feedback.init_kwargs.update(temperature=0.5, concentration=1.0)
  config.rewards.accuracy = dict(
    function='hybrid_latent.rewards.math:accuracy', weight=1.0, kwargs={}
  )
  config.eval.update(num_prompts=1319, sampling=dict(greedy=False))
  return rl.finalize(config, smoke)
