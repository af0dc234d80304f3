"""Loads the torch model of transformers, the reference of ours."""

from pathlib import Path


def torch_model(path: Path, dtype: str, **options):
  """The model that transformers loads from a folder or a GGUF file; needs
  torch."""
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
