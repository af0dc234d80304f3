"""Byte-level tokenizers with a chat template, for the generated problems."""

from collections.abc import Sequence
from functools import partial

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

SPECIAL = ('<|pad|>', '<|end|>', '<|system|>', '<|user|>', '<|assistant|>')
_CHAT = (
  "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}"
  "{% if m['role'] == 'assistant' %}<|end|>{% endif %}{% endfor %}"
  '{% if add_generation_prompt %}<|assistant|>{% endif %}'
)


def byte_level(model: models.BPE) -> Tokenizer:
  """Encodes any text; every digit is separate, a space precedes its word."""
  tokens = Tokenizer(model)
  tokens.pre_tokenizer = pre_tokenizers.Sequence(
    [
      pre_tokenizers.Digits(individual_digits=True),
      pre_tokenizers.ByteLevel(add_prefix_space=False),
    ]
  )
  tokens.decoder = decoders.ByteLevel()
  return tokens


def word_tokenizer(
  words: Sequence[str], pattern: str | None = None
) -> PreTrainedTokenizerFast:
  """A tokenizer with one token per word, the space before it included; all
  other text is bytes. Texts are first split by `pattern`, a regular expression;
  by default as GPT-2 does."""
  byte_level = partial(pre_tokenizers.ByteLevel, add_prefix_space=False)
  texts = [
    *SPECIAL,
    *sorted(pre_tokenizers.ByteLevel.alphabet()),
    *(word.replace(' ', 'Ġ') for word in words),
  ]
  vocabulary = {text: i for i, text in enumerate(texts)}
  # Without merges a word is one token if in the vocabulary, else its bytes.
  bpe = Tokenizer(models.BPE(vocabulary, merges=[], ignore_merges=True))
  # Unlike that of `byte_level` it does not separate the digits of a number.
  bpe.pre_tokenizer = byte_level()
  if pattern:
    split = pre_tokenizers.Split(Regex(pattern), 'isolated')
    parts = [split, byte_level(use_regex=False)]
    bpe.pre_tokenizer = pre_tokenizers.Sequence(parts)
  bpe.decoder = decoders.ByteLevel()
  bpe.add_special_tokens(list(SPECIAL))
  return chat_tokenizer(bpe)


def chat_tokenizer(tokens: Tokenizer) -> PreTrainedTokenizerFast:
  """The tokenizer with a chat template; its vocabulary has `SPECIAL`."""
  # No clean-up: it would remove spaces before punctuation in decoded text.
  return PreTrainedTokenizerFast(
    tokenizer_object=tokens,
    pad_token='<|pad|>',
    eos_token='<|end|>',
    chat_template=_CHAT,
    clean_up_tokenization_spaces=False,
  )
