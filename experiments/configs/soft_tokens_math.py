r"""Soft Tokens on MATH: "Soft Tokens, Hard Truths", arXiv 2509.19170, ICLR
2026.

    python -m experiments.grpo --workdir=runs/soft_tokens_math \
        --config=soft_tokens_math \
        --config.data.path=FOLDER

soft_tokens_gsm8k.py with 512 tokens of thinking, and its argument. FOLDER has
MATH's train.jsonl and test.jsonl, with solutions, as ToRA lists them.
Paper, greedy on MATH-500, thinking in tokens: Llama-3.2-3B fuzzy 0.485, soft
0.445, hard 0.491; Qwen2.5-3B 0.581, 0.547, 0.590. Not run at that size here.
"""

from ml_collections import ConfigDict

from . import soft_tokens_gsm8k


def get_config(argument: str = 'Qwen/Qwen2.5-3B-Instruct') -> ConfigDict:
  return soft_tokens_gsm8k.on_task(argument, 'math', thinking=512)
