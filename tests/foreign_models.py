"""Two language models that are none of ours, sampled and scored.

Run as a program it prints one JSON object: what came of each model with each
feedback, and the modules that our part of the work brought along.
"""

import dataclasses
import json
import sys
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen, nnx

THEIRS = set(sys.modules)  # jax, flax, and what these import

from hybrid_latent.feedback.discrete import discrete  # noqa: E402
from hybrid_latent.feedback.gated import Gate, gated  # noqa: E402
from hybrid_latent.feedback.prefix import prefix  # noqa: E402
from hybrid_latent.feedback.soft import soft, soft_tokens  # noqa: E402
from hybrid_latent.models.reasoner import Prefix, Reasoner  # noqa: E402
from hybrid_latent.models.transformer import (  # noqa: E402
  Transformer,
  TransformerConfig,
)
from hybrid_latent.ops.sampling import sampling  # noqa: E402
from hybrid_latent.ops.thinking import stopping_rule  # noqa: E402
from hybrid_latent.policy import Policy  # noqa: E402
from hybrid_latent.rescoring import rescore  # noqa: E402
from hybrid_latent.rollout import rollout  # noqa: E402
from hybrid_latent.types import Prompt  # noqa: E402

VOCAB, WIDTH, STEPS, PAD = 24, 8, 6, 23
BACKBONE = TransformerConfig(
  vocab=VOCAB,
  width=12,
  layers=1,
  heads=2,
  kv_heads=1,
  head_dim=8,
  mlp=16,
  rope_theta=1e4,
)


def attend(q, k, v, mask):
  """One head; [b t d] from slots [b s d]."""
  scores = jnp.einsum('btd,bsd->bts', q, k) / WIDTH**0.5
  scores = jnp.where(mask, scores, -1e9)
  return jnp.einsum('bts,bsd->btd', jax.nn.softmax(scores, axis=-1), v)


class Plain(NamedTuple):
  """A model in plain JAX; its cache is a dictionary."""

  table: jax.Array  # [v d]
  places: jax.Array  # [s d], learned positions
  qkv: jax.Array  # [3 d d]
  head: jax.Array  # [d v]

  def embed(self, tokens):
    return self.table[tokens]

  def forward(self, x, cache, positions, mask):
    y = x + self.places[positions]
    q, k, v = jnp.einsum('btd,nde->nbte', y, self.qkv)
    if cache is not None:
      at = cache['filled']
      write = jax.lax.dynamic_update_slice
      k = write(cache['k'], k, (0, at, 0))
      v = write(cache['v'], v, (0, at, 0))
      cache = {'k': k, 'v': v, 'filled': at + x.shape[1]}
    return jnp.tanh(y + attend(q, k, v, mask)), cache

  def unembed(self, hidden):
    return (hidden @ self.head).astype(jnp.float32)

  def init_cache(self, batch, length):
    slots = jnp.zeros((batch, length, WIDTH))
    return {'k': slots, 'v': slots, 'filled': jnp.int32(0)}


class Block(linen.Module):
  """A Linen module that reads embeddings."""

  @linen.compact
  def __call__(self, x, cache, positions, mask):
    y = x + linen.Embed(32, WIDTH, name='places')(positions)
    q, k, v = (linen.Dense(WIDTH, name=name)(y) for name in 'qkv')
    if cache is not None:
      k_slots, v_slots, at = cache
      k = jax.lax.dynamic_update_slice(k_slots, k, (0, at, 0))
      v = jax.lax.dynamic_update_slice(v_slots, v, (0, at, 0))
      cache = k, v, at + x.shape[1]
    y = y + attend(q, k, v, mask)
    return linen.LayerNorm()(y), cache


@jax.tree_util.register_dataclass
@dataclasses.dataclass
class Wrapped:
  """The four methods around a Linen module."""

  variables: Any
  table: jax.Array  # [v d]
  head: jax.Array  # [d v]
  block: Block = dataclasses.field(metadata={'static': True})

  def embed(self, tokens):
    return self.table[tokens]

  def forward(self, x, cache, positions, mask):
    return self.block.apply(self.variables, x, cache, positions, mask)

  def unembed(self, hidden):
    return hidden @ self.head

  def init_cache(self, batch, length):
    slots = jnp.zeros((batch, length, WIDTH))
    return slots, slots, jnp.int32(0)


