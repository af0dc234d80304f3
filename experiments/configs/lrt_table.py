r"""Latent Reasoning Tuning's table: accuracy and pass@4 on five benchmarks at
two token budgets, in each mode, and cost.

    python -m experiments.evaluate --workdir=runs/lrt_table \
        --config=lrt_table:MODEL --config.evaluate.data_dir=FOLDER \
        --config.evaluate.reasoners="('sft+rl=runs/lrt_rl/reasoner',)" \
        --config.evaluate.models="('ShorterBetter=FOLDER2',)"
    python -m experiments.measures --record=runs/lrt_table --table=lrt

The argument is MODEL[,arithmetic][,smoke], as that of hyrea_table.py; its
`arithmetic` is lrt_arithmetic.py. LRT's AMC has 100 problems by the
denominators of its accuracies, and ours 40; `smoke` leaves out GPQA, whose
files are not to be published.
Paper, R1-Distill-Qwen-1.5B, budget 512, AMC, MATH-500, GSM8K, LSAT, GPQA:
0.380, 0.607, 0.772, 0.196, 0.292; NoThinking 0.378, 0.584, 0.732, 0.182, 0.237.
Not run at that size here.
"""

from ml_collections import ConfigDict

from . import lrt_arithmetic, lrt_gsm8k, rl

BENCHMARKS = 'amc23', 'math500', 'gsm8k', 'lsat_ar', 'gpqa_diamond'


def get_config(
  argument: str = 'deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B',
) -> ConfigDict:
  source, (task,), smoke = rl.parse_arg(argument, ('benchmarks', 'arithmetic'))
  if task == 'arithmetic':
    config = lrt_arithmetic.get_config(f'{source},rl').unlock()
  else:
    config = lrt_gsm8k.get_config(f'{source},rl').unlock()
    config.rollout.max_prompt_length = 1024
    config.eval.num_prompts = 2000  # more than any has
    config.evaluate.datasets = BENCHMARKS[: 4 if smoke else 5]
  config.max_steps = 0
  config.eval.num_generations = 4
  config.eval.sampling = dict(temperature=0.6, top_p=0.95, greedy=False)
  return rl.finalize(config, smoke)
