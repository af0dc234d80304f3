"""Supervised baselines on GSM8K: chain of thought, or the answer alone.

    python -m experiments.sft --workdir=runs/cot \
        --config=sft_gsm8k:Qwen/Qwen2.5-1.5B-Instruct

The argument is MODEL[,cot|no_cot][,coconut|hrpo][,smoke]. `coconut` is the
recipe of Coconut (arXiv 2412.06769, released code) for its initial model and
its baseline: constant learning rate 1e-4, batch 128. `hrpo` has the adapters
and the optimizer of the HRPO run, for comparison; that paper has no recipe of
SFT.
Paper (Coconut, GPT-2, augmented GSM8K): CoT 0.429, no CoT 0.165. Not run at
that size here; for what was run see experiments/results/RESULTS.md.
"""

from ml_collections import ConfigDict

from . import hrpo_gsm8k, rl, sft


def get_config(argument: str = 'Qwen/Qwen2.5-1.5B-Instruct') -> ConfigDict:
  source, (text, recipe), smoke = rl.parse_arg(
    argument, ['cot', 'no_cot'], ['coconut', 'hrpo']
  )
  config = sft.defaults(source)
  config.curriculum.kwargs.steps = text == 'cot'
  if recipe == 'coconut':
    config.batch_size, config.gradient_accumulation_steps = 128, 16
    config.max_steps = 1450  # 25 epochs
    config.optimizer.groups.model.update(lr=1e-4, weight_decay=0.01)
  else:
    published = hrpo_gsm8k.get_config(source)
    config.lora = published.lora
    config.model.param_dtype = published.model.param_dtype
    config.optimizer = published.optimizer
    config.optimizer.groups = dict(lora=published.optimizer.groups.lora)
    config.data.system_prompt = published.data.system_prompt
  return sft.finalize(config, smoke)
