"""Loads an actor from a config: a policy on the mesh, its tokenizer and its
stopping rule; writes a policy as a Hugging Face folder."""

import logging
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from hybrid_latent import optim, sharding
from hybrid_latent.formats.export import new_folder, write_folder
from hybrid_latent.formats.pretrained import (
  Pretrained,
  fits,
  open_model,
  pretrained,
)
from hybrid_latent.formats.special import with_tokens
from hybrid_latent.formats.tokenizer import (
  Tokenizer,
  check_byte_level,
  pad_id,
  stop_ids,
  token_bytes,
)
from hybrid_latent.models import lora
from hybrid_latent.models.param_axes import param_axes
from hybrid_latent.ops.automaton import delimiter_automaton
from hybrid_latent.ops.thinking import stopping_rule
from hybrid_latent.policy import Critic, Policy
from hybrid_latent.trees import map_named, named_leaves, nonfinite
from hybrid_latent.types import Feedback, PyTree, StoppingRule

from ..fields.model import check_attention, check_model
from ..fields.overrides import at
from .cli import Config, configured, named
from .model_card import model_card
from .prompts import prompt_ids

_log = logging.getLogger(__name__)


class Actor(NamedTuple):
  """A policy with what its sampling and its export need."""

  policy: Policy
  base: Any  # the model as loaded: the KL reference
  tokenizer: Tokenizer
  generation: dict[str, Any]  # generation_config.json
  stop: Any = None  # a StoppingRule, where it samples

  @property
  def pad_id(self) -> int:
    """The id of padding."""
    return int(self.stop.pad_id)


def load_actor(config: Config, mesh: Mesh, key) -> Actor:
  """The policy of `config.model`, `.lora`, `.feedback` and `.critic`."""
  source = load_model(config, mesh)
  tokenizer: Any = source.tokenizer
  policy, base = policy_of(config, source.model, tokenizer, key)
  policy = shard(load_feedback_params(policy, source), mesh)
  stop = stopping_rule_of(config.rollout, source, tokenizer)
  return Actor(policy, base, tokenizer, source.generation, stop)


def load_model(config: Config, mesh: Mesh) -> Pretrained:
  """The model of `config.model` on the mesh, with its new tokens. ValueError,
  before the weights are read, for an unusable tokenizer, for one that cannot
  make the prompts of `config.data`, and for a model that does not fit the
  config."""
  model = config.model
  with _naming('config.model', model):
    files = open_model(model.source)
  if files.tokenizer is None:
    raise ValueError(
      f'model {model.source!r} has no tokenizer: put tokenizer.json beside the '
      'weights'
    )
  check_byte_level(files.tokenizer)
  pad_id(files.tokenizer)
  # One prompt, so that a chat template fails before the weights are read.
  prompt_ids(files.tokenizer, config.data, {'question': '?'})
  check_model(config, files.config, files.tokenizer)
  check_attention(model.attention, mesh.devices.flat[0].platform)
  source = pretrained(
    files,
    dtype=model.dtype,
    param_dtype=model.param_dtype,
    place=lambda name, x: shard({name: x}, mesh)[name],
    remat=model.remat,
    attention=model.attention,
  )
  for token, _, like in (x.partition('=') for x in model.new_tokens):
    source = with_tokens(source, [token], like)
  count = sum(x.size for x in jax.tree.leaves(source.model))
  _log.info('model %s: %s parameters', model.source, f'{count:,}')
  return source


def policy_of(config: Config, base, tokenizer, key) -> tuple[Policy, Any]:
  """The policy initialized from the model `base`, and the base as reference.

  They share their weights, which is enough where only adapters are trained. The
  base is a copy where an optimizer group trains some of them and a KL term
  needs the base; so is the critic's model where it has no adapters.
  """
  *_, critic_key = jax.random.split(key, 3)
  policy = init_policy(config.lora, config.feedback, base, tokenizer, key)
  if at(config, 'critic.enabled'):
    rank = config.lora.rank
    model = (
      lora.add(base, critic_key, **config.lora)
      if rank
      else jax.tree.map(jnp.copy, base)
    )
    policy = policy._replace(critic=Critic(model, jnp.zeros(base.config.width)))
  if needs_ref_copy(config, policy, base):
    base = jax.tree.map(jnp.copy, base)
  return policy, base


def init_policy(
  adapters: Config, feedback: Config, base, tokenizer, key
) -> Policy:
  """`base` with the new adapters of `config.lora` and the new parameters of its
  feedback."""
  lora_key, feedback_key, _ = jax.random.split(key, 3)
  model = lora.add(base, lora_key, **adapters) if adapters.rank else base
  policy = Policy(model)
  params = init_feedback(feedback, feedback_key, policy, tokenizer)
  return policy._replace(feedback=params)


def feedback_of(feedback: Config) -> Feedback:
  """The feedback of `config.feedback`, around that of its `inner` if it has
  one."""
  make = configured(feedback, 'hybrid_latent.feedback')
  return make(feedback_of(feedback.inner)) if 'inner' in feedback else make()


