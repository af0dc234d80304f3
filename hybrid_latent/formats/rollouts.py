"""Trajectories on disk, so that a loss can be worked on without generating.

One safetensors file holds a batch: its tensors are named by their place
('prompt.tokens', 'trajectory.record.h'), its metadata holds notes as JSON.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from flax.traverse_util import unflatten_dict
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from hybrid_latent.trees import named_leaves
from hybrid_latent.types import Prompt, Trajectory

FORMAT = 'hybrid_latent.rollouts/1'


def write(
  path: str | Path,
  prompt: Prompt,
  trajectory: Trajectory,
  notes: Mapping[str, Any],
) -> None:
  """Writes a batch of this host and whatever JSON can hold as `notes`, whole
  or not at all. The trajectory's record is a dict of arrays, of such dicts, or
  nothing."""
  path = Path(path)
  leaves = named_leaves({'prompt': prompt, 'trajectory': trajectory})
  metadata = {'format': FORMAT, 'notes': json.dumps(dict(notes))}
  path.parent.mkdir(parents=True, exist_ok=True)
  draft = path.with_name(f'.{path.name}.{os.getpid()}.new')
  draft.touch()
  mode = draft.stat().st_mode
  try:
    arrays = {n: np.asarray(x, order='C') for n, x in leaves.items()}
    save_file(arrays, draft, metadata)
    draft.chmod(mode)  # safetensors writes for the owner alone
    draft.replace(path)
  finally:
    draft.unlink(missing_ok=True)


def read(path: str | Path) -> tuple[Prompt, Trajectory, dict[str, Any]]:
  """What `write` was given, with numpy arrays. Raises ValueError, with the
  file's name, for one that is not whole or of another program or version."""
  try:
    with safe_open(path, framework='numpy') as file:
      metadata = file.metadata() or {}
      if metadata.get('format') != FORMAT:
        raise ValueError(
          f'metadata: format = {metadata.get("format")!r}: accepted is '
          f'{FORMAT!r}, which rollouts.write writes'
        )
      arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
      parts = unflatten_dict(arrays, sep='.')
      trajectory = {'record': (), 'steps': ()} | parts['trajectory']
      notes = json.loads(metadata['notes'])
      return Prompt(**parts['prompt']), Trajectory(**trajectory), notes
  except (SafetensorError, TypeError, KeyError) as error:
    raise ValueError(
      f'{path}: {error}: accepted is a whole file that rollouts.write wrote'
    ) from error
  except ValueError as error:
    raise ValueError(f'{path}: {error}') from error
