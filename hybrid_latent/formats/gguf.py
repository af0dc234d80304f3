"""A GGUF file (llama.cpp), read as if it were a Hugging Face folder.

The `gguf` package maps the file and dequantises: F32, F16, BF16, Q8_0, Q4_0,
Q4_1, the K-quants and most others. Here its metadata becomes a `config.json`
and its tensors take Hugging Face's names, so that the families know nothing
of GGUF. Two habits of llama.cpp are undone: the rows of q and k of a `llama`
file are ordered for rotations of neighbouring pairs, and Llama 3's frequency
scaling is a tensor of factors instead of four numbers.
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

# The pattern of GPT-4, with the digits that one token may hold left open.
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


# tokenizer.ggml.pre -> how text is cut before the merges, as released.
PRE = {
  'smollm': [Digits(individual_digits=True), ByteLevel(add_prefix_space=False)],
  'qwen2': _words(''),
  'deepseek-r1-qwen': _words(''),
  'llama-bpe': _words('{1,3}'),
}


class _Reader(GGUFReader):
  """Lengths and counts are checked against the file before they are believed:
  what numpy has of a slice past the end is empty, and the package would go on
  through 2^60 of it."""

  def _get(self, offset, dtype, count=1, override_order=None):
    end = int(offset) + np.dtype(dtype).itemsize * int(count)
    if end > len(self.data):
      raise EOFError(
        f'it ends at byte {len(self.data)} and names what ends at byte {end}'
      )
    return super()._get(offset, dtype, count, override_order)


def open_gguf(path: str | Path) -> GGUFReader:
  """The file, memory mapped, its metadata parsed. ValueError for one that is
  not whole."""
  with reading(path, ': this is no GGUF file that is whole: fetch it again'):
    return _Reader(path)


def value(reader: GGUFReader, key: str, default: Any = None) -> Any:
  """One entry of the metadata as a Python value."""
  field = reader.get_field(key)
  return default if field is None else field.contents()


def gguf_fields(reader: GGUFReader) -> dict[str, Any]:
  """The metadata as a `config.json`."""
  arch = value(reader, 'general.architecture')
  family(arch)  # an unknown one is refused here, by its name
  shapes = {t.name: tuple(map(int, t.shape)) for t in reader.tensors}
  fields = {
    ours: value(reader, f'{arch}.{key}') for key, ours in FIELDS.items()
  }
  fields = {name: v for name, v in fields.items() if v is not None}
  if 'token_embd.weight' in shapes:
    fields['vocab_size'] = shapes['token_embd.weight'][1]
  turned = value(reader, f'{arch}.rope.dimension_count')
  if turned is not None and 'num_attention_heads' in fields:
    name = f'{arch}.rope.dimension_count'
    turned = whole_number({name: turned}, name)
    heads = whole_number(fields, 'num_attention_heads')
    head = whole_number(fields, 'hidden_size') // heads
    head = whole_number(fields, 'head_dim', head)
    fields['partial_rotary_factor'] = turned / head
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
  """The tensors under Hugging Face's names, float32 once they are read."""
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
  """The ids that begin, end and pad, as a `generation_config.json`."""
  token = lambda name: value(reader, f'tokenizer.ggml.{name}_token_id')
  ends = [token(x) for x in ('eos', 'eot', 'eom') if token(x) is not None]
  if all(isinstance(i, int) for i in ends):  # others are refused, as they are
    ends = sorted({*ends})
  generation = {
    'bos_token_id': token('bos'),
    'eos_token_id': ends or None,
    'pad_token_id': token('padding'),
  }
  return {name: ids for name, ids in generation.items() if ids is not None}


def gguf_tokenizer(file: str | Path | GGUFReader) -> PreTrainedTokenizerFast:
  """The tokenizer and the chat template that a GGUF file carries."""
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
  """The values, with the rows of each of `heads` heads in halves again."""
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
  """How many heads' rows llama.cpp has reordered in this tensor."""
  if config.family != 'llama':
    return 0
  heads = {'q_proj': config.heads, 'k_proj': config.kv_heads}
  return heads.get(name.rpartition('.')[2], 0)


def _huggingface_names(config: TransformerConfig) -> dict[str, str]:
  """'blk.0.attn_q' -> 'model.layers.0.self_attn.q_proj', for every tensor of
  the family; the gguf package knows the way back."""
  arch = next(a for a, n in MODEL_ARCH_NAMES.items() if n == config.family)
  theirs = get_tensor_name_map(arch, config.layers)
  names = {}
  for key in family(config.family).KEYS.values():
    for i in range(config.layers if '{}' in key else 1):
      base = key.format(i).rpartition('.')[0]
      names[theirs.get_name(base)] = base
  return names


def _llama3_scaling(reader: GGUFReader, fields) -> dict[str, Any]:
  """The four numbers behind the factors. Every release has 1, 4 and 8192 for
  the last three; a file for which that is not so is refused."""
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
      f'tokenizer.ggml.tokens: {text!r} stands at {twice[0]} and at '
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
