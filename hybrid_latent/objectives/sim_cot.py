"""SIM-CoT: a decoder, in training alone, says each step from its latents.

The paper (Wei et al., arXiv 2509.20317; InternLM/SIM-CoT) adds to the loss of
Coconut or CODI the cross-entropy of a second language model: its input are the
latents of one step, as the policy reads them, then that step's tokens, embedded
by the policy; its targets are the tokens and the end of text. The gradient
reaches the policy through the latents and the embedding. At inference the
decoder is gone.

The decoder begins as a copy of the model, as in Coconut/run.py; with `layers`
as one of its first layers, which needs no projection between two widths, as
their smaller decoder does (`decoder_path` of CODI/src/model.py). The loss is a
mean over the tokens of all steps of a batch. The released code for CODI has the
mean over tokens per step, then over steps, the one for Coconut sums the tokens
of a step. The weight is 1 in both.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Key

from hybrid_latent.models import lora
from hybrid_latent.models.transformer import Transformer
from hybrid_latent.objectives.accumulators import RunningMean
from hybrid_latent.objectives.base import Objective, token_mean
from hybrid_latent.objectives.supervised import (
  SupervisedInputs,
  weighted_cross_entropy,
)
from hybrid_latent.policy import Policy
from hybrid_latent.ranges import NonNegativeFloat, NonNegativeInt


def sim_cot(
  inputs: SupervisedInputs,
  *,
  weight: NonNegativeFloat = 1.0,
  inner: Objective = weighted_cross_entropy,
) -> tuple[RunningMean, dict[str, Any]]:
  """The loss `inner` plus `weight` times the cross-entropy of the steps under
  `policy.objective`, for texts of `curricula.sim_cot`."""
  loss, metrics = inner(inputs)
  if not weight:
    return loss, {**metrics}
  decoder, texts = inputs.policy.objective, inputs.texts
  if decoder is None:
    raise ValueError(
      'sim_cot: the policy has no decoder: write '
      "config.objective.init='sim_cot:decoder'"
    )
  hidden, _ = decoder.forward(_read_latents(inputs), None, *inputs.layout)
  scores, steps = inputs.score(decoder, hidden), texts.view > 1
  total = -jnp.sum(jnp.where(steps, inputs.loss_weights, 0) * scores.log_probs)
  accuracy = token_mean(scores.is_argmax, steps & (texts.weights > 0))
  return RunningMean(loss.total + weight * total, loss.count), {
    **metrics,
    'decoder_loss': inputs.mean(total),
    'decoder_token_accuracy': accuracy,
  }


def decoder(
  key: Key[Array, ''], policy: Policy, *, layers: NonNegativeInt = 0
) -> Transformer:
  """A copy of the policy's model without its adapters, of its first `layers`
  layers; 0: of all."""
  model = jax.tree.map(jnp.copy, lora.off(policy.model))
  if layers:
    if layers > model.config.layers:
      raise ValueError(
        f'decoder: layers={layers}: write at most {model.config.layers}, those '
        'of the model, or 0 for all'
      )
    model.config = dataclasses.replace(model.config, layers=layers)
    first = jax.tree.map(lambda w: w[:layers], model.layers)
    model.layers = nnx.data(first)
  return model


def _read_latents(inputs: SupervisedInputs) -> Float[Array, 'b t d']:
  """The inputs, in which the n-th marked position of the decoder's texts in a
  row has the n-th latent of the row."""
  texts = inputs.texts
  marked = texts.align_position & (texts.view > 1)
  latents = jnp.argsort(~texts.latent, axis=1, stable=True)  # their positions
  nth = jnp.maximum(jnp.cumsum(marked, axis=1) - 1, 0)
  source = jnp.take_along_axis(latents, nth, axis=1)[..., None]
  latent = jnp.take_along_axis(inputs.x, source, axis=1)
  return jnp.where(marked[..., None], latent, inputs.x)
