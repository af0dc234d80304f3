"""A GGUF file (llama.cpp), converted to the contents of a Hugging Face folder.

The `gguf` package maps the file and dequantises F32, F16, BF16, Q8_0, Q4_0,
Q4_1, the K-quants and most others. Its metadata is converted to a `config.json`
and its tensors to Hugging Face's names, so the families need no code for GGUF.
Two conversions of llama.cpp are undone: it reorders the rows of q and k of a
`llama` file for rotations of adjacent pairs, and it stores Llama 3's frequency
scaling as a tensor of factors instead of four numbers.
"""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from gguf import (
  MODEL_ARCH_NAMES,
  GGUFReader,
  TokenType,
  dequantize,
  get_tensor_name_map,
)
from tokenizers import (
  AddedToken,
  Regex,
  Tokenizer,
  decoders,
  models,
  normalizers,
  pre_tokenizers,
  processors,
)
from tokenizers.pre_tokenizers import ByteLevel, Digits, Split
from transformers import PreTrainedTokenizerFast

from hybrid_latent.formats.files import Tensor, reading
from hybrid_latent.models.config import whole_number
from hybrid_latent.models.families import family, from_huggingface
from hybrid_latent.models.transformer import TransformerConfig
from hybrid_latent.ops.rope import Llama3Scaling, rope_frequencies

# GGUF key, after the architecture's name -> field of config.json.
FIELDS = {
  'embedding_length': 'hidden_size',
  'block_count': 'num_hidden_layers',
  'attention.head_count': 'num_attention_heads',
  'attention.head_count_kv': 'num_key_value_heads',
  'attention.key_length': 'head_dim',
  'feed_forward_length': 'intermediate_size',
  'context_length': 'max_position_embeddings',
  'rope.freq_base': 'rope_theta',
  'attention.layer_norm_rms_epsilon': 'rms_norm_eps',
}
ROPE_FACTORS = 'rope_freqs.weight'

# The pattern of GPT-4; `digits` is the number of digits per token.
_WORDS = (
  r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}{digits}"
  r'| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+'
)


def _words(digits: str) -> list:
  pattern = Regex(_WORDS.format(digits=digits))
  return [
    Split(pattern, 'isolated'),
    ByteLevel(add_prefix_space=False, use_regex=False),
  ]


# tokenizer.ggml.pre -> the pre-tokenizer of the release.
PRE = {
  'smollm': [Digits(individual_digits=True), ByteLevel(add_prefix_space=False)],
  'qwen2': _words(''),
  'deepseek-r1-qwen': _words(''),
  'llama-bpe': _words('{1,3}'),
}


class _Reader(GGUFReader):
  """A GGUFReader that checks offsets against the size of the file: numpy's
  slices past the end are empty, and the package would iterate over a corrupt
  count of 2^60 of them."""

  def _get(self, offset, dtype, count=1, override_order=None):
    end = int(offset) + np.dtype(dtype).itemsize * int(count)
    if end > len(self.data):
      raise EOFError(
        f'it ends at byte {len(self.data)}, and its metadata at byte {end}'
      )
    return super()._get(offset, dtype, count, override_order)


def open_gguf(path: str | Path) -> GGUFReader:
  """The file, memory mapped, with its metadata parsed. ValueError for a
  truncated file."""
  with reading(path, ': accepted is a whole GGUF file: fetch it again'):
    return _Reader(path)


def value(reader: GGUFReader, key: str, default: Any = None) -> Any:
  """One entry of the metadata as a Python value."""
  field = reader.get_field(key)
  return default if field is None else field.contents()