def init_feedback(feedback: Config, key, policy: Policy, tokenizer) -> PyTree:
  """The new parameters of a feedback; None where it has none."""
  if not feedback.init:
    return None
  make = named(feedback.init, 'hybrid_latent.feedback')
  inner = {}
  if 'inner' in feedback:
    inner['inner'] = init_feedback(feedback.inner, key, policy, tokenizer)
  with _naming('config.feedback.init_kwargs', feedback.init_kwargs):
    return make(key, policy, tokenizer, **feedback.init_kwargs, **inner)


@contextmanager
def _naming(part: str, fields: Mapping[str, Any]) -> Iterator[None]:
  """Puts the field that names a missing file before the error's text."""
  try:
    yield
  except FileNotFoundError as error:
    text = f'{error}'
    names = [
      f'{part}.{name}: '
      for name, x in fields.items()
      if isinstance(x, str) and x and (repr(x) in text or text.startswith(x))
    ]
    raise FileNotFoundError(f'{"".join(names[:1])}{text}') from error


def load_feedback_params(policy: Policy, source: Pretrained) -> Policy:
  """The policy with the feedback parameters that are stored beside the model;
  unchanged where those are of another feedback."""
  if not fits(source, feedback_params(policy)):
    return policy
  load = lambda name, x: jnp.asarray(source.feedback_params.get(name, x))
  return policy._replace(feedback=map_named(load, policy.feedback))


def feedback_params(policy: Policy) -> dict[str, jax.Array]:
  """The parameters of its feedback, without its settings, which are scalars."""
  leaves = named_leaves(policy.feedback).items()
  return {name: x for name, x in leaves if x.ndim}


def needs_ref_copy(config: Config, policy: Policy, base) -> bool:
  """Whether the KL reference needs a copy of weights that are trained."""
  if not needs_reference(config):
    return False
  is_trained = optim.is_trained(policy, config.optimizer.groups)
  return any(is_trained(f'model.{name}') for name in named_leaves(base))


def needs_reference(config: Config) -> bool:
  """Whether a KL term compares the policy with a reference."""
  fields = 'objective.kwargs.beta', 'reward_kl.beta'
  return any(at(config, field) for field in fields)


def stopping_rule_of(
  rollout: Config, source: Pretrained, tokenizer
) -> StoppingRule:
  """When completions of this model stop under `config.rollout`."""
  vocab, longest = source.model.config.vocab, rollout.max_completion_length
  ids = lambda text: tokenizer(text, add_special_tokens=False)['input_ids']
  delimiter, forced = rollout.end_of_thinking.encode(), rollout.forced_text
  return stopping_rule(
    stop_ids(tokenizer, source.generation),
    longest,
    pad_id(tokenizer),
    delimiter_automaton(delimiter, token_bytes(tokenizer), vocab),
    max_thinking_tokens=rollout.max_thinking_tokens or longest,
    after_thinking=ids(forced.after_thinking),
    on_truncation=ids(forced.on_truncation),
    on_budget=ids(forced.on_budget),
    max_answer_tokens=rollout.max_answer_tokens or longest,
    budget=longest - rollout.answer_reserve,
  )


def rollout_mesh(rollout: Config, mesh: Mesh) -> Mesh:
  """The mesh of sampling: the same devices with the axis sizes of
  `config.rollout.mesh`; 0 is the size in `mesh`."""
  sizes = {
    axis: size or mesh.shape[axis]
    for axis, size in rollout.get('mesh', {}).items()
  }
  return sharding.rearranged(mesh, **sizes)


def shard(tree: PyTree, mesh: Mesh) -> PyTree:
  """Parameters, or an optimizer's state of them, sharded over the mesh."""
  return jax.device_put(tree, sharding.shardings(tree, param_axes, mesh))


def export_model(
  actor: Actor,
  policy: Policy,
  folder,
  config: Config,
  step: int | None = None,
  metrics: Mapping = {},
) -> None:
  """Writes the policy's model, adapters merged, as a Hugging Face folder, with
  the parameters of its feedback and a README.md with the `metrics` of `step`.
  All processes gather the parameters, and process 0 writes them."""
  # The other processes take part in the gather and discard their copy.
  draft = (
    tempfile.TemporaryDirectory()
    if jax.process_index()
    else new_folder(folder, overwrite=True)
  )
  model = lora.merge(policy.model)
  if broken := nonfinite(model):
    raise ValueError(
      f'{folder}: not written, as {broken[:3]} have values that are not '
      'finite: export an earlier step'
    )
  with draft as path:
    rest = actor.tokenizer, actor.generation, feedback_params(policy)
    write_folder(Pretrained(model, *rest), Path(path))
    card = model_card(config, step, metrics)
    (Path(path) / 'README.md').write_text(card, 'utf-8')
