"""Sampling with latent feedback: one prefill per prompt, then one jitted loop.

Independent of any model or paper: a model is embed / forward / unembed /
init_cache (types.LanguageModel), a paper is a Feedback. All settings that a
user sweeps (temperature, filters, limits, stop ids, delimiter) are traced, so
that one compilation serves training and evaluation.
"""

from jaxtyping import Array, Key

from hybrid_latent.decoding import decode
from hybrid_latent.prompt_cache import prefill
from hybrid_latent.types import (
  Feedback,
  LanguageModel,
  Prompt,
  Sampling,
  StoppingRule,
  Trajectory,
)


def rollout(
  model: LanguageModel,
  feedback: Feedback,
  prompt: Prompt,
  key: Key[Array, ''],
  *,
  sampling: Sampling,
  stop: StoppingRule,
  max_steps: int,
  group: int = 1,
  cache_stages: int = 1,
) -> Trajectory:
  """`group` completions per prompt, of at most `max_steps` tokens.

  Row u * group + g of the result is completion g of prompt u. Its randomness
  depends on (key, prompt.ids[u], g, position) alone, not on its batch or row.
  To be jitted by the caller with `group`, `max_steps` and `cache_stages`
  static. With models.transformer.Transformer, pass `unstack(model)`.

  `cache_stages` splits the loop into stages, each with a cache just long
  enough: attention of a long rollout then covers few empty slots, for
  `cache_stages` times the compile time. It changes no result.
  """
  return decode(
    model,
    feedback,
    prompt,
    prefill(model, prompt, feedback),
    key,
    sampling=sampling,
    stop=stop,
    max_steps=max_steps,
    group=group,
    cache_stages=cache_stages,
  )
