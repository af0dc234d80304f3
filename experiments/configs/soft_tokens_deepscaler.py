r"""Soft Tokens on DeepScaleR: "Soft Tokens, Hard Truths", arXiv 2509.19170,
ICLR 2026.

    python -m experiments.grpo --workdir=runs/soft_tokens_deepscaler \
        --config=soft_tokens_deepscaler \
        --config.data.path=FOLDER

soft_tokens_gsm8k.py with 512 tokens of thinking, and its argument. FOLDER has
deepscaler.json, which has no test split: there are no evaluations.
Paper, Llama-3.2-3B, greedy on MATH-500, thinking in tokens: fuzzy 0.465, soft
0.447, hard 0.496. Not run at that size here.
"""

from ml_collections import ConfigDict

from . import soft_tokens_gsm8k


def get_config(
  argument: str = 'meta-llama/Llama-3.2-3B-Instruct',
) -> ConfigDict:
  config = soft_tokens_gsm8k.on_task(argument, 'deepscaler', thinking=512)
  config.eval.num_prompts = 0
  return config
