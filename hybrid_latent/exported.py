"""A rollout as one StableHLO program, which a script runs with jax alone.

`jax.export` lowers the jitted loop once for several platforms. The weights and
all settings are arguments by name; in the program are the feedback, the family,
the lengths, the group and the dtypes. It needs the package flatbuffers, here
and where the program is read:

    program = jax.export.deserialize(bytearray(file.read()))
    out = program.call(arrays, tokens, mask, ids, jax.random.key_data(key))
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.export
import jax.numpy as jnp
from jaxtyping import Array

from hybrid_latent.extras import needs
from hybrid_latent.rollout import rollout
from hybrid_latent.trees import named_leaves
from hybrid_latent.types import (
  Feedback,
  LanguageModel,
  Prompt,
  Sampling,
  StoppingRule,
)

PLATFORMS = 'cpu', 'cuda', 'tpu'


class ExportedRollout(NamedTuple):
  """A program, and the first of its arguments."""

  program: jax.export.Exported  # `program.serialize()` are the bytes of a file
  arrays: dict[str, Array]  # by name: `policy.*`, `sampling.*`, `stop.*`


def exported_rollout(
  policy: LanguageModel,
  feedback: Feedback,
  *,
  sampling: Sampling,
  stop: StoppingRule,
  prompt_length: int,
  max_steps: int,
  group: int = 1,
  cache_stages: int = 1,
  prompts: int | None = None,
  platforms: Sequence[str] = PLATFORMS,
) -> ExportedRollout:
  """The program (arrays, tokens i32[u p], mask bool[u p], ids i32[u], key data)
  -> the trajectory of `rollout`, its leaves by name, with u * group rows.

  Args:
    policy: as `rollout` takes it.
    sampling, stop: of `arrays`, in which a caller may change the values.
    prompt_length: p, with the left padding.
    prompts: u; None for any number.
    platforms: of which one program is for each.
  """
  needs('train', 'flatbuffers')
  inputs = {'policy': policy, 'sampling': sampling, 'stop': stop}
  arrays, structure = named_leaves(inputs), jax.tree.structure(inputs)
  names = [*arrays]  # jax sorts the keys of a dict

  def run(arrays, tokens, mask, ids, key):
    given = jax.tree.unflatten(structure, [arrays[name] for name in names])
    out = rollout(
      given['policy'],
      feedback,
      Prompt(tokens, mask, ids),
      jax.random.wrap_key_data(key),
      sampling=given['sampling'],
      stop=given['stop'],
      max_steps=max_steps,
      group=group,
      cache_stages=cache_stages,
    )
    return named_leaves(out)

  (u,) = jax.export.symbolic_shape('u') if prompts is None else (prompts,)
  shape = jax.ShapeDtypeStruct
  program = jax.export.export(jax.jit(run), platforms=platforms)(
    {name: shape(x.shape, x.dtype) for name, x in arrays.items()},
    shape((u, prompt_length), jnp.int32),
    shape((u, prompt_length), bool),
    shape((u,), jnp.int32),
    shape((2,), jnp.uint32),
  )
  return ExportedRollout(program, arrays)
