"""Scoring a trajectory again in one parallel pass: what the learner
differentiates."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from hybrid_latent.ops.logprobs import TokenScores, chunked_token_scores
from hybrid_latent.ops.masking import causal_mask, positions
from hybrid_latent.types import Feedback, LanguageModel, Prompt, Trajectory


def replay(
  model: LanguageModel,
  feedback: Feedback,
  prompt: Prompt,
  trajectory: Trajectory,
  *,
  score_temperature: Float[Array, ''] | float = 1.0,
  chunk: int = 128,
) -> TokenScores:
  """Log-probs and entropies [b t] of the trajectory under this model.

  The inputs of the rollout are built again from its record, so that with the
  weights that sampled it the log-probs equal `trajectory.log_probs`. Gradients
  reach whatever `feedback.replay` and the model let them reach. Zero where
  `trajectory.mask` is False.

  Prompts are those of the rollout; row u * group + g of the trajectory belongs
  to prompt u. At most `chunk` positions have logits at a time.
  """
  b, u = trajectory.tokens.shape[0], prompt.tokens.shape[0]
  if b % u:
    raise ValueError(
      f'replay: {b} completions of {u} prompts: pass the prompts that the '
      'rollout was given, in its order'
    )
  group = b // u
  rows = lambda x: jnp.repeat(x, group, axis=0)
  fed = feedback.replay(model, trajectory.record, trajectory.tokens)
  # The last token is scored but never read.
  x = jnp.concatenate([rows(model.embed(prompt.tokens)), fed[:, :-1]], axis=1)
  mask = jnp.concatenate([rows(prompt.mask), trajectory.mask[:, :-1]], axis=1)
  hidden, _ = model.forward(x, None, positions(mask), causal_mask(mask))
  hidden = hidden[:, prompt.tokens.shape[1] - 1 :]
  scores = chunked_token_scores(
    model.unembed, hidden, trajectory.tokens, score_temperature, chunk=chunk
  )
  log_probs = feedback.log_prob(
    model, hidden, trajectory.record, scores.log_probs
  )
  zero_padding = lambda x: jnp.where(trajectory.mask, x, 0)
  return jax.tree.map(zero_padding, TokenScores(log_probs, scores.entropy))


def given(tokens: Int[Array, 'b t'], mask: Bool[Array, 'b t']) -> Trajectory:
  """A trajectory that nobody sampled, such as a worked solution: `replay` with
  the discrete feedback scores it."""
  unknown: dict = dict.fromkeys(Trajectory._fields)
  return Trajectory(**unknown | {'tokens': tokens, 'mask': mask, 'record': ()})


def trimmed(trajectory: Trajectory, length: int) -> Trajectory:
  """The first `length` positions (static), where no row is longer."""
  per_position = trajectory._replace(ended=None, steps=None)
  cut = jax.tree.map(lambda x: x[:, :length], per_position)
  return cut._replace(ended=trajectory.ended, steps=trajectory.steps)
