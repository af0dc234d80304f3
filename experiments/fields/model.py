"""Checks a model against a config before its weights are read."""

import logging
from typing import Any

import jax.numpy as jnp

from hybrid_latent.formats.tokenizer import token_bytes
from hybrid_latent.models.transformer import TransformerConfig
from hybrid_latent.ops.thinking import FORCED_IDS
from hybrid_latent.trees import named_leaves

from .named import Config
from .rule import trains

_log = logging.getLogger(__name__)


def check_model(
  config: Config, model: TransformerConfig, tokenizer: Any
) -> None:
  """ValueError for lengths above the model's positions, a delimiter that its
  tokenizer cannot encode, and forced texts of too many tokens."""
  _check_positions(config, model.max_positions)
  if tokenizer is None or 'rollout' not in config:
    return
  encode = lambda text: tokenizer(text, add_special_tokens=False)['input_ids']
  delimiter, bytes_of = config.rollout.end_of_thinking, token_bytes(tokenizer)
  written = b''.join(bytes_of[i] for i in encode(delimiter))
  if delimiter.encode() not in written:
    raise ValueError(
      f'config.rollout.end_of_thinking is {delimiter!r}, which no tokens of '
      f'{config.model.source!r} encode: write the text that ends the thinking, '
      'and where it is a special token, which decoding leaves out, "special": '
      "false in the model's tokenizer.json"
    )
  for name in 'after_thinking', 'on_truncation', 'on_budget':
    text = config.rollout.forced_text[name]
    if len(encode(text)) > FORCED_IDS:
      raise ValueError(
        f'config.rollout.forced_text.{name} is {text!r}, {len(encode(text))} '
        f'tokens: write at most {FORCED_IDS}'
      )


def check_attention(implementation: str | None, platform: str) -> None:
  """ValueError for a kernel of another platform."""
  kernels = {'cudnn': ('gpu', 'cuda'), 'splash': ('tpu',)}
  made_for = kernels.get(implementation or '', (platform,))
  if platform not in made_for:
    raise ValueError(
      f'config.model.attention is {implementation!r}, a kernel for '
      f'{made_for[0].upper()}s, and the devices are {platform}s: write None, '
      'which is xla, for long rows xla_chunked'
    )


def warn_of_untrained(config: Config, feedback: Any) -> None:
  """Warns of arrays in the parameters of a feedback that no optimizer group
  trains. Settings are scalars."""
  arrays = [
    name
    for name, x in named_leaves({'feedback': feedback}).items()
    if x.ndim and jnp.issubdtype(x.dtype, jnp.floating)
  ]
  untrained = [name for name in arrays if not trains(config, name)]
  if config.max_steps and untrained:
    names = '|'.join(f'^{name}$' for name in untrained)
    group = '--config.optimizer.groups.feedback'
    _log.warning(
      'config.feedback.init is %r, and no optimizer group trains its arrays '
      "%s: write %s.pattern='%s' %s.lr=1e-4",
      config.feedback.init,
      ', '.join(untrained),
      group,
      '^feedback' if untrained == arrays else names,
      group,
    )


def _check_positions(config: Config, most: int) -> None:
  """ValueError for lengths above `most` positions."""
  longest: dict[str, int] = {}
  if 'max_length' in config:
    longest['max_length'] = config.max_length
  if 'rollout' in config and (
    'max_length' not in config or config.eval.num_prompts
  ):
    parts = {f'rollout.{n}': config.rollout[n]
             for n in ('max_prompt_length',
                       'max_completion_length')}  # fmt: skip
    initial = config.feedback.init_kwargs
    # Latents of a prefix have positions; a stored reasoner has its own number.
    if 'latents' in initial and not initial.get('source'):
      parts['feedback.init_kwargs.latents'] = initial.latents
    longest[' + config.'.join(parts)] = sum(parts.values())
  for fields, length in longest.items():
    if length > most:
      raise ValueError(
        f'config.{fields} is {length} and {config.model.source!r} has {most} '
        'positions: write at most as many'
      )
