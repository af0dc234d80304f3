"""The invariants of a feedback, on a model with random weights.

    python check_routed.py

docs/own_method.md has what each of them finds.
"""

# --- docs: begin
from functools import partial

import jax
import jax.numpy as jnp
from routed import routed, router

import hybrid_latent as hl
from hybrid_latent.models.transformer import unstack

feedback, key = routed(), jax.random.key(0)
model = unstack(hl.pretrained('runs/start').model)
prompt = hl.left_padded([[7, 8], [4, 5, 6]])  # token ids
settings = {'sampling': hl.sampling(), 'max_steps': 12}
settings['stop'] = hl.stopping_rule(stop_ids=[], max_tokens=12)


@partial(jax.jit, static_argnames='feedback')
def sampled(policy, feedback):
  """Eight completions per prompt."""
  return hl.rollout(policy, feedback, prompt, key, group=8, **settings)


@jax.jit
@partial(jax.grad, has_aux=True)
def gradient_and_difference(policy, out):
  """Of the log-probs; and between those of rollout and rescoring."""
  log_probs = hl.rescore(policy, feedback, prompt, out).log_probs
  return log_probs.sum(), abs(log_probs - out.log_probs).max()


policy = hl.Policy(model, router(key, model, latent=0.5))
out = sampled(policy, feedback)
gradient, difference = gradient_and_difference(policy, out)
share = out.latent_share.mean()
assert difference < 1e-4, f'log-probs differ by {difference}'
assert 0 < share < 1, f'a share of {share} of the steps has a latent'
for leaf in jax.tree.leaves(gradient.feedback):
  assert jnp.any(leaf != 0), f'a parameter {leaf.shape} has a gradient of 0'

off = hl.Policy(model, router(key, model, latent=1e-9))
words = sampled(hl.Policy(model), hl.discrete())
same = (sampled(off, feedback).tokens == words.tokens).all()
assert same, 'without latents it does not sample as discrete does'
print(
  f'ok: log-probs differ by {difference}, {share} of the steps have latents'
)
# --- docs: end
