"""Parts that the families share: the key table and the fields of `config.json`.

A family adds its rows to KEYS and lists the values of fields that it accepts.
Import and export use the same table.
"""

from collections.abc import Mapping
from typing import Any

from hybrid_latent.models.transformer import TransformerConfig
from hybrid_latent.ops.rope import Llama3Scaling

# Our leaf -> Hugging Face's tensor; {} is the index of the layer.
KEYS = {
  'embedding': 'model.embed_tokens.weight',
  'norm': 'model.norm.weight',
  'head': 'lm_head.weight',
  'layers.input_norm': 'model.layers.{}.input_layernorm.weight',
  'layers.q.weight': 'model.layers.{}.self_attn.q_proj.weight',
  'layers.k.weight': 'model.layers.{}.self_attn.k_proj.weight',
  'layers.v.weight': 'model.layers.{}.self_attn.v_proj.weight',
  'layers.o.weight': 'model.layers.{}.self_attn.o_proj.weight',
  'layers.mlp_norm': 'model.layers.{}.post_attention_layernorm.weight',
  'layers.gate.weight': 'model.layers.{}.mlp.gate_proj.weight',
  'layers.up.weight': 'model.layers.{}.mlp.up_proj.weight',
  'layers.down.weight': 'model.layers.{}.mlp.down_proj.weight',
}

# Our field -> Hugging Face's, where the value is the same integer.
FIELDS = {
  'vocab': 'vocab_size',
  'width': 'hidden_size',
  'layers': 'num_hidden_layers',
  'heads': 'num_attention_heads',
  'mlp': 'intermediate_size',
  'max_positions': 'max_position_embeddings',
}

# Field -> the only value that the decoder implements, and the default.
ACCEPTED = {
  'hidden_act': 'silu',
  'attention_bias': False,
  'mlp_bias': False,
  'use_sliding_window': False,
  'quantization_config': None,
}

# Fields of RoPE that may be beside rope_scaling as well as in it.
_BESIDE = 'rope_theta', 'partial_rotary_factor'


def decoder_config(
  fields: Mapping[str, Any],
  *,
  head_dim: int | None = None,
  accepted: Mapping[str, Any] = ACCEPTED,
  **switches: Any,
) -> TransformerConfig:
  """The decoder of a `config.json`. `head_dim` is the family's default (None:
  width / heads); `switches` are fields of TransformerConfig.

  Raises ValueError, with the field, its value and the accepted ones, for
  anything that the decoder does not implement.
  """
  for name, value in accepted.items():
    field = fields.get(name, value)
    # In Python 0 == False.
    if field != value or isinstance(field, bool) != isinstance(value, bool):
      raise _refusal(name, field, f'{value!r}')
  kinds = fields.get('layer_types') or []
  if not isinstance(kinds, list) or any(x != 'full_attention' for x in kinds):
    raise _refusal('layer_types', kinds, "a list of 'full_attention'")
  sizes = {
    ours: whole_number(fields, theirs) for ours, theirs in FIELDS.items()
  }
  if fields.get('layer_types') is not None and len(kinds) != sizes['layers']:
    raise _refusal('layer_types', kinds, f'one for each of {sizes["layers"]}')
  heads, width = sizes['heads'], sizes['width']
  kv_heads = whole_number(fields, 'num_key_value_heads', heads)
  if heads % kv_heads:
    raise _refusal('num_key_value_heads', kv_heads, f'a divisor of {heads}')
  if not head_dim and fields.get('head_dim') is None and width % heads:
    raise _refusal('num_attention_heads', heads, f'a divisor of {width}')
  head_dim = whole_number(fields, 'head_dim', head_dim or width // heads)
  if head_dim % 2:
    raise _refusal('head_dim', head_dim, 'an even number')
  tied = fields.get('tie_word_embeddings', False)
  if not isinstance(tied, bool):
    raise _refusal('tie_word_embeddings', tied, 'true or false')
  theta, scaling = _rope(fields)
  return TransformerConfig(
    **sizes,
    kv_heads=kv_heads,
    head_dim=head_dim,
    rope_theta=theta,
    rope_scaling=scaling,
    norm_eps=_number(
      'rms_norm_eps', fields.get('rms_norm_eps', 1e-6), 1e-30, 1
    ),
    tied=tied,
    **switches,
  )


def config_fields(config: TransformerConfig, architecture: str) -> dict:
  """The `config.json` of a decoder, for transformers and vLLM."""
  scaling = config.rope_scaling
  return {
    'model_type': config.family,
    'architectures': [architecture],
    **{theirs: getattr(config, ours) for ours, theirs in FIELDS.items()},
    'num_key_value_heads': config.kv_heads,
    'head_dim': config.head_dim,
    'hidden_act': 'silu',
    'rms_norm_eps': config.norm_eps,
    'rope_theta': config.rope_theta,
    'rope_scaling': scaling and {'rope_type': 'llama3', **scaling._asdict()},
    'tie_word_embeddings': config.tied,
  }


def whole_number(fields: Mapping, name: str, default: int | None = None) -> int:
  """A field that is a whole number of at least 1; absent or null, `default`."""
  value = fields.get(name)
  value = default if value is None else value
  # Not isinstance: in Python True is an int.
  if type(value) is not int or not 1 <= value < 2**31:
    raise _refusal(name, value, f'a whole number from 1 to {2**31 - 1}')
  return value


def _rope(fields: Mapping) -> tuple[float, Llama3Scaling | None]:
  """Base and scaling, from `rope_theta` and `rope_scaling`, or from
  `rope_parameters` (transformers 5), with the precedence of transformers."""
  rope = fields.get('rope_scaling') or fields.get('rope_parameters') or {}
  if not isinstance(rope, Mapping) or any(
    isinstance(value, Mapping) for value in rope.values()
  ):
    raise _refusal('rope_scaling', rope, 'an object with a rope_type, or null')
  rope = {name: fields[name] for name in _BESIDE if name in fields} | dict(rope)
  theta = _number('rope_theta', rope.get('rope_theta', 10_000.0), 1)
  partial = rope.get('partial_rotary_factor')
  if partial is not None and (partial != 1.0 or partial is True):
    raise _refusal('partial_rotary_factor', partial, '1.0')
  kind = rope.get('rope_type', rope.get('type', 'default'))
  if kind == 'default':
    return theta, None
  if kind != 'llama3':
    raise _refusal('rope_type', kind, "'default' or 'llama3'")
  missing = [name for name in Llama3Scaling._fields if name not in rope]
  if missing:
    raise _refusal('rope_scaling', dict(rope), f'one that has {missing} too')
  low = _number('low_freq_factor', rope['low_freq_factor'], 1e-30)
  high = _number('high_freq_factor', rope['high_freq_factor'], 1e-30)
  if low >= high:
    raise _refusal(
      'low_freq_factor', low, f'a number below high_freq_factor = {high}'
    )
  return theta, Llama3Scaling(
    factor=_number('factor', rope['factor'], 1),
    low_freq_factor=low,
    high_freq_factor=high,
    original_max_position_embeddings=whole_number(
      rope, 'original_max_position_embeddings'
    ),
  )


def _number(name: str, value: Any, low: float, below: float = 1e30) -> float:
  """A field that is a number in [low, below), as a float."""
  number = isinstance(value, int | float) and not isinstance(value, bool)
  if not number or not low <= value < below:  # False for NaN
    raise _refusal(name, value, f'a number from {low:g} to below {below:g}')
  return float(value)


def _refusal(name: str, value: Any, accepted: str) -> ValueError:
  return ValueError(f'{name} = {value!r:.200}: accepted is {accepted}')
