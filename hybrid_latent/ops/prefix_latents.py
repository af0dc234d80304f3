"""Where the latents of a prefix are."""

from typing import Any

import numpy as np
from jaxtyping import Array, Shaped


def prefix_latents(parameters: Any, prefix: Shaped[Array, 'u s ...']) -> Any:
  """The index [:, a:b] of the latents in `prefix`, which has also the texts
  `begin` and `closing` of the feedback's parameters, where they have these."""
  texts = (getattr(parameters, name, ()) for name in ('begin', 'closing'))
  before, after = map(len, texts)
  return np.s_[:, before : prefix.shape[1] - after]
