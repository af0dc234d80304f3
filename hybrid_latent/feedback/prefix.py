"""A prefix of latents after the prompt replaces the thinking in words; then the
model answers with plain tokens.

LRT (ICLR 2026, "Latent Reasoning Tuning") generates them with a separate
network, `models/reasoner.py`, and freezes the model. The paper does not specify
their position. Here they replace the thinking: after a prompt that ends with
the beginning of the thinking, and before the text that ends it.

The latents are a function of the prompt and of the network, and rescoring
recomputes them: gradients reach the network through the model. Without the
prefix (types.Mode) the model is unchanged, bit for bit.
"""

import functools
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Key

from hybrid_latent.feedback.base import parameters
from hybrid_latent.feedback.discrete import discrete
from hybrid_latent.models.reasoner import Prefix, Reads
from hybrid_latent.ranges import PositiveInt
from hybrid_latent.types import Feedback


@functools.cache  # one object, so that a jit that takes it compiles once
def prefix() -> Feedback:
  """For a `Policy(model, models.reasoner.Prefix(...))`."""

  def latents(model, prompt):
    p = parameters(model, 'Prefix', Prefix)
    # Forced text such as </think>, as embeddings within the prefix.
    closing = model.embed(p.closing)
    z = p.reasoner(prompt.hidden, prompt.mask).astype(closing.dtype)
    closing = jnp.broadcast_to(closing, (z.shape[0], *closing.shape))
    return jnp.concatenate([z, closing], axis=1)

  return discrete()._replace(prefix=latents)


def reasoner(
  key: Key[Array, ''],
  policy: Any,
  tokenizer: Any,
  *,
  source: str = '',
  backbone: str = '',
  latents: PositiveInt = 256,
  reads: Reads = 'last',
  closing: str = '\n</think>\n\n',
) -> Prefix:
  """The parameters of `prefix`, for the model of `policy`.

  Args:
    source: a folder that `formats.export_reasoner.write_reasoner` wrote; the
      other arguments are then ignored. '': a new one.
    backbone: of a new one, any model that `pretrained` loads.
    latents: j, of a new one.
    reads: of a new one, see models/reasoner.py.
    closing: text between the latents and the answer.
  """
  # Imported here: reading files needs more packages than a rollout.
  from hybrid_latent.formats.pretrained import pretrained
  from hybrid_latent.formats.reasoner import new_prefix, read_reasoner

  model = policy.model.config
  names = 'dtype', 'remat', 'attention'
  execution = {name: getattr(model, name) for name in names}
  if source:
    return read_reasoner(source, width=model.width, **execution)
  if not backbone:
    raise ValueError(
      "config.feedback.init_kwargs: source and backbone are both '': write the "
      'folder of a reasoner as source, or a model as backbone, such as '
      "'Qwen/Qwen3-Embedding-0.6B'"
    )
  return new_prefix(
    key,
    policy,
    tokenizer,
    pretrained(backbone, **execution).model,
    latents=latents,
    reads=reads,
    closing=closing,
  )
