"""Makes prompts of the rows of a data set, and batches of them."""

from collections.abc import Sequence

import jax

from hybrid_latent.data.prompts import Encode, check_lengths, eval_batches
from hybrid_latent.formats.tokenizer import answer_opening, chat_ids
from hybrid_latent.types import Mode

from .cli import Config


def prompt_ids(tokenizer, data: Config, row: dict) -> list[int]:
  """A row's prompt: `data.prompt_template` with its {question}, or the model's
  chat template, then the start of the answer, `data.prefill`."""
  if not data.prompt_template:
    return chat_ids(
      tokenizer,
      data.system_prompt,
      row['question'],
      data.prefill,
      enable_thinking=data.enable_thinking,
    )
  text = data.prompt_template.replace('{question}', row['question'])
  return tokenizer(text + data.prefill)['input_ids']


def answer_prefix(tokenizer, data: Config, closing=None) -> str:
  """The start of the answer that ends every prompt, with the text of `closing`,
  the ids between latents and answer."""
  prefix = answer_opening(
    tokenizer,
    system=data.system_prompt,
    template=data.prompt_template,
    prefill=data.prefill,
    enable_thinking=data.enable_thinking,
  )
  if closing is None:
    return prefix
  return prefix + tokenizer.decode(closing, skip_special_tokens=True)


def mode_of(name: str) -> Mode | None:
  """The mode of this name; None for '', the mode of the feedback."""
  names = [mode.name.lower() for mode in Mode]
  if name and name not in names:
    raise ValueError(f"config.rollout.mode is {name!r}: write '' or {names}")
  return Mode(names.index(name)) if name else None


def eval_batches_of(
  rows: Sequence[dict],
  rollout: Config,
  evaluation: Config,
  encode: Encode,
  pad: int,
) -> list[dict]:
  """The evaluation batches of this host. ValueError where there is no row, or
  no prompt that is short enough."""
  hosts = jax.process_count()
  # As many completions per batch as a training step, which fit into memory.
  each = (
    rollout.prompts_per_step
    // hosts
    * rollout.num_generations
    // evaluation.num_generations
  )
  batches = [
    *eval_batches(
      rows,
      encode,
      batch=max(each, 1),
      length=rollout.max_prompt_length,
      pad=pad,
      shard=(jax.process_index(), hosts),
    )
  ]
  if not batches:
    check_lengths(rows, encode, rollout.max_prompt_length)
  return batches