def gguf_fields(reader: GGUFReader) -> dict[str, Any]:
  """The metadata as a `config.json`."""
  arch = value(reader, 'general.architecture')
  family(arch)  # ValueError for an unknown one
  shapes = {t.name: tuple(map(int, t.shape)) for t in reader.tensors}
  fields = {
    ours: value(reader, f'{arch}.{key}') for key, ours in FIELDS.items()
  }
  fields = {name: v for name, v in fields.items() if v is not None}
  if 'token_embd.weight' in shapes:
    fields['vocab_size'] = shapes['token_embd.weight'][1]
  rotary_dim = value(reader, f'{arch}.rope.dimension_count')
  if rotary_dim is not None and 'num_attention_heads' in fields:
    name = f'{arch}.rope.dimension_count'
    rotary_dim = whole_number({name: rotary_dim}, name)
    heads = whole_number(fields, 'num_attention_heads')
    head_dim = whole_number(fields, 'hidden_size') // heads
    head_dim = whole_number(fields, 'head_dim', head_dim)
    fields['partial_rotary_factor'] = rotary_dim / head_dim
  if isinstance(
    fields.get('rms_norm_eps'), float
  ):  # the shortest decimal of the stored float32
    fields['rms_norm_eps'] = float(str(np.float32(fields['rms_norm_eps'])))
  fields['model_type'] = arch
  fields['tie_word_embeddings'] = 'output.weight' not in shapes
  kind = value(reader, f'{arch}.rope.scaling.type', 'none')
  if kind != 'none':
    fields['rope_scaling'] = {'rope_type': kind}
  elif ROPE_FACTORS in shapes:
    fields['rope_scaling'] = _llama3_scaling(reader, fields)
  return fields


def gguf_tensors(reader: GGUFReader) -> dict[str, Tensor]:
  """The tensors under Hugging Face's names; `read` returns float32."""
  config = from_huggingface(gguf_fields(reader))
  if config.layers > len(reader.tensors):
    raise ValueError(
      f'{config.family}.block_count = {config.layers}: accepted is the number '
      f'of layers that the {len(reader.tensors)} tensors of the file make up'
    )
  names = _huggingface_names(config)
  tensors = {}
  for tensor in reader.tensors:
    if tensor.name == ROPE_FACTORS:
      continue
    base, dot, suffix = tensor.name.rpartition('.')
    base = names.get(base, base)
    tensors[base + dot + suffix] = Tensor(
      shape=tuple(int(n) for n in reversed(tensor.shape)),
      dtype=tensor.tensor_type.name,
      read=partial(_read, tensor, _interleaved_heads(config, base)),
      file=str(reader.data.filename),
    )
  return tensors


def gguf_generation(reader: GGUFReader) -> dict[str, Any]:
  """The ids of `generation_config.json`: beginning and end of text, padding."""
  token = lambda name: value(reader, f'tokenizer.ggml.{name}_token_id')
  ends = [token(x) for x in ('eos', 'eot', 'eom') if token(x) is not None]
  if all(isinstance(i, int) for i in ends):  # check_ends refuses others
    ends = sorted({*ends})
  generation = {
    'bos_token_id': token('bos'),
    'eos_token_id': ends or None,
    'pad_token_id': token('padding'),
  }
  return {name: ids for name, ids in generation.items() if ids is not None}


def gguf_tokenizer(file: str | Path | GGUFReader) -> PreTrainedTokenizerFast:
  """The tokenizer of a GGUF file, with its chat template."""
  reader = file if isinstance(file, GGUFReader) else open_gguf(file)
  entry = lambda name, default=None: value(
    reader, f'tokenizer.ggml.{name}', default
  )
  if entry('model') != 'gpt2' or entry('pre') not in PRE:
    raise ValueError(
      f'tokenizer.ggml.model = {entry("model")!r} with pre = '
      f"{entry('pre')!r}: accepted is 'gpt2' (byte-level BPE) with one of "
      f'{sorted(PRE)}'
    )
  tokens = entry('tokens')
  token = lambda name: _token(tokens, entry(f'{name}_token_id'))
  return PreTrainedTokenizerFast(
    tokenizer_object=_byte_level_bpe(tokens, entry),
    bos_token=token('bos'),
    eos_token=token('eos'),
    unk_token=token('unknown'),
    pad_token=token('padding') or token('eos'),
    padding_side='left',
    clean_up_tokenization_spaces=False,
    chat_template=value(reader, 'tokenizer.chat_template'),
  )


