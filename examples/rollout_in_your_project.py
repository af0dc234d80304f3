"""HRPO training of a custom model: sample, rescore, update."""

# --- docs: begin
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

import hybrid_latent as hl


class Model(NamedTuple):
  """Any pytree with these four methods."""

  table: jax.Array  # [v d]

  def embed(self, tokens):
    return self.table[tokens]

  def forward(self, x, cache, positions, mask):  # averages the past
    slots, used = cache or (x, 0)
    slots = jax.lax.dynamic_update_slice(slots, x, (0, used, 0))
    past = mask / mask.sum(-1, keepdims=True).clip(1) @ slots
    return jnp.tanh(x + past), cache and (slots, used + x.shape[1])

  def unembed(self, hidden):
    return hidden @ self.table.T

  def init_cache(self, batch, length):
    return jnp.zeros((batch, length, self.table.shape[1])), jnp.int32(0)


@jax.jit
def train_step(policy, state, key):
  """Eight completions per prompt, and an update on them."""
  out = hl.rollout(policy, hl.gated(), prompt, key, group=8, **settings)
  reward = (out.tokens == 3).mean(-1)
  advantage = hl.group_relative(
    hl.AdvantageInputs(reward, out.mask), group=8
  ).values

  def loss(policy):
    scores = hl.rescore(policy, hl.gated(), prompt, out)
    return -jnp.mean(advantage * scores.log_probs)

  updates, state = adam.update(jax.grad(loss)(policy), state)
  return optax.apply_updates(policy, updates), state, reward.mean()


key, adam = jax.random.key(0), optax.adam(3e-2)
prompt = hl.left_padded([[7, 8], [4, 5, 6]])  # token ids
stop = hl.stopping_rule(stop_ids=[1], max_tokens=24)
settings = {'sampling': hl.sampling(), 'stop': stop, 'max_steps': 24}
model = Model(jax.random.normal(key, (32, 16)) / 4)
policy = hl.Policy(model, hl.gate(key, model))  # HRPO's gate is trained too
state = adam.init(policy)
for step_key in jax.random.split(key, 50):
  policy, state, reward = train_step(policy, state, step_key)
print(f'mean reward {reward:.2f}')
# --- docs: end
