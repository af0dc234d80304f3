"""The torch model of transformers, which ours are compared with."""

from pathlib import Path


def torch_model(path: Path, dtype: str, **options):
  """What transformers loads from a folder or a GGUF file. Needs torch."""
  import torch
  from transformers import AutoModelForCausalLM

  gguf = {'gguf_file': path.name} if path.is_file() else {}
  return AutoModelForCausalLM.from_pretrained(
    path.parent if gguf else path,
    dtype=getattr(torch, dtype),
    local_files_only=True,
    trust_remote_code=False,
    **gguf,
    **options,
  )
