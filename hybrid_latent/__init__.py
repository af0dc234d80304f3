"""Train language models that reason in tokens, in latents and in both.

    import hybrid_latent as hl

Each name below is imported when it is first used.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

__version__ = '0.1.0'

_MODULES = {
  # Records.
  'Feedback': 'hybrid_latent.types',
  'FeedbackOutput': 'hybrid_latent.types',
  'LanguageModel': 'hybrid_latent.types',
  'Mode': 'hybrid_latent.types',
  'Policy': 'hybrid_latent.policy',
  'Prompt': 'hybrid_latent.types',
  'Sampling': 'hybrid_latent.types',
  'StepOut': 'hybrid_latent.types',
  'StoppingRule': 'hybrid_latent.types',
  'Trajectory': 'hybrid_latent.types',
  # Sampling and scoring.
  'decode': 'hybrid_latent.decoding',
  'left_padded': 'hybrid_latent.ops.padding',
  'prefill': 'hybrid_latent.prompt_cache',
  'pretrained': 'hybrid_latent.formats.pretrained',
  'rescore': 'hybrid_latent.rescoring',
  'rollout': 'hybrid_latent.rollout',
  'sampling': 'hybrid_latent.ops.sampling',
  'stopping_rule': 'hybrid_latent.ops.thinking',
  'stream': 'hybrid_latent.streaming',
  # Feedbacks, each before the function that makes its parameters.
  'colar': 'hybrid_latent.feedback.colar',
  'latent_head': 'hybrid_latent.feedback.colar',
  'discrete': 'hybrid_latent.feedback.discrete',
  'gated': 'hybrid_latent.feedback.gated',
  'gate': 'hybrid_latent.feedback.gated',
  'gumbel_soft': 'hybrid_latent.feedback.gumbel_soft',
  'gumbel_noise': 'hybrid_latent.feedback.gumbel_soft',
  'hidden': 'hybrid_latent.feedback.hidden',
  'jacobi': 'hybrid_latent.feedback.jacobi',
  'parallel_latents': 'hybrid_latent.feedback.jacobi',
  'multiplex': 'hybrid_latent.feedback.multiplex',
  'prefix': 'hybrid_latent.feedback.prefix',
  'projected': 'hybrid_latent.feedback.projected',
  'projector': 'hybrid_latent.feedback.projected',
  'soft': 'hybrid_latent.feedback.soft',
  'soft_tokens': 'hybrid_latent.feedback.soft',
  'soft_thinking': 'hybrid_latent.feedback.soft_thinking',
  'cold_stop': 'hybrid_latent.feedback.soft_thinking',
  'swireasoning': 'hybrid_latent.feedback.swireasoning',
  'switches': 'hybrid_latent.feedback.swireasoning',
  'switching': 'hybrid_latent.feedback.switching',
  'spans': 'hybrid_latent.feedback.switching',
  # Training.
  'LossInputs': 'hybrid_latent.objectives.base',
  'AdvantageInputs': 'hybrid_latent.objectives.base',
  'group_relative': 'hybrid_latent.objectives.advantages',
  'leave_one_out': 'hybrid_latent.objectives.advantages',
  'gae': 'hybrid_latent.objectives.gae',
  'policy_gradient': 'hybrid_latent.objectives.policy_gradient',
}
_SUBMODULES = ('latents',)
__all__ = [*_MODULES, *_SUBMODULES]  # pyright: ignore[reportUnsupportedDunderAll]

if TYPE_CHECKING:
  from hybrid_latent import latents as latents
  from hybrid_latent.decoding import decode as decode
  from hybrid_latent.feedback.colar import colar as colar
  from hybrid_latent.feedback.colar import latent_head as latent_head
  from hybrid_latent.feedback.discrete import discrete as discrete
  from hybrid_latent.feedback.gated import gate as gate
  from hybrid_latent.feedback.gated import gated as gated
  from hybrid_latent.feedback.gumbel_soft import gumbel_noise as gumbel_noise
  from hybrid_latent.feedback.gumbel_soft import gumbel_soft as gumbel_soft
  from hybrid_latent.feedback.hidden import hidden as hidden
  from hybrid_latent.feedback.jacobi import jacobi as jacobi
  from hybrid_latent.feedback.jacobi import (
    parallel_latents as parallel_latents,
  )
  from hybrid_latent.feedback.multiplex import multiplex as multiplex
  from hybrid_latent.feedback.prefix import prefix as prefix
  from hybrid_latent.feedback.projected import projected as projected
  from hybrid_latent.feedback.projected import projector as projector
  from hybrid_latent.feedback.soft import soft as soft
  from hybrid_latent.feedback.soft import soft_tokens as soft_tokens
  from hybrid_latent.feedback.soft_thinking import cold_stop as cold_stop
  from hybrid_latent.feedback.soft_thinking import (
    soft_thinking as soft_thinking,
  )
  from hybrid_latent.feedback.swireasoning import (
    swireasoning as swireasoning,
  )
  from hybrid_latent.feedback.swireasoning import switches as switches
  from hybrid_latent.feedback.switching import spans as spans
  from hybrid_latent.feedback.switching import switching as switching
  from hybrid_latent.formats.pretrained import pretrained as pretrained
  from hybrid_latent.objectives.advantages import (
    group_relative as group_relative,
  )
  from hybrid_latent.objectives.advantages import (
    leave_one_out as leave_one_out,
  )
  from hybrid_latent.objectives.base import AdvantageInputs as AdvantageInputs
  from hybrid_latent.objectives.base import LossInputs as LossInputs
  from hybrid_latent.objectives.gae import gae as gae
  from hybrid_latent.objectives.policy_gradient import (
    policy_gradient as policy_gradient,
  )
  from hybrid_latent.ops.padding import left_padded as left_padded
  from hybrid_latent.ops.sampling import sampling as sampling
  from hybrid_latent.ops.thinking import stopping_rule as stopping_rule
  from hybrid_latent.policy import Policy as Policy
  from hybrid_latent.prompt_cache import prefill as prefill
  from hybrid_latent.rescoring import rescore as rescore
  from hybrid_latent.rollout import rollout as rollout
  from hybrid_latent.streaming import stream as stream
  from hybrid_latent.types import Feedback as Feedback
  from hybrid_latent.types import FeedbackOutput as FeedbackOutput
  from hybrid_latent.types import LanguageModel as LanguageModel
  from hybrid_latent.types import Mode as Mode
  from hybrid_latent.types import Prompt as Prompt
  from hybrid_latent.types import Sampling as Sampling
  from hybrid_latent.types import StepOut as StepOut
  from hybrid_latent.types import StoppingRule as StoppingRule
  from hybrid_latent.types import Trajectory as Trajectory

else:  # hidden from type checkers, so that they report unknown names

  def __getattr__(name: str) -> Any:
    """Called by Python where the module has no such attribute yet (PEP 562)."""
    if name in _SUBMODULES:
      return import_module(f'{__name__}.{name}')
    if name not in _MODULES:
      raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    try:
      value = getattr(import_module(_MODULES[name]), name)
    except ModuleNotFoundError:  # of an extra: an error where it is called
      return lambda *args, **kwargs: getattr(
        import_module(_MODULES[name]), name
      )(*args, **kwargs)
    globals()[name] = value
    return value


class _Package(ModuleType):
  """Keeps `hybrid_latent.rollout` the function, which Python would replace by
  the module of that name when it imports that."""

  def __setattr__(self, name: str, value: Any) -> None:
    if name not in _MODULES or not isinstance(value, ModuleType):
      super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __dir__() -> list[str]:
  return [*__all__, *(name for name in globals() if name[:2] == '__')]
