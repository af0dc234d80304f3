"""Log-probs of a trajectory in one parallel forward pass, differentiable."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from hybrid_latent.feedback.base import computed_prefix
from hybrid_latent.models.transformer import Transformer
from hybrid_latent.ops.latent_passes import recomputed_latents
from hybrid_latent.ops.logprobs import TokenScores, over_chunks, token_scores
from hybrid_latent.ops.prefix import prompt_mode, with_prefix
from hybrid_latent.policy import (
  Policy,
  bare_model,
  check_inputs,
  checked_forward,
  group_layout,
)
from hybrid_latent.sharding import ambient_mesh, batch_devices, prompt_copies
from hybrid_latent.types import (
  Feedback,
  LanguageModel,
  Mode,
  Prompt,
  ScoreInputs,
  Trajectory,
)


def rescore(
  model: LanguageModel,
  feedback: Feedback,
  prompt: Prompt,
  trajectory: Trajectory,
  *,
  score_temperature: Float[Array, ''] | float = 1.0,
  logits_chunk: int = 128,
  latent_passes: int = 0,
) -> TokenScores:
  """Log-probs and entropies [b t] of the trajectory under this model.

  The inputs of the rollout are recomputed from its record, so that with the
  weights that sampled it the log-probs equal `trajectory.log_probs`. Gradients
  flow through `feedback.recompute_inputs` and the model. Zero where
  `trajectory.mask` is False.

  With `latent_passes`, latents that are functions of the hidden state before
  them are then computed anew, with gradient: all gradients through chains of at
  most as many latents. Under the weights that sampled the trajectory their
  values are the recorded ones; under others they are exact after as many passes
  as a row has latents.

  Prompts are those of the rollout, and row u * group + g of the trajectory
  belongs to prompt u: refused is only a number of prompts that does not divide
  that of the rows. The feedback is that of the rollout, or one without a record
  such as `discrete()`, which scores the tokens alone (a KL reference); another
  with a record of the same structure is not refused. At most `logits_chunk`
  positions have logits at a time.
  """
  hidden = hidden_states(model, feedback, prompt, trajectory, latent_passes)

  def scores(part):
    hidden, tokens, record = part
    logits = model.unembed(hidden)
    token_logits = logits / score_temperature
    scores = token_scores(token_logits, tokens)
    inputs = ScoreInputs(hidden, logits, token_logits, scores.log_probs)
    return scores._replace(log_probs=feedback.log_prob(model, inputs, record))

  parts = hidden, trajectory.tokens, trajectory.record
  zero_padding = lambda x: jnp.where(trajectory.mask, x, 0)
  return jax.tree.map(zero_padding, over_chunks(scores, parts, logits_chunk))


def hidden_states(
  model: LanguageModel,
  feedback: Feedback,
  prompt: Prompt,
  trajectory: Trajectory,
  latent_passes: int = 0,
) -> Float[Array, 'b t d']:
  """The hidden state that each position was sampled from: the one at the
  position before it. `latent_passes` as in `rescore`.

  A row of the forward pass is a prompt and the completions of its group, so
  that the positions of the prompt are computed once; see `prompt_copies` for
  where it is a part of the group."""
  check_inputs(model, feedback, prompt, decodes=False)
  (b, t), u = trajectory.tokens.shape, prompt.tokens.shape[0]
  if b % u:
    raise ValueError(
      f'rescore: {b} completions of {u} prompts: pass the prompts of the '
      'rollout, in its order'
    )
  record = trajectory.record
  try:
    completion_x = feedback.recompute_inputs(model, record, trajectory.tokens)
  except (KeyError, TypeError) as error:
    # JAX raises TypeError for other reasons, but not where there is no array.
    if isinstance(error, TypeError) and jax.tree.leaves(record):
      raise
    raise ValueError(
      f'rescore: this feedback cannot read the record '
      f'{jax.tree.structure(record)}: pass the one that sampled the trajectory'
    ) from error
  prompt_x, prompt_mask = prompt_inputs(model, feedback, prompt)
  prompt_end, prefix_end = prompt.tokens.shape[1], prompt_x.shape[1]
  copies = _copies(model, u, b // u)
  prompt_x = jnp.repeat(prompt_x, copies, axis=0)
  prompt_mask = jnp.repeat(prompt_mask, copies, axis=0)
  rows = u * copies
  completions = trajectory.mask.reshape(rows, -1, t)
  layout = group_layout(model, prompt_mask, completions)

  def states_before(completion_x):
    # The last token's state is unused, but t positions are sharded evenly.
    own = completion_x.reshape(rows, -1, completion_x.shape[-1])
    x = jnp.concatenate([prompt_x, own], axis=1)
    hidden, _ = checked_forward(model, x, None, *layout)
    first = hidden[:, prefix_end - 1]
    if feedback.prefix:
      # Where a row has no prefix, its first token follows its prompt.
      has_prefix = prompt_mask[:, prefix_end - 1, None]
      first = jnp.where(has_prefix, first, hidden[:, prompt_end - 1])
    first = jnp.repeat(first, b // rows, axis=0)[:, None]
    own = hidden[:, prefix_end:].reshape(completion_x.shape)
    return jnp.concatenate([first, own[:, :-1]], axis=1)

  if latent_passes:
    completion_x = recomputed_latents(
      model,
      completion_x,
      trajectory.latent_share > 0,
      feedback.latent_from_hidden,
      states_before,
      passes=latent_passes,
    )
  return states_before(completion_x)


def _copies(model, prompts, group):
  """`prompt_copies` of a forward pass of this model on the ambient mesh, for
  equal shares of its devices; `group`, which needs no GroupMask, for a model of
  another project, with a fused kernel, and where positions are sharded."""
  bare, mesh = bare_model(model), ambient_mesh()
  if (
    not isinstance(bare, Transformer)
    or bare.config.attention not in (None, 'xla', 'xla_chunked')
    or (mesh is not None and mesh.shape['sequence'] > 1)
  ):
    return group
  return prompt_copies(prompts, group, batch_devices(mesh))


def prompt_inputs(
  model: LanguageModel, feedback: Feedback, prompt: Prompt
) -> tuple[Float[Array, 'u s d'], Bool[Array, 'u s']]:
  """The inputs before the completion and their mask: the prompt's embeddings,
  then the feedback's prefix. Gradients flow through the prefix, but not through
  the prompt's hidden states that it is given."""
  x, mask = model.embed(prompt.tokens), prompt.mask
  if not feedback.prefix:
    return x, mask
  prefix = computed_prefix(model, feedback.prefix, prompt)
  latent = prompt_mode(feedback, prompt) == Mode.LATENT
  return (
    jnp.concatenate([x, prefix], axis=1),
    with_prefix(mask, latent, prefix.shape[1]),
  )


def state_values(
  policy: Policy, feedback: Feedback, prompt: Prompt, trajectory: Trajectory
) -> Float[Array, 'b t']:
  """The critic's value before each position, float32; 0 where
  `trajectory.mask` is False. The critic has the same inputs as the policy."""
  critic: Any = policy.critic
  # The feedback's parameters are the policy's: the inputs must be the same.
  model = Policy(critic.model, policy.feedback)
  hidden = hidden_states(model, feedback, prompt, trajectory)
  values = hidden.astype(jnp.float32) @ critic.value_head
  return jnp.where(trajectory.mask, values, 0)
