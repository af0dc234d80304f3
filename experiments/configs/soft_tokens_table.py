r"""Soft Tokens' tables: pass@k in six inference modes on three benchmarks, and
the given answers of three others.

    python -m experiments.evaluate --workdir=runs/soft_tokens_table \
        --config=soft_tokens_table:MODEL --config.evaluate.data_dir=FOLDER \
        --config.evaluate.models="('fuzzy=runs/soft_tokens',)"
    python -m experiments.measures --record=runs/soft_tokens_table \
        --table=soft_tokens

The argument is MODEL[,arithmetic][,smoke], as that of hyrea_table.py. The
thinking is hard (tokens), soft or fuzzy (mixtures at temperature 0.5 or 1e-4),
each greedy (without noise) or sampled; answers are greedy. pass@k is of 32
samples, which the paper does not state.
Paper, Llama-3.2-3B-Instruct after fuzzy training on GSM8K, thinking in tokens,
greedy pass@1 / sampled pass@1 / pass@32: GSM8K 0.767 / 0.664 / 0.974, MATH-500
0.426 / 0.324 / 0.832, OlympiadBench 0.174 / 0.130 / 0.552; accuracy and nats
per token of given answers: HellaSwag 0.670 and 2.53, ARC 0.731 and 2.89, MMLU
0.613 and 1.59. Not run at that size here.
"""

from ml_collections import ConfigDict

from . import rl, rl_arithmetic, soft_tokens_gsm8k

THINKING = {
  'hard': 'discrete',
  'soft': 'soft; feedback.init_kwargs.temperature=0.5',
  'fuzzy': 'soft; feedback.init_kwargs.temperature=1e-4',
}
MODES = tuple(
  f'{name} {how}: {parts}; eval.sampling.greedy={how == "greedy"}'
  for name, parts in THINKING.items()
  for how in ('greedy', 'sample')
)


def get_config(
  argument: str = 'meta-llama/Llama-3.2-3B-Instruct',
) -> ConfigDict:
  source, (task,), smoke = rl.parse_arg(argument, ('benchmarks', 'arithmetic'))
  if task == 'arithmetic':
    config = rl_arithmetic.get_config(f'{source},hard').unlock()
  else:
    config = soft_tokens_gsm8k.get_config(f'{source},hard').unlock()
    config.eval.num_prompts = 20000  # more than any has
    config.evaluate.update(
      datasets=('gsm8k', 'math500', 'olympiadbench'),
      given=() if smoke else ('hellaswag', 'arc_c', 'mmlu'),
    )
  config.max_steps = 0
  config.eval.num_generations = 4 if smoke else 32
  # The paper has none, and they would triple the sampled completions.
  config.evaluate.update(feedbacks=MODES, controls=())
  return rl.finalize(config, smoke)
