"""From a config to what an experiment trains: a policy on the mesh, its
tokenizer, and how its completions end."""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from transformers import PreTrainedTokenizerBase

from experiments.command import Config
from experiments.named import named
from hybrid_latent import optim, sharding
from hybrid_latent.formats.pretrained import Pretrained, pretrained
from hybrid_latent.formats.tokenizer import stop_ids, token_bytes
from hybrid_latent.models import lora
from hybrid_latent.models.transformer import letters
from hybrid_latent.ops.automaton import delimiter_automaton
from hybrid_latent.policy import Policy
from hybrid_latent.trees import named_leaves
from hybrid_latent.types import PyTree, Stop

STOP_IDS = 8  # room for as many, so that other ids do not recompile


class Subject(NamedTuple):
  """What an experiment trains."""

  policy: Policy
  base: Any  # the model as loaded: the KL reference
  tokenizer: PreTrainedTokenizerBase
  stop: Stop


def subject(config: Config, mesh: jax.sharding.Mesh, key) -> Subject:
  """The policy of `config.model`, `.lora` and `.feedback`.

  The base shares its weights with the policy, which is all that adapters need.
  Where an optimizer group trains some of them and the objective has a KL term,
  it is a copy.
  """
  lora_key, feedback_key = jax.random.split(key)
  source = pretrained(
    config.model.source,
    dtype=config.model.dtype,
    param_dtype=config.model.param_dtype,
    place=stored_on(mesh),
    remat=config.model.remat,
  )
  tokenizer = with_tokenizer(source, config.model.source)
  model = base = source.model
  if config.lora.rank:
    model = lora.add(
      model, lora_key, rank=config.lora.rank, alpha=config.lora.alpha
    )
  parameters = None
  if config.feedback.parameters:
    owned = named(config.feedback.parameters, 'hybrid_latent.feedback')
    parameters = owned(
      feedback_key, model.config.width, **config.feedback.initial
    )
  policy = placed(Policy(model, parameters), mesh)
  is_trained = optim.is_trained(policy, config.optimizer.groups)
  names = [f'model.{name}' for name in named_leaves(base)]
  if config.objective.kwargs.get('beta') and any(map(is_trained, names)):
    base = jax.tree.map(jnp.copy, base)
  stop = stop_rule(
    tokenizer,
    model.config.vocab,
    config.rollout.delimiter,
    config.rollout.max_tokens,
    source.generation,
  )
  return Subject(policy, base, tokenizer, stop)


def stop_rule(
  tokenizer: PreTrainedTokenizerBase,
  vocab: int,
  delimiter: str,
  limit: int,
  generation: Mapping[str, Any],
) -> Stop:
  """Where completions of this tokenizer end, and where their thinking does."""
  ids = stop_ids(tokenizer, generation)
  if len(ids) > STOP_IDS:
    raise ValueError(f'{len(ids)} stop ids: at most {STOP_IDS}')
  table = delimiter_automaton(delimiter.encode(), token_bytes(tokenizer), vocab)
  return Stop(
    tokens=jnp.array(ids + [-1] * (STOP_IDS - len(ids)), jnp.int32),
    limit=jnp.int32(limit),
    pad=jnp.int32(pad_id(tokenizer)),
    delimiter=jnp.asarray(table),
  )


def placed(tree: PyTree, mesh: jax.sharding.Mesh) -> PyTree:
  """Parameters, or an optimizer's state of them, at their place."""
  return jax.device_put(tree, sharding.shardings(tree, letters, mesh))


def chat_ids(tokenizer, system: str, user: str) -> list[int]:
  """A prompt in the model's chat template, up to where it answers."""
  messages = [{'role': 'user', 'content': user}]
  if system:
    messages.insert(0, {'role': 'system', 'content': system})
  text = tokenizer.apply_chat_template(
    messages, tokenize=False, add_generation_prompt=True
  )
  return tokenizer(text, add_special_tokens=False)['input_ids']


def with_tokenizer(source: Pretrained, name: str) -> PreTrainedTokenizerBase:
  """The tokenizer of a loaded model, which must have one."""
  if source.tokenizer is None:
    raise ValueError(
      f'model {name!r} has no tokenizer: put tokenizer.json beside the weights'
    )
  return source.tokenizer


def pad_id(tokenizer: PreTrainedTokenizerBase) -> int:
  """What fills a row; never read, so the end of text will do."""
  ids = tokenizer.pad_token_id, tokenizer.eos_token_id
  return next(i for i in ids if isinstance(i, int))


def stored_on(mesh: jax.sharding.Mesh):
  """Puts one tensor of a checkpoint straight to its place."""
  return lambda name, x: placed({name: x}, mesh)[name]


def checked_resume(notes: dict, config: Config, workdir: str) -> dict:
  """A checkpoint's notes, if its run is the one that `config` describes."""
  fields = lambda text: named_leaves(json.loads(text))
  old, new = fields(notes['config']), fields(config.to_json())
  free = {'steps', 'eval', 'completions', 'checkpoint_every', 'grader', 'mesh',
          'micro_batches'}  # fmt: skip
  wrong = [
    f'  config.{name}: {old.get(name)!r} then, {new.get(name)!r} now'
    for name in sorted(old.keys() | new.keys())
    if name.partition('.')[0] not in free and old.get(name) != new.get(name)
  ]
  if wrong:
    raise ValueError(
      f'{workdir} holds a run of another configuration:\n'
      + '\n'.join(wrong)
      + '\nWrite these as they were to resume it, or choose another --workdir.'
    )
  return notes
