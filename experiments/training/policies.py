"""From a config to what an experiment trains: a policy on the mesh, its
tokenizer, and how its completions end."""

import logging
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
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
  chat_ids,
  check_byte_level,
  pad_id,
  stop_ids,
  token_bytes,
)
from hybrid_latent.models import lora
from hybrid_latent.models.letters import letters
from hybrid_latent.ops.automaton import delimiter_automaton
from hybrid_latent.ops.thinking import stop_rule
from hybrid_latent.policy import Critic, Policy
from hybrid_latent.trees import map_named, named_leaves, nonfinite
from hybrid_latent.types import Feedback, PyTree, Stop

from ..fields.model import check_model
from ..fields.overrides import at
from .cli import Config, configured, named
from .model_card import model_card

_log = logging.getLogger(__name__)


class Subject(NamedTuple):
  """What an experiment trains."""

  policy: Policy
  base: Any  # the model as loaded: the KL reference
  tokenizer: Tokenizer
  generation: dict[str, Any]  # generation_config.json
  stop: Any = None  # a Stop: how completions end, where there are any


def subject(config: Config, mesh: Mesh, key) -> Subject:
  """The policy of `config.model`, `.lora`, `.feedback` and `.critic`."""
  source = loaded(config, mesh)
  tokenizer: Any = source.tokenizer
  policy, base = policy_of(config, source.model, tokenizer, key)
  policy = with_owned(policy, source)
  stop = stop_of(config.rollout, source, tokenizer)
  return Subject(placed(policy, mesh), base, tokenizer, source.generation, stop)


def loaded(config: Config, mesh: Mesh) -> Pretrained:
  """The model of `config.model` on the mesh, with its new tokens. ValueError,
  before the weights are read, for a tokenizer that cannot be used, or that
  cannot make the prompts of `config.data`, and for a model that cannot be used
  as the config says."""
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
  prompt_ids(files.tokenizer, config.data, {'question': '?'})
  check_model(config, files.config, files.tokenizer)
  source = pretrained(
    files,
    dtype=model.dtype,
    param_dtype=model.param_dtype,
    place=lambda name, x: placed({name: x}, mesh)[name],
    remat=model.remat,
  )
  for token, _, like in (x.partition('=') for x in model.new_tokens):
    source = with_tokens(source, [token], like)
  count = sum(x.size for x in jax.tree.leaves(source.model))
  _log.info('model %s: %s parameters', model.source, f'{count:,}')
  return source


def policy_of(config: Config, base, tokenizer, key) -> tuple[Policy, Any]:
  """The policy that begins as the model `base`, and that base.

  The base shares its weights with the policy, which is all that adapters need.
  Where an optimizer group trains some of them and a KL term needs the base, it
  is a copy; so is the critic's model where it has no adapters of its own.
  """
  *_, critic_key = jax.random.split(key, 3)
  policy = adapted(config, base, tokenizer, key)
  if at(config, 'critic.enabled'):
    rank = config.lora.rank
    model = (
      lora.add(base, critic_key, **config.lora)
      if rank
      else jax.tree.map(jnp.copy, base)
    )
    policy = policy._replace(critic=Critic(model, jnp.zeros(base.config.width)))
  if copies_base(config, policy, base):
    base = jax.tree.map(jnp.copy, base)
  return policy, base


def adapted(config: Config, base, tokenizer, key) -> Policy:
  """`base` with new adapters and with what its feedback owns."""
  lora_key, feedback_key, _ = jax.random.split(key, 3)
  model = lora.add(base, lora_key, **config.lora) if config.lora.rank else base
  policy = Policy(model)
  made = parameters_of(config.feedback, feedback_key, policy, tokenizer)
  return policy._replace(feedback=made)


def feedback_of(feedback: Config) -> Feedback:
  """The feedback of `config.feedback`; where that has an `inside`, around the
  one which is written there in the same way."""
  make = configured(feedback, 'hybrid_latent.feedback')
  return make(feedback_of(feedback.inside)) if 'inside' in feedback else make()


def parameters_of(feedback: Config, key, policy: Policy, tokenizer) -> PyTree:
  """What it owns, new."""
  if not feedback.parameters:
    return None
  make = named(feedback.parameters, 'hybrid_latent.feedback')
  inner = {}
  if 'inside' in feedback:
    inner['inner'] = parameters_of(feedback.inside, key, policy, tokenizer)
  with _naming('config.feedback.initial', feedback.initial):
    return make(key, policy, tokenizer, **feedback.initial, **inner)


@contextmanager
def _naming(part: str, fields: Mapping[str, Any]) -> Iterator[None]:
  """Says in which of the fields of a part stands a file that is missing."""
  try:
    yield
  except FileNotFoundError as error:
    said = f'{error}'
    named = [
      f'{part}.{name}: '
      for name, x in fields.items()
      if isinstance(x, str) and x and (repr(x) in said or said.startswith(x))
    ]
    raise FileNotFoundError(f'{"".join(named[:1])}{said}') from error


