r"""HyRea's first stage, the cold start: "Hybrid Reasoning", ICLR 2026,
section 3.1 and table 5.

    python -m experiments.step_entropy --workdir=runs/numina \
        --config=hyrea_sft_math:MODEL \
        --config.data.path=NUMINA
    python -m experiments.sft --workdir=runs/cold \
        --config=hyrea_sft_math:MODEL \
        --config.data.path=NUMINA --config.data.step_entropy_dir=runs/numina
    python -m experiments.grpo --workdir=runs/hyrea \
        --config=hyrea_rl_math:runs/cold/model \
        --config.data.path=MATH

MODEL is Qwen/Qwen2.5-7B-Instruct or its 32B version in the paper. The argument
is MODEL[,entropy|random|none][,smoke]: which steps become latents; `none` is
the paper's baseline SFT. c is `curriculum.kwargs.num_latents` and
`feedback.init_kwargs.num_latents`, 1 to 8 in the paper. NuminaMath-CoT and
MetaMathQA are scored separately and their steps.jsonl joined. Paper, MATH-500,
Qwen2.5-7B-Instruct after this stage: 0.718 with 248 tokens and 4.8 switches,
SFT on text 0.736 with 546. 8 H200. Not run at that size here.
"""

from itertools import accumulate

from ml_collections import ConfigDict

from . import rl, sft
from .hyrea_rl_math import SYSTEM_PROMPT

ROWS = 1_250_000  # NuminaMath-CoT and MetaMathQA
SHARES = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)  # of the data, per stage


def get_config(argument: str = 'Qwen/Qwen2.5-7B-Instruct') -> ConfigDict:
  source, (replace,), smoke = rl.parse_arg(
    argument, ['entropy', 'random', 'none']
  )
  config = sft.defaults(source)
  config.data.kwargs.task = 'numinamath_cot'
  config.data.system_prompt = SYSTEM_PROMPT
  config.batch_size, config.gradient_accumulation_steps = 32, 4
  config.max_length = 2048
  epochs = [round(share * ROWS) // config.batch_size for share in SHARES]
  *begin, config.max_steps = accumulate(epochs, initial=0)
  config.stages.update(starts=tuple(begin), data_fraction=SHARES)
  config.optimizer.groups.model.lr = 4e-7
  config.rollout.update(
    max_prompt_length=2048,
    max_completion_length=2048,
    end_of_thinking='</think>',
  )
  config.rewards.accuracy.function = 'hybrid_latent.rewards.math:accuracy'
  config.rewards.accuracy.kwargs = {}
  sft.use_latent_spans(config, num_latents=1, opening=False)
  config.curriculum = dict(
    function='hyrea:hyrea',
    kwargs=dict(
      num_latents=1,
      replace=replace,
      min_step_tokens=3,
      switch_weight=4.0,
      uniform_prob=0.0,
      thinking_tags=('<think>', '</think>'),  # what the format reward asks for
    ),
  )
  return sft.finalize(config, smoke)