def plain() -> Plain:
  rng = np.random.default_rng(0)
  random = lambda *shape: jnp.asarray(rng.normal(size=shape), jnp.float32)
  return Plain(
    random(VOCAB, WIDTH),
    random(32, WIDTH),
    random(3, WIDTH, WIDTH) * 0.5,
    random(WIDTH, VOCAB),
  )


def wrapped() -> Wrapped:
  block, like = Block(), plain()
  x, at = like.table[None, :3], jnp.arange(3)[None]
  mask = jnp.ones((1, 3, 3), bool)
  variables = jax.jit(block.init)(jax.random.key(0), x, None, at, mask)
  return Wrapped(variables, like.table, like.head, block)


def greedy(model, text: list[int]) -> list[int]:
  """By the book: the whole text again for every token."""
  size = 3 + STEPS

  @jax.jit
  def next_token(tokens, n):
    mask = jnp.tril(jnp.ones((1, size, size), bool))
    at = jnp.arange(size)[None]
    hidden, _ = model.forward(model.embed(tokens), None, at, mask)
    return model.unembed(hidden[:, n - 1])[0].argmax()

  tokens = np.zeros((1, size), np.int32)
  tokens[0, : len(text)] = text
  for n in range(len(text), len(text) + STEPS):
    tokens[0, n] = next_token(tokens, n)
  return tokens[0, len(text) :][:STEPS].tolist()


def findings(policy, feedback) -> dict:
  """How far scores are from the rollout's, and the greedy tokens of a row."""
  prompt = Prompt(
    tokens=jnp.array([[4, 7, 1], [0, 0, 9]]),
    mask=jnp.array([[True, True, True], [False, False, True]]),
    ids=jnp.arange(2),
  )
  stop = stopping_rule([], STEPS, PAD, max_thinking_tokens=4)

  @jax.jit
  def sample(policy, how):
    return rollout(
      policy,
      feedback,
      prompt,
      jax.random.key(0),
      sampling=how,
      stop=stop,
      max_steps=STEPS,
      group=2,
    )

  @jax.jit
  @partial(jax.value_and_grad, has_aux=True, allow_int=True)
  def scores(policy, out):
    log_probs = rescore(policy, feedback, prompt, out).log_probs
    return log_probs.sum(), log_probs

  out = sample(policy, sampling())
  (_, log_probs), gradient = scores(policy, out)
  leaves = [x for x in jax.tree.leaves(gradient) if x.dtype == np.float32]
  return {
    'gap': float(jnp.abs(log_probs - out.log_probs).max()),
    'latent': float(out.latent_share.mean()),
    'score': float(log_probs.sum()),
    'learns': all(jnp.isfinite(x).all() and x.any() for x in leaves),
    'greedy': sample(policy, sampling(greedy=True)).tokens[::2].tolist(),
  }


@jax.jit
def parameters():
  """Of the gate, and of the prefix."""
  gate = Gate(jax.random.key(1), WIDTH, r_min=0.3, r_max=0.8)
  backbone = Transformer(BACKBONE, jax.random.key(2))
  return gate, Reasoner(jax.random.key(3), backbone, width=WIDTH, latents=3)


def main():
  models = {'plain': plain(), 'linen': wrapped()}
  report = {}
  gate, made = parameters()
  thought = Prefix(made, jnp.array([5]))
  for name, model in models.items():
    settings = soft_tokens(None, Policy(model), noise=1.0)
    report[name] = {
      'discrete': findings(model, discrete()),
      'gated': findings(Policy(model, gate), gated()),
      'prefix': findings(Policy(model, thought), prefix()),
      'soft': findings(Policy(model, settings), soft()),
      'by the book': [greedy(model, [4, 7, 1]), greedy(model, [9])],
    }
  brought = {name.split('.')[0] for name in set(sys.modules) - THEIRS}
  assert nnx.Module in Gate.__mro__
  print(json.dumps({'models': report, 'brought': sorted(brought)}))


if __name__ == '__main__':
  main()
