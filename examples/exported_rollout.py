"""Samples completions by a rollout that experiments.export has written.

    pip install jax flatbuffers
    python exported_rollout.py FOLDER 12 7 99

FOLDER is that of `python -m experiments.export --workdir=.. --to=FOLDER
--rollout`; the numbers are the token ids of a prompt. Nothing of hybrid_latent
is imported.
"""

import json
import sys
from pathlib import Path

import jax
import jax.export
import jax.numpy as jnp
import numpy as np

DTYPES = {
  'F32': 'float32', 'BF16': 'bfloat16', 'F16': 'float16', 'BOOL': 'bool',
  'I8': 'int8', 'I16': 'int16', 'I32': 'int32', 'U32': 'uint32',
}  # fmt: skip


def read_safetensors(file: Path) -> dict[str, jax.Array]:
  """The arrays of a file: the length of a JSON header, the header, the data."""
  data = file.read_bytes()
  start = 8 + int.from_bytes(data[:8], 'little')
  arrays = {}
  for name, x in json.loads(data[8:start]).items():
    first, last = x['data_offsets']
    flat = np.frombuffer(data[start + first : start + last],
                         jnp.dtype(DTYPES[x['dtype']]))  # fmt: skip
    arrays[name] = jnp.asarray(flat.reshape(x['shape']))
  return arrays


def sample(folder: Path, prompts: list[list[int]], seed: int, **settings):
  """A completion of each prompt, a list of token ids; settings by name, such as
  temperature=0.5."""
  facts = json.loads((folder / 'rollout.json').read_text())
  arrays = read_safetensors(folder / 'arrays.safetensors')
  for name, value in settings.items():
    old = arrays[f'sampling.{name}']
    arrays[f'sampling.{name}'] = jnp.asarray(value, old.dtype)
  width = facts['max_prompt_length']
  lengths = np.array([len(prompt) for prompt in prompts])
  mask = np.arange(width) >= width - lengths[:, None]  # left padded
  tokens = np.zeros(mask.shape, np.int32)
  tokens[mask] = np.concatenate(prompts)
  file = (folder / 'rollout.stablehlo').read_bytes()
  program = jax.export.deserialize(bytearray(file))
  ids = np.arange(len(prompts), dtype=np.int32)
  key = jax.random.key_data(jax.random.key(seed))
  out = jax.jit(program.call)(arrays, tokens, mask, ids, key)
  return [
    np.asarray(row)[np.asarray(keep)].tolist()
    for row, keep in zip(out['tokens'], out['mask'], strict=True)
  ]


if __name__ == '__main__':
  folder, *prompt = sys.argv[1:]
  (completion,) = sample(Path(folder), [[int(x) for x in prompt]], seed=0)
  print(*completion)
