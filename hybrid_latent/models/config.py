"""What the families share: the key table and the fields of `config.json`.

A family adds its rows to KEYS and says which values of which fields it
accepts. Both directions read the same table.
"""

from collections.abc import Mapping
from typing import Any

from hybrid_latent.models.transformer import TransformerConfig
from hybrid_latent.ops.rope import Llama3Scaling

# Our leaf -> Hugging Face's tensor; {} is the number of the layer.
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

# Ours -> Hugging Face's field, where the value is the same whole number.
FIELDS = {
  'vocab': 'vocab_size',
  'width': 'hidden_size',
  'layers': 'num_hidden_layers',
  'heads': 'num_attention_heads',
  'mlp': 'intermediate_size',
  'max_positions': 'max_position_embeddings',
}

# Field -> the only value the decoder implements; an absent field has it.
ACCEPTED = {
  'hidden_act': 'silu',
  'attention_bias': False,
  'mlp_bias': False,
  'use_sliding_window': False,
  'partial_rotary_factor': 1.0,
  'quantization_config': None,
}


def decoder_config(
  fields: Mapping[str, Any],
  *,
  head_dim: int | None = None,
  accepted: Mapping[str, Any] = ACCEPTED,
  **switches,
) -> TransformerConfig:
  """The decoder that a `config.json` describes. `head_dim` is the family's
  default (None: width / heads); `switches` are fields of TransformerConfig.

  Raises ValueError, with the field, its value and what is accepted, for
  whatever the decoder does not implement.
  """
  for name, value in accepted.items():
    if fields.get(name, value) != value:
      raise _refusal(name, fields[name], f'{value!r}')
  kinds = set(fields.get('layer_types') or ()) - {'full_attention'}
  if kinds:
    raise _refusal('layer_types', sorted(kinds), "'full_attention'")
  sizes = {ours: _size(fields, theirs) for ours, theirs in FIELDS.items()}
  heads = sizes['heads']
  kv_heads = _size(fields, 'num_key_value_heads', heads)
  if heads % kv_heads:
    raise _refusal('num_key_value_heads', kv_heads, f'a divisor of {heads}')
  theta, scaling = _rope(fields)
  return TransformerConfig(
    **sizes,
    kv_heads=kv_heads,
    head_dim=_size(fields, 'head_dim', head_dim or sizes['width'] // heads),
    rope_theta=theta,
    rope_scaling=scaling,
    norm_eps=float(fields.get('rms_norm_eps', 1e-6)),
    tied=bool(fields.get('tie_word_embeddings', False)),
    **switches,
  )


def config_fields(config: TransformerConfig, architecture: str) -> dict:
  """The `config.json` of a decoder, as transformers and vLLM read it."""
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


def _rope(fields: Mapping) -> tuple[float, Llama3Scaling | None]:
  """Base and scaling, from `rope_parameters` (transformers 5) or from
  `rope_theta` and `rope_scaling` (before)."""
  rope = fields.get('rope_parameters') or fields.get('rope_scaling') or {}
  theta = float(rope.get('rope_theta', fields.get('rope_theta', 10_000.0)))
  kind = rope.get('rope_type', rope.get('type', 'default'))
  if rope.get('partial_rotary_factor', 1.0) != 1.0:
    raise _refusal(
      'partial_rotary_factor', rope['partial_rotary_factor'], '1.0'
    )
  if kind == 'default':
    return theta, None
  if kind != 'llama3':
    raise _refusal('rope_type', kind, "'default' or 'llama3'")
  missing = [name for name in Llama3Scaling._fields if name not in rope]
  if missing:
    raise _refusal('rope_scaling', dict(rope), f'one that has {missing} too')
  return theta, Llama3Scaling(
    factor=float(rope['factor']),
    low_freq_factor=float(rope['low_freq_factor']),
    high_freq_factor=float(rope['high_freq_factor']),
    original_max_position_embeddings=int(
      rope['original_max_position_embeddings']
    ),
  )


def _size(fields: Mapping, name: str, default: int | None = None) -> int:
  value = fields.get(name)
  value = default if value is None else value
  if not isinstance(value, int) or isinstance(value, bool) or value < 1:
    raise _refusal(name, value, 'a whole number > 0')
  return value


def _refusal(name: str, value: Any, accepted: str) -> ValueError:
  return ValueError(f'config.json: {name} = {value!r}: accepted is {accepted}')
