"""Every feedback with untrained parameters, for the benchmarks."""

import dataclasses

import jax
import jax.numpy as jnp

from hybrid_latent.feedback.colar import colar, latent_head
from hybrid_latent.feedback.discrete import discrete
from hybrid_latent.feedback.gated import Gate, gated, interpolated
from hybrid_latent.feedback.gumbel_soft import gumbel_noise, gumbel_soft
from hybrid_latent.feedback.hidden import hidden
from hybrid_latent.feedback.jacobi import ParallelLatents, jacobi
from hybrid_latent.feedback.multiplex import multiplex
from hybrid_latent.feedback.prefix import prefix
from hybrid_latent.feedback.projected import projected, projector
from hybrid_latent.feedback.soft import soft, soft_tokens
from hybrid_latent.feedback.soft_thinking import ColdStop, soft_thinking
from hybrid_latent.feedback.swireasoning import Switches, swireasoning
from hybrid_latent.feedback.switching import Spans, switching
from hybrid_latent.models.reasoner import Prefix, Reasoner
from hybrid_latent.models.transformer import Transformer
from hybrid_latent.types import Feedback, PyTree

UNTRAINED = 'soft_thinking', 'swireasoning'  # methods without a gradient
PREFIX_LAYERS = 2


def feedbacks(
  model: Transformer, start: int, num_latents: int = 4
) -> dict[str, tuple[Feedback, PyTree]]:
  """Name -> (feedback, its parameters). No thinking ends; the spans of
  `switching` begin at the token `start`, which should be sampled often."""
  key, i = jax.random.key(0), jnp.int32
  c = model.config
  ids = [i((start + k) % c.vocab) for k in range(3)]
  spans = Spans(*ids, slots=i(num_latents), sampled=jnp.bool_(False))
  phases = Switches(
    *ids[:2],
    words=jnp.zeros(c.vocab, bool),
    window=i(1),
    max_switches=i(0),
    alpha=jnp.float32(0.5),
    beta=jnp.float32(0.7),
    max_tokens=jnp.float32(1024),
    mixtures_first=jnp.bool_(True),
  )
  parallel = ParallelLatents(*(i([x]) for x in ids))
  parallel = parallel._replace(slots=i([start] * num_latents))
  never = ColdStop(i(0), threshold=jnp.float32(0), patience=i(1))
  return {
    'discrete': (discrete(), None),
    'gated': (gated(), Gate(key, c.width)),
    'interpolated': (interpolated(), None),
    'hidden': (hidden(), None),
    'projected': (projected(), projector(key, model, None)),
    'soft': (soft(), soft_tokens(key, model)),
    'soft_thinking': (soft_thinking(), never),
    'gumbel_soft': (gumbel_soft(), gumbel_noise(key)),
    'multiplex': (multiplex(), None),
    'colar': (colar(), latent_head(key, model)),
    'swireasoning': (swireasoning(), phases),
    'jacobi': (jacobi(), parallel),
    'switching': (switching(), spans),
    'prefix': (prefix(), Prefix(_reasoner(model, num_latents), i([start]))),
  }


def _reasoner(model: Transformer, num_latents: int) -> Reasoner:
  """A reasoner with a decoder as wide as the model and of few layers."""
  c, key = model.config, jax.random.key(1)
  layers = min(c.layers, PREFIX_LAYERS)
  decoder = Transformer(dataclasses.replace(c, vocab=1, layers=layers), key)
  return Reasoner(key, decoder, width=c.width, latents=num_latents, length=0.02)
