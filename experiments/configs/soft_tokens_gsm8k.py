r"""Soft Tokens on GSM8K: "Soft Tokens, Hard Truths", arXiv 2509.19170, ICLR
2026. No code is released.

    python -m experiments.grpo --workdir=runs/soft_tokens \
        --config=soft_tokens_gsm8k

The argument is MODEL[,fuzzy|soft|hard][,smoke]: the inputs of the thinking,
noisy mixtures at temperature 1e-4 or 0.5, or tokens (RLOO, the paper's
baseline). Evaluations use the same inputs without noise, and greedy answers;
--config.eval.sampling.greedy=False --config.eval.num_generations=32 gives
pass@k of noisy thinking. With --config.export=True a run writes a model folder,
which --config.max_steps=0 evaluates in any of the three modes. Paper,
greedy, Llama-3.2-3B: fuzzy 0.764, soft 0.745, hard 0.759; thinking in tokens
after fuzzy training 0.767, after soft 0.772. Llama-3.1-8B in tokens: 0.837,
0.826, 0.812. 8 H100, two to four days. Not run at that size here.
"""

from ml_collections import ConfigDict

from hybrid_latent.rewards.soft_tokens import CLOSING, PROMPT, STOP

from . import rl

TEMPERATURES = {'fuzzy': 1e-4, 'soft': 0.5, 'hard': 1.0}
RATES = {
  'meta-llama/Llama-3.2-3B-Instruct': 6e-6,
  'meta-llama/Llama-3.1-8B-Instruct': 3e-6,
  'Qwen/Qwen2.5-3B-Instruct': 8e-6,
}


def get_config(
  argument: str = 'meta-llama/Llama-3.2-3B-Instruct',
) -> ConfigDict:
  return on_task(argument, 'gsm8k', thinking=128)


def on_task(argument: str, task: str, thinking: int) -> ConfigDict:
  source, (mode,), smoke = rl.parse_arg(argument, list(TEMPERATURES))
  config = rl.defaults(source)
  rl.full_finetune(config, RATES.get(source, 6e-6))
  config.max_steps = 4000
  config.optimizer.update(schedule='cosine', warmup_ratio=20 / 4000)
  config.data.kwargs.task = task
  config.data.prompt_template = PROMPT
  config.rollout.update(
    prompts_per_step=2,
    num_generations=32,
    end_of_thinking=STOP,
    max_thinking_tokens=thinking,
    forced_text=dict(after_thinking=CLOSING[0], on_truncation=CLOSING[1]),
    max_answer_tokens=32,
    max_completion_length=512 + 32 + 32,  # with up to 32 forced tokens
  )
  if mode != 'hard':
    config.feedback = dict(
      function='soft:soft',
      kwargs={},
      init='soft:soft_tokens',
      init_kwargs=dict(temperature=TEMPERATURES[mode], noise=0.33),
    )
  config.objective.kwargs = dict(aggregation='sum', clip_range=None)
  config.advantage = dict(function='advantages:leave_one_out', kwargs={})
  config.rewards = dict(
    soft_tokens=dict(
      function='hybrid_latent.rewards.soft_tokens:soft_tokens',
      weight=1.0,
      kwargs=dict(right=100.0, boxed=10.0),
    ),
    accuracy=dict(  # for pass@k: a metric only
      function='hybrid_latent.rewards.math:accuracy', weight=0.0, kwargs={}
    ),
  )
  config.grader.timeout_s = 150.0  # 2 rewards of 32 completions, 2 s each
  config.eval.max_thinking_tokens = 512
  config.eval.sampling.greedy_answer = True
  return rl.finalize(config, smoke)
