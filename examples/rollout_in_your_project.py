"""A model of your own, sampled with HRPO's gate and scored again."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from hybrid_latent.feedback.gated import Gate, gated
from hybrid_latent.ops.sampling import sampling
from hybrid_latent.ops.thinking import stop_rule
from hybrid_latent.policy import Policy
from hybrid_latent.replay import replay
from hybrid_latent.rollout import rollout
from hybrid_latent.types import Prompt


class Model(NamedTuple):
  """Any pytree with these four methods, see hybrid_latent/types.py."""

  table: jax.Array  # [v d]

  def embed(self, tokens):
    return self.table[tokens]

  def forward(self, x, cache, positions, mask):  # reads the mean of the past
    slots, used = cache or (x, 0)
    slots = jax.lax.dynamic_update_slice(slots, x, (0, used, 0))
    past = mask / mask.sum(-1, keepdims=True).clip(1) @ slots
    return jnp.tanh(x + past), cache and (slots, used + x.shape[1])

  def unembed(self, hidden):
    return hidden @ self.table.T

  def init_cache(self, batch, length):
    return jnp.zeros((batch, length, self.table.shape[1])), jnp.int32(0)


key = jax.random.key(0)
policy = Policy(Model(jax.random.normal(key, (32, 16))), Gate(key, width=16))
tokens = jnp.array([[0, 7, 8], [4, 5, 6]])  # padded on the left
prompt = Prompt(tokens, mask=tokens > 0, ids=jnp.arange(2))
settings = {'sampling': sampling(temperature=0.7), 'stop': stop_rule([1], 24)}
sample = jax.jit(lambda *x: rollout(*x, group=4, max_steps=24, **settings),
                 static_argnums=1)  # fmt: skip
trajectory = sample(policy, gated(), prompt, key)
scores = replay(policy, gated(), prompt, trajectory)  # differentiable
print(trajectory.tokens, abs(scores.log_probs - trajectory.log_probs).max())