def _read(tensor, heads: int) -> np.ndarray:
  """The values. The rows of each of `heads` heads return from adjacent pairs
  to halves, the layout of Hugging Face's rotation."""
  try:
    array = dequantize(tensor.data, tensor.tensor_type)
  except NotImplementedError as error:
    raise ValueError(
      f'tensor {tensor.name} is stored as {tensor.tensor_type.name}, which the '
      'gguf package cannot dequantise: convert the file to Q8_0 or a K-quant'
    ) from error
  if not heads:
    return array
  pairs = array.reshape(heads, -1, 2, *array.shape[1:])
  return pairs.swapaxes(1, 2).reshape(array.shape)


def _interleaved_heads(config: TransformerConfig, name: str) -> int:
  """The number of heads whose rows llama.cpp has reordered; 0 for none."""
  if config.family != 'llama':
    return 0
  heads = {'q_proj': config.heads, 'k_proj': config.kv_heads}
  return heads.get(name.rpartition('.')[2], 0)


def _huggingface_names(config: TransformerConfig) -> dict[str, str]:
  """'blk.0.attn_q' -> 'model.layers.0.self_attn.q_proj' for every tensor of the
  family, by inverting the map of the gguf package."""
  arch = next(a for a, n in MODEL_ARCH_NAMES.items() if n == config.family)
  theirs = get_tensor_name_map(arch, config.layers)
  names = {}
  for key in family(config.family).KEYS.values():
    for i in range(config.layers if '{}' in key else 1):
      base = key.format(i).rpartition('.')[0]
      names[theirs.get_name(base)] = base
  return names


def _llama3_scaling(reader: GGUFReader, fields) -> dict[str, Any]:
  """The four numbers of the scaling, from its factors. The last three are 1, 4
  and 8192 in every release; ValueError for a file with others."""
  tensor = next(t for t in reader.tensors if t.name == ROPE_FACTORS)
  factors = dequantize(tensor.data, tensor.tensor_type)
  scaling = Llama3Scaling(float(factors.max()), 1.0, 4.0, 8192)
  theta = float(fields.get('rope_theta', 10_000.0))
  frequency = rope_frequencies(2 * len(factors), theta, None)
  scaled = rope_frequencies(2 * len(factors), theta, scaling)
  if 2 * len(factors) != fields.get('head_dim', 2 * len(factors)) or (
    not np.allclose(frequency, scaled * factors, rtol=1e-4)
  ):
    raise ValueError(
      f'{ROPE_FACTORS} is not the scaling of a Llama 3 release (factor, low 1, '
      'high 4, original 8192): load the Hugging Face folder instead'
    )
  return {'rope_type': 'llama3', **scaling._asdict()}


def _byte_level_bpe(tokens: list[str], entry) -> Tokenizer:
  types = entry('token_type', [TokenType.NORMAL] * len(tokens))
  used = [i for i, t in enumerate(types) if t != TokenType.UNUSED]
  pre, vocabulary = entry('pre'), {tokens[i]: i for i in used}
  if twice := [i for i in used if vocabulary[tokens[i]] != i]:
    text = tokens[twice[0]]
    raise ValueError(
      f'tokenizer.ggml.tokens: {text!r} occurs at {twice[0]} and at '
      f'{vocabulary[text]}: accepted is one id per token'
    )
  tokenizer = Tokenizer(
    models.BPE(
      vocab=vocabulary,
      merges=[tuple(merge.split(' ')) for merge in entry('merges')],
      ignore_merges=pre == 'llama-bpe',
    )
  )
  if pre != 'smollm' and pre != 'llama-bpe':
    tokenizer.normalizer = normalizers.NFC()
  tokenizer.pre_tokenizer = pre_tokenizers.Sequence(PRE[pre])
  tokenizer.decoder = decoders.ByteLevel()
  kinds = {TokenType.CONTROL: True, TokenType.USER_DEFINED: False}
  tokenizer.add_tokens(
    [
      AddedToken(tokens[i], special=kinds[types[i]], normalized=False)
      for i in used
      if types[i] in kinds
    ]
  )
  if entry('add_bos_token', pre == 'llama-bpe'):
    bos = entry('bos_token_id')
    tokenizer.post_processor = processors.TemplateProcessing(
      single=f'{tokens[bos]} $A', special_tokens=[(tokens[bos], bos)]
    )
  return tokenizer


def _token(tokens: list[str], i: int | None) -> str | None:
  return None if i is None else tokens[i]