def with_owned(policy: Policy, source: Pretrained) -> Policy:
  """The policy with what its feedback owns as a folder has it beside the model;
  as it is where that is of another feedback."""
  if not fits(source, owned(policy)):
    return policy
  known = lambda name, x: jnp.asarray(source.owned.get(name, x))
  return policy._replace(feedback=map_named(known, policy.feedback))


def owned(policy: Policy) -> dict[str, jax.Array]:
  """The parameters of its feedback; settings, which are scalars, are none."""
  leaves = named_leaves(policy.feedback).items()
  return {name: x for name, x in leaves if x.ndim}


def copies_base(config: Config, policy: Policy, base) -> bool:
  """Whether the KL reference has weights of its own."""
  is_trained = optim.is_trained(policy, config.optimizer.groups)
  names = (f'model.{name}' for name in named_leaves(base))
  return needs_reference(config) and any(map(is_trained, names))


def needs_reference(config: Config) -> bool:
  """Whether anything asks how far the policy is from where it began."""
  fields = 'objective.kwargs.beta', 'reward_kl.beta'
  return any(at(config, field) for field in fields)


def stop_of(rollout: Config, source: Pretrained, tokenizer) -> Stop:
  """How completions of this model end under `config.rollout`."""
  vocab = source.model.config.vocab
  ids = lambda text: tokenizer(text, add_special_tokens=False)['input_ids']
  delimiter = rollout.delimiter.encode()
  return stop_rule(
    stop_ids(tokenizer, source.generation),
    rollout.max_tokens,
    pad_id(tokenizer),
    delimiter_automaton(delimiter, token_bytes(tokenizer), vocab),
    max_thinking_tokens=rollout.thinking or rollout.max_tokens,
    after_thinking=ids(rollout.closing.ended),
    on_truncation=ids(rollout.closing.cut),
    on_budget=ids(rollout.closing.late),
    max_answer_tokens=rollout.answer or rollout.max_tokens,
    budget=rollout.max_tokens - rollout.reserved,
  )


def rollout_mesh(config: Config, mesh: Mesh) -> Mesh:
  """The mesh that samples: the same devices, arranged by the sizes of
  `config.rollout.mesh`; 0 is that of `mesh`."""
  sizes = {
    axis: size or mesh.shape[axis]
    for axis, size in config.rollout.get('mesh', {}).items()
  }
  return sharding.rearranged(mesh, **sizes)


def placed(tree: PyTree, mesh: Mesh) -> PyTree:
  """Parameters, or an optimizer's state of them, at their place."""
  return jax.device_put(tree, sharding.shardings(tree, letters, mesh))


def problems_of(data: Config) -> Callable:
  """The rows of a split, by `data.source`."""
  rows = named('sources:rows', 'hybrid_latent.data')
  function = named(data.source, 'hybrid_latent.data')
  given = {name: data[name] for name in ('path', 'fields') if name in data}
  return partial(rows, function, data.source, of=data.of.to_dict(), **given)


def prompt_ids(tokenizer, data: Config, row: dict) -> list[int]:
  """A row's prompt: `data.template` with its {question}, or without one the
  model's chat template up to where it answers, and what is put into its mouth
  (`data.prefill`)."""
  if not data.template:
    return chat_ids(
      tokenizer,
      data.system,
      row['question'],
      data.prefill,
      enable_thinking=data.enable_thinking,
    )
  text = data.template.replace('{question}', row['question'])
  return tokenizer(text + data.prefill)['input_ids']


def exported(
  actor: Subject,
  policy: Policy,
  folder,
  config: Config,
  step: int | None = None,
  figures: Mapping = {},
) -> None:
  """Writes the policy's model, adapters merged, as a Hugging Face folder, with
  the parameters that its feedback owns and a README.md, which says the
  `figures` at `step`. All processes read the parameters, and the
  first one writes them."""
  draft = (
    tempfile.TemporaryDirectory()
    if jax.process_index()
    else new_folder(folder, overwrite=True)
  )
  model = lora.merge(policy.model)
  if broken := nonfinite(model):
    raise ValueError(
      f'{folder}: not written, since {broken[:3]} would hold values that are '
      'not finite: export an earlier step'
    )
  with draft as path:
    rest = actor.tokenizer, actor.generation, owned(policy)
    write_folder(Pretrained(model, *rest), Path(path))
    card = model_card(config, step, figures)
    (Path(path) / 'README.md').write_text(card, 'utf-8')


def share_rows(rows: int, mesh: Mesh) -> None:
  """Warns where the devices cannot share the rows of a micro-batch."""
  shares = mesh.shape['data'] * mesh.shape['fsdp']
  if rows % shares:
    _log.warning(
      'a micro-batch has %d rows for data * fsdp = %d devices: each of them '
      'computes rows of others too. Choose micro_batches (and prompts) such '
      'that it has a multiple of %d',
      rows,
      shares,
      shares,
    )
