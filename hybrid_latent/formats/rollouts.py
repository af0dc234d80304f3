"""Trajectories on disk, for work on a loss without a rollout.

One safetensors file per batch: its tensors are named by their path
('prompt.tokens', 'trajectory.record.h'), its metadata has notes as JSON.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from flax.traverse_util import unflatten_dict
from safetensors import safe_open
from safetensors.numpy import save_file

from hybrid_latent.formats.files import FileError, reading
from hybrid_latent.trees import named_leaves
from hybrid_latent.types import Prompt, Trajectory

FORMAT = 'hybrid_latent.rollouts/1'
KINDS = {  # NumPy's kinds of dtypes; the other tensors are floats
  'prompt.tokens': 'i',
  'prompt.ids': 'i',
  'trajectory.tokens': 'i',
  'prompt.mask': 'b',
  'trajectory.mask': 'b',
}
# Names in a file -> fields of `types.py`, where they differ.
FIELDS = {
  'trajectory.free': 'trajectory.policy_mask',
  'trajectory.behaviour': 'trajectory.behavior_log_probs',
  'trajectory.thinking': 'trajectory.thinking_mask',
  'trajectory.latent': 'trajectory.latent_share',
  'trajectory.ended': 'trajectory.terminated',
}
_IN_FILE = {field: name for name, field in FIELDS.items()}
# The axes of each shape, as in types.py: one letter is one size in all tensors.
SHAPES = {
  'prompt.tokens': 'up',
  'prompt.mask': 'up',
  'prompt.ids': 'u',
  'prompt.mode': 'u',
  'trajectory.tokens': 'bt',
  'trajectory.mask': 'bt',
  'trajectory.free': 'bt',
  'trajectory.log_probs': 'bt',
  'trajectory.behaviour': 'bt',
  'trajectory.thinking': 'bt',
  'trajectory.latent': 'bt',
  'trajectory.ended': 'b',
  'trajectory.steps': '',
}


def write(
  path: str | Path,
  prompt: Prompt,
  trajectory: Trajectory,
  notes: Mapping[str, Any],
) -> None:
  """Writes a batch of this host, with JSON values as `notes`, atomically. The
  trajectory's record is a nested dict of arrays, or empty."""
  path = Path(path)
  leaves = named_leaves({'prompt': prompt, 'trajectory': trajectory})
  metadata = {'format': FORMAT, 'notes': json.dumps(dict(notes))}
  path.parent.mkdir(parents=True, exist_ok=True)
  # Renamed at the end: a reader never sees a partial file.
  draft = path.with_name(f'.{path.name}.{os.getpid()}.new')
  draft.touch()
  mode = draft.stat().st_mode
  try:
    arrays = {
      _IN_FILE.get(n, n): np.asarray(x, order='C') for n, x in leaves.items()
    }
    save_file(arrays, draft, metadata)
    draft.chmod(mode)  # safetensors creates files only the owner can read
    draft.replace(path)
  finally:
    draft.unlink(missing_ok=True)


def read(path: str | Path) -> tuple[Prompt, Trajectory, dict[str, Any]]:
  """The arguments of `write`, with numpy arrays. ValueError, with the file's
  name, for a truncated file and for another program's or version's."""
  with reading(path, ': accepted is a whole file that rollouts.write wrote'):
    with safe_open(path, framework='numpy') as file:
      metadata = file.metadata() or {}
      if metadata.get('format') != FORMAT:
        raise FileError(
          f'{path}: metadata: format = {metadata.get("format")!r}: accepted is '
          f'{FORMAT!r}, which rollouts.write writes'
        )
      arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    _check_shapes(arrays)
    for name, kind in KINDS.items():
      if name in arrays and (dtype := arrays[name].dtype).kind != kind:
        raise ValueError(
          f'{name} has dtype {dtype}: accepted is one of kind {kind!r}'
        )
      if name in arrays and kind == 'i' and arrays[name].min(initial=0) < 0:
        raise ValueError(f'{name} has ids below 0: accepted are ids from 0')
    fields = unflatten_dict(
      {FIELDS.get(n, n): x for n, x in arrays.items()}, sep='.'
    )
    # Empty containers have no leaves, hence no tensors in the file.
    trajectory = {'record': (), 'steps': ()} | fields['trajectory']
    notes = json.loads(metadata['notes'])
    if not isinstance(notes, dict):
      raise ValueError(
        f'metadata: notes = {notes!r:.80}: accepted is a JSON object'
      )
    return Prompt(**fields['prompt']), Trajectory(**trajectory), notes


def _check_shapes(arrays: Mapping[str, np.ndarray]) -> None:
  # The first tensor with an axis fixes its size; the others have to agree.
  sizes = {}
  for name, letters in SHAPES.items():
    shape = arrays[name].shape if name in arrays else ()
    if name in arrays and len(shape) != len(letters):
      raise ValueError(
        f'{name} has shape {shape}: accepted are the axes {letters!r}'
      )
    for letter, size in zip(letters, shape, strict=False):
      if sizes.setdefault(letter, size) != size:
        raise ValueError(
          f'{name} has shape {shape}, where others have {letter} = '
          f'{sizes[letter]}'
        )
