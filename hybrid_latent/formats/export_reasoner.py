"""Writes the folder of a reasoner atomically: config.json has its sizes and
those of its backbone, model.safetensors its parameters by name."""

import shutil
from pathlib import Path

import jax
from safetensors.numpy import save_file

from hybrid_latent.formats.export import new_folder, write_json
from hybrid_latent.formats.pretrained import FILE
from hybrid_latent.formats.weights import finite, on_host
from hybrid_latent.models.families import to_huggingface
from hybrid_latent.models.reasoner import Prefix
from hybrid_latent.trees import named_leaves

KIND = 'latent_reasoner'


def write_reasoner(prefix: Prefix, folder: str | Path) -> None:
  """Writes the folder. All processes gather the parameters, the first one
  writes them."""
  reasoner = prefix.reasoner
  leaves = named_leaves(prefix).items()
  # Before the return below: the gather needs all processes.
  arrays = {name: finite(on_host(x), name) for name, x in leaves}
  if jax.process_index():
    return
  with new_folder(folder, overwrite=True) as draft:
    write_json(
      draft / 'config.json',
      {
        'model_type': KIND,
        'latents': reasoner.r.shape[0],
        'reads': reasoner.reads,
        'width': reasoner.f_out.weight.shape[0],
        'closing': prefix.closing.shape[0],
        'backbone': to_huggingface(reasoner.backbone.config),
      },
    )
    save_file(arrays, draft / FILE)
    shutil.copymode(draft / 'config.json', draft / FILE)  # as write_model does
