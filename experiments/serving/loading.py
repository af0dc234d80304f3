"""Loads the model of a server, and encodes its prompts by mode."""

from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from hybrid_latent import sharding
from hybrid_latent.data.prompts import Encode
from hybrid_latent.types import Feedback

from ..training.actor import Actor, feedback_of, rollout_mesh
from ..training.cli import Config
from ..training.dataset_sampling import check_delimiter, decoding_actor
from ..training.prompts import mode_of, prompt_ids
from ..training.sampler import Sampler, prefill_and_decode


class Server(NamedTuple):
  """A loaded model; its compiled programs serve all calls of `answers`."""

  config: Config
  actor: Actor
  feedback: Feedback
  sampler: Sampler
  encoders: dict[str, Encode]  # mode -> row to prompt ids
  default_mode: str  # of a request without one


def load_server(config: Config) -> Server:
  """Loads config.model, and the reasoner of config.feedback if it has one."""
  mode_of(config.rollout.mode)
  feedback = feedback_of(config.feedback)
  if feedback.prefix and not config.feedback.init_kwargs.get('source'):
    raise ValueError(
      "config.feedback.init_kwargs.source is '': write the folder of a "
      'reasoner, which experiments.lrt writes to WORKDIR/reasoner'
    )
  mesh = rollout_mesh(config.rollout, sharding.mesh(**config.mesh))
  actor = decoding_actor(config, mesh)
  check_delimiter(config.rollout.end_of_thinking, actor.stop, actor.tokenizer)
  no_grader: Any = None
  functions = prefill_and_decode(config.rollout, feedback)
  return Server(
    config,
    actor,
    feedback,
    Sampler(config.rollout, config.data, mesh, actor, *functions, no_grader),
    encoders(
      config.data,
      config.rollout.forced_text.no_thinking,
      actor.tokenizer,
      latents=feedback.prefix is not None,
    ),
    config.rollout.mode
    or ('latent' if feedback.prefix else 'chain_of_thought'),
  )


def encoders(
  data: Config, no_thinking: str, tokenizer: Any, *, latents: bool
) -> dict[str, Encode]:
  """Mode -> what encodes a prompt, for the modes that a request may name.

  Args:
    data: config.data; its prompts end where the thinking begins.
    no_thinking: the text that closes the thinking in a prompt of the mode
      `no_thinking`; without one there is no such mode.
    tokenizer: the model's.
    latents: whether the model reads latents, in the mode `latent`.
  """
  prompts = {'chain_of_thought': data}
  if latents:
    prompts['latent'] = data
  if no_thinking:
    prompts['no_thinking'] = data.copy_and_resolve_references()
    prompts['no_thinking'].prefill += no_thinking
  return {
    mode: partial(prompt_ids, tokenizer, x) for mode, x in prompts.items()
  }


def model_id(server: Server) -> str:
  """The model's name on its hub; of a folder or a file, the last part."""
  source = server.config.model.source
  return Path(source).name if Path(source).exists() else source


def is_unicode(text: str) -> bool:
  """JSON can escape halves of surrogate pairs, which no tokenizer accepts."""
  return not any('\ud800' <= character <= '\udfff' for character in text)
