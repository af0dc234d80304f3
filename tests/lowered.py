"""Programs of the core for a mesh, whose devices need not be there, and what
to read in them once they are compiled."""

import dataclasses
import re
from functools import partial
from math import prod

import jax
import jax.numpy as jnp

from hybrid_latent import sharding
from hybrid_latent.models.param_axes import param_axes
from hybrid_latent.models.transformer import unstack
from hybrid_latent.ops.sampling import sampling
from hybrid_latent.rollout import rollout
from tests import sharded, tiny

# Sizes by which an array is known, whole or cut.
CONFIG = dataclasses.replace(
  tiny.CONFIG, vocab=1536, width=32, heads=12, kv_heads=2, mlp=176
)
PROMPTS, P, T = 8, 24, 48
B, V = PROMPTS * tiny.GROUP, CONFIG.vocab


def lowered_rollout(mesh):
  """It, and the shapes of what it is given."""

  def sample(policy, prompt, key, sampling, stop):
    policy = policy._replace(model=unstack(policy.model))
    return rollout(
      policy,
      sharded.FEEDBACK,
      prompt,
      key,
      sampling=sampling,
      stop=stop,
      max_steps=T,
      group=tiny.GROUP,
    )

  settings = jax.random.key(0), sampling(), tiny.stop(vocab=V)
  given = (
    _parameters(mesh, jax.eval_shape(partial(sharded.everything, CONFIG))),
    _batch(mesh, tiny.prompts([8] * PROMPTS, width=P)),
    *_parameters(mesh, settings),
  )
  with jax.set_mesh(mesh):
    return jax.jit(sample).lower(*given), given


def lowered_update(mesh):
  """It, and the shapes of what it is given."""
  rolled, (policy, prompt, *_) = lowered_rollout(mesh)
  state = jax.eval_shape(sharded.optimizer(policy).init, policy)
  rewards = jax.ShapeDtypeStruct((B,), jnp.float32)
  kept = policy, _parameters(mesh, state)
  given = *kept, prompt, *_batch(mesh, (rolled.out_info, rewards))
  places = jax.tree.map(lambda x: x.sharding, kept)
  update = jax.jit(
    sharded.update, donate_argnums=(0, 1), out_shardings=(*places, None, None)
  )
  with jax.set_mesh(mesh):
    return update.lower(*given), given


def _parameters(mesh, tree):
  return _described(tree, sharding.shardings(tree, param_axes, mesh))


def _batch(mesh, tree):
  return _described(tree, sharding.rows(tree, mesh))


def _described(tree, places):
  return jax.tree.map(
    lambda x, place: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=place),
    tree,
    places,
  )


def bytes_per_device(tree):
  """Of shapes that know their place."""
  size = lambda x: prod(x.sharding.shard_shape(x.shape)) * x.dtype.itemsize
  return sum(map(size, jax.tree.leaves(tree)))


def shapes(text):
  """Of every array that a program holds on one device: what is inside a
  fusion it does not."""
  held = re.sub(r'^%(fused|wrapped)\S* \(.*?^}', '', text, flags=re.M | re.S)
  found = re.findall(r'\b[a-z]+\d*\[([\d,]+)\]', held)
  return {tuple(map(int, dims.split(','))) for dims in found}


def logits_that_move(text, mesh):
  """Results of collectives that have the vocabulary as their last dimension,
  of whatever rows and positions; a table has it first."""
  kinds = 'all-gather|all-to-all|collective-permute|reduce-scatter'
  lines = re.findall(rf'= (.*?) (?:{kinds})(?:-start)?\(', text)
  moved = shapes('\n'.join(lines))
  assert moved, 'a program without collectives'
  parts = {V // n for n in (1, mesh.shape['tensor'])}
  return [shape for shape in moved if len(shape) > 1 and shape[-1] in parts]


def host_transfers(text):
  """Instructions that wait for the host."""
  return re.findall(
    r'^.* (?:infeed|outfeed|send|recv)\(.*|^.*callback.*', text, re.M
  )


def loop_body(hlo, cache):
  """The text of the decoding loop's body and of all that it calls."""
  blocks = {
    block.split(' ')[0]: block
    for block in re.findall(r'^%\S+ \(.*?^}', hlo, re.M | re.S)
  }
  (body,) = [
    re.search(r'body=(%[\w.-]+)', line)[1]
    for line in hlo.splitlines()
    if ' while(' in line and cache in line
  ]
  reached, new = set(), {body}
  while new:
    reached |= new
    names = {n for b in new for n in re.findall(r'%[\w.-]+', blocks[b])}
    new = (names & blocks.keys()) - reached
  return '\n'.join(blocks[name] for name in reached)
