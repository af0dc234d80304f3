"""The arms of an evaluation: what is compared, each with its config."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
from etils import epath

from hybrid_latent.feedback import controls
from hybrid_latent.feedback.discrete import discrete
from hybrid_latent.policy import Policy
from hybrid_latent.types import Feedback

from ..fields.check import check
from ..fields.overrides import overridden
from ..fields.rule import has_prefix, is_ours
from ..fields.sampling_rules import WITH_PARAMS, eval_sampling
from ..training.actor import feedback_of
from ..training.cli import Config
from ..training.trained_run import TrainedRun, open_run

# Of a run that is evaluated as it was trained.
PROMPT = 'system_prompt', 'prompt_template', 'prefill', 'enable_thinking'
# Beside words that are sampled; all other latents are the whole thinking.
_BESIDE_WORDS = 'gated:gated', 'switching:switching'


class Arm(NamedTuple):
  """A model with a feedback in one mode, with a budget and a control."""

  name: str  # in tables, of the model and of what an evaluation compares
  model: str
  source: str  # its folder or name, WORKDIR@STEP of a run; that of a reasoner
  feedback: str
  mode: str
  control: str
  budget: int | None  # tokens; None: the limits of config.rollout
  config: Config  # of its sampling
  run: TrainedRun | None  # that trained it

  @property
  def greedy(self) -> bool:
    """Whether nothing is random."""
    return eval_sampling(self.config).greedy

  @property
  def samples(self) -> int:
    """Completions per prompt; greedy ones would be equal."""
    return 1 if self.greedy else self.config.eval.num_generations

  @property
  def prompts_per_batch(self) -> int:
    """As many completions as a training step has, which fit into memory; at
    least two prompts, which a control mixes. Of all hosts."""
    rollout, hosts = self.config.rollout, jax.process_count()
    rows = rollout.prompts_per_step // hosts * rollout.num_generations
    return max(rows // self.samples, 2) * hosts

  def controlled(self, policy: Policy) -> Feedback:
    """Its feedback, for the policy that it samples from."""
    feedback = feedback_of(self.config.feedback)
    if self.control == 'other_problem':
      v, d = policy.table.shape
      return controls.other_problem(feedback, self.samples, (v, d))
    return (
      getattr(controls, self.control)(feedback) if self.control else feedback
    )


def arms_of(config: Config) -> list[Arm]:
  """The arms of `config.evaluate`; those that share a loaded model are
  adjacent, and among them those that share a program. ValueError for a field
  that cannot be, and where there is none."""
  evaluate = config.evaluate
  arms: list[Arm] = []
  named = [(n, s, False) for n, s in named_sources('models', evaluate)]
  named += [(n, s, True) for n, s in named_sources('reasoners', evaluate)]
  if evaluate.base:
    named.insert(0, ('base', config.model.source, False))
  for model, source, reasoner in named:
    own, run = config_of_source(config, source, reasoner)
    source = f'{run.workdir}@{run.step}' if run else source
    for text in evaluate.feedbacks:
      try:
        feedback, with_feedback = config_of_feedback(own, text)
        if text or run:
          check(with_feedback, 'evaluate', jax.process_count())
      except ValueError as error:
        part = f'feedbacks, {text!r}' if text else f'models, {model!r}'
        raise ValueError(f'config.evaluate.{part}: {error}') from error
      for mode, in_mode in _modes(with_feedback, evaluate, reasoner or run):
        given = evaluate.modes and mode
        for control, controlled in _controls(in_mode, evaluate.controls):
          for budget in evaluate.budgets or (None,):
            parts = model, feedback, given, budget, control
            arms.append(
              Arm(
                '/'.join(str(part) for part in parts if part),
                *(model, source, feedback or _function(in_mode), mode),
                *(control, budget, controlled, run),
              )
            )
  _check_names(arms, evaluate)
  return arms


def without_latents(arm: Arm) -> Arm:
  """The arm of the given answers of a model."""
  return arm._replace(
    name=arm.model, feedback='discrete', mode='', control='', budget=None
  )


def no_thinking_text(config: Config) -> str:
  """The text that ends a prompt without thinking, after config.data.prefill."""
  text = config.rollout.forced_text
  return text.no_thinking or text.on_truncation


def named_sources(field: str, evaluate: Config) -> Iterator[tuple[str, str]]:
  """(name, source) of each NAME=SOURCE of a field of config.evaluate."""
  names = ['base']
  for text in evaluate[field]:
    name, _, source = text.partition('=')
    if name in names:
      raise ValueError(
        f'config.evaluate.{field} has {text!r}: write a name that is not one '
        f'of {names}'
      )
    names.append(name)
    yield name, source


def config_of_source(
  config: Config, source: str, reasoner: bool
) -> tuple[Config, TrainedRun | None]:
  """The config of a model with its own feedback, and the run where it is the
  --workdir of one."""
  config = config.copy_and_resolve_references()
  as_trained = config.evaluate.as_trained
  # The config of one model: the names of all are not part of it.
  config.evaluate.update(models=(), reasoners=(), feedbacks=('',))
  config.max_steps = 0  # nothing is trained
  workdir, _, step = _run_of(source)
  if not workdir:
    field = config.feedback.init_kwargs if reasoner else config.model
    field.source = source
    return config, None
  run = open_run(workdir, step or 'latest')
  with config.unlocked():
    for part in 'model', 'lora', 'feedback':
      config[part] = run.config[part]
    if as_trained:
      batch = config.rollout.prompts_per_step, config.rollout.num_generations
      config.data.update({name: run.config.data[name] for name in PROMPT})
      config.rollout.update(run.config.rollout)
      config.rollout.prompts_per_step, config.rollout.num_generations = batch
  return config, run


def config_of_feedback(config: Config, text: str) -> tuple[str, Config]:
  """The name and the config of one of config.evaluate.feedbacks, which is
  'NAME: PART; PART', each a function or FIELD=VALUE, or NAME alone: a
  function."""
  if not text:
    return '', config
  config = config.copy_and_resolve_references()
  name, colon, rest = text.partition(': ')
  parts = [part.strip() for part in (rest if colon else name).split(';')]
  fields = [part for part in parts if '=' in part]
  allowed = 'feedback.', 'rollout.', 'eval.sampling.'
  if wrong := [field for field in fields if not field.startswith(allowed)]:
    raise ValueError(
      f'{wrong[0]!r} is no field below one of {[*allowed]}: write such '
      'a FIELD=VALUE, or the name of a feedback'
    )
  for spec in (part for part in parts if '=' not in part):
    spec = spec if ':' in spec else f'{spec}:{spec}'
    if not is_ours(config, 'feedback.function', spec):
      with config.unlocked():
        config.feedback = dict(
          function=spec, kwargs={}, init=WITH_PARAMS.get(spec, ''),
          init_kwargs={},
        )  # fmt: skip
  return name, overridden(
    config, [f'--config.{x}' for x in fields], 'the config'
  )


def _run_of(source: str) -> tuple[str, str, str]:
  """(workdir, '@', step) of a run; empty for a model."""
  for parts in (source, '', ''), source.rpartition('@'):
    if parts[0] and (epath.Path(parts[0]) / 'checkpoints').is_dir():
      return parts
  return '', '', ''


def _modes(
  config: Config, evaluate: Config, own: Any
) -> Iterator[tuple[str, Config]]:
  """(mode, config) of a model; `own`: its latents are its own, and not those of
  the config."""
  prefix = has_prefix(config)
  if own and prefix:
    modes = [mode for mode in evaluate.modes or ['latent'] if mode == 'latent']
  else:
    modes = [mode for mode in evaluate.modes or [''] if mode != 'latent']
  for mode in modes:
    changed = config.copy_and_resolve_references()
    changed.rollout.update(buckets=1, mode=mode or config.rollout.mode)
    if evaluate.budgets:
      changed.rollout.update(
        max_thinking_tokens=0,
        max_answer_tokens=0,
        max_completion_length=max(evaluate.budgets),
        answer_reserve=evaluate.answer_reserve,
      )
    if mode == 'no_thinking':
      changed.data.prefill += no_thinking_text(config)
    if mode and mode != 'latent' and prefix:
      with changed.unlocked():
        changed.feedback = dict(
          function='discrete:discrete', kwargs={}, init='', init_kwargs={}
        )
    default = 'latent' if prefix else 'chain_of_thought'
    yield mode or config.rollout.mode or default, changed


def _controls(
  config: Config, names: Sequence[str]
) -> Iterator[tuple[str, Config]]:
  """('', config), and the controls of a config whose model reads latents."""
  yield '', config
  if config.rollout.mode == 'no_thinking':
    return
  if feedback_of(config.feedback) is discrete():
    return
  for name in names:
    changed = config.copy_and_resolve_references()
    whole = not is_ours(config, 'feedback.function', *_BESIDE_WORDS)
    if name == 'dropped' and whole:  # an answer without thinking
      changed.rollout.mode = 'no_thinking'
      changed.data.prefill += no_thinking_text(config)
    yield name, changed


def _function(config: Config) -> str:
  """The name of its feedback function."""
  return config.feedback.function.rpartition(':')[2]


def _check_names(arms: Sequence[Arm], evaluate: Config) -> None:
  """ValueError where there is no arm, or two of one name."""
  if not arms:
    fields = 'base', 'models', 'reasoners', 'modes', 'feedbacks'
    values = ', '.join(f'{name}={evaluate[name]}' for name in fields)
    raise ValueError(
      f'config.evaluate: {values}: write a model and a mode; latent needs a '
      'reasoner'
    )
  names = [arm.name for arm in arms]
  if twice := [name for name in names if names.count(name) > 1]:
    raise ValueError(
      f'config.evaluate: two arms are named {twice[0]!r}: write other names in '
      'models, reasoners or feedbacks'
    )
