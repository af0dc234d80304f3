r"""HyRea's table: accuracy, tokens and switches on four benchmarks.

    python -m experiments.evaluate --workdir=runs/hyrea_table \
        --config=hyrea_table:MODEL --config.evaluate.data_dir=FOLDER \
        --config.evaluate.models="('sft+rl=FOLDER2','hyrea=runs/hyrea')"
    python -m experiments.measures --record=runs/hyrea_table --table=hyrea

The argument is MODEL[,arithmetic][,smoke], a model that samples spans, such as
one of HyRea's first stage; `arithmetic` is for models of rl_arithmetic.py. In
FOLDER are the files of the benchmarks; '' downloads them. Decoding is greedy,
which the paper does not state. HyRea's AMC has 83 problems by the denominators
of its accuracies; `smoke` has the 40 of AMC 2023.
Paper, Qwen2.5-7B-Instruct, MATH-500, Minerva, AMC, OlympiadBench: 0.836 with
387 tokens and 4.4 switches, 0.272 with 425 and 3.6, 0.482 with 526 and 4.7,
0.396 with 583 and 3.8. Not run at that size here.
"""

from ml_collections import ConfigDict

from . import hyrea_rl_math, rl, rl_arithmetic


def get_config(argument: str = 'Qwen/Qwen2.5-7B-Instruct') -> ConfigDict:
  source, (task,), smoke = rl.parse_arg(argument, ('math', 'arithmetic'))
  if task == 'arithmetic':
    config = rl_arithmetic.get_config(f'{source},hyrea').unlock()
    config.max_steps = 0
    return rl.finalize(config, smoke)
  config = hyrea_rl_math.get_config(source).unlock()
  config.max_steps = 0
  config.eval.num_prompts = 1000  # more than any has
  amc = 'amc23' if smoke else 'amc83'
  config.evaluate.datasets = ('math500', 'minerva_math', amc, 'olympiadbench')
  return rl.finalize(config, smoke)
