"""Opens a GGUF file as a model, with the checks of a Hugging Face folder."""

from pathlib import Path

from hybrid_latent.formats.files import reading
from hybrid_latent.formats.fitting import fitted
from hybrid_latent.formats.gguf import (
  gguf_fields,
  gguf_generation,
  gguf_tensors,
  gguf_tokenizer,
  open_gguf,
)
from hybrid_latent.formats.pretrained import ModelFiles
from hybrid_latent.formats.tokenizer_files import (
  check_ends,
  check_ids,
  with_ends,
)
from hybrid_latent.models.families import from_huggingface

_WHOLE = (
  ': accepted are tokenizer.ggml.tokens, merges and token_type of a byte-level '
  'BPE, whole, and ids of its tokens'
)


def open_gguf_model(path: Path) -> ModelFiles:
  """The model without its weights, checked."""
  with reading(path):
    reader = open_gguf(path)
    config = from_huggingface(gguf_fields(reader))
    tensors = fitted(config, gguf_tensors(reader))
    generation = gguf_generation(reader)
    check_ends(generation, config.vocab)
    with reading(path, _WHOLE):
      tokenizer = gguf_tokenizer(reader)
    check_ids(tokenizer, config.vocab)
    tokenizer = with_ends(tokenizer, generation)
    return ModelFiles(path, config, tensors, tokenizer, generation)
