"""A tiny random policy and the programs that the tests of the core share."""

import dataclasses
from functools import cache, partial
from itertools import product

import jax
import jax.numpy as jnp
import numpy as np

from hybrid_latent.feedback.colar import colar, latent_head
from hybrid_latent.feedback.discrete import discrete
from hybrid_latent.feedback.gated import Gate, gated, interpolated
from hybrid_latent.feedback.gumbel_soft import gumbel_noise, gumbel_soft
from hybrid_latent.feedback.hidden import hidden
from hybrid_latent.feedback.jacobi import ParallelLatents, jacobi
from hybrid_latent.feedback.multiplex import multiplex
from hybrid_latent.feedback.prefix import prefix
from hybrid_latent.feedback.projected import projected, projector
from hybrid_latent.feedback.soft import SoftTokens, soft
from hybrid_latent.feedback.soft_thinking import ColdStop, soft_thinking
from hybrid_latent.feedback.swireasoning import Switches, swireasoning
from hybrid_latent.feedback.switching import Spans, switching
from hybrid_latent.models.reasoner import Prefix, Reasoner
from hybrid_latent.models.transformer import (
  Transformer,
  TransformerConfig,
  unstack,
)
from hybrid_latent.ops.attention import causal_mask, positions
from hybrid_latent.ops.automaton import delimiter_automaton
from hybrid_latent.ops.sampling import sampling
from hybrid_latent.ops.thinking import stopping_rule
from hybrid_latent.policy import Policy
from hybrid_latent.rescoring import prompt_inputs, rescore
from hybrid_latent.rollout import rollout
from hybrid_latent.trees import map_named
from hybrid_latent.types import (
  Feedback,
  Mode,
  Prompt,
  StepOut,
  StoppingRule,
  Trajectory,
)

FEEDBACKS = {
  'colar': colar(),
  'discrete': discrete(),
  'gated': gated(),
  'gated-published': gated('published'),
  'gated-width-0': gated(width=0),
  'gumbel-soft': gumbel_soft(width=5),
  'hidden': hidden(),
  'interpolated': interpolated(),
  'jacobi': jacobi(passes=2),
  'multiplex': multiplex(width=2),
  'prefix': prefix(),
  'prefix-of-all': prefix()._replace(prefix=partial(prefix().prefix)),
  'projected': projected(),
  'soft': soft(),
  'soft-thinking': soft_thinking(width=5),
  'swireasoning': swireasoning(),
  'switching': switching(),
  'switching-soft': switching(soft()),
}
CONFIG = TransformerConfig(
  vocab=96,  # above the gated feedback's `width`: both of its paths are taken
  width=16,
  layers=2,
  heads=4,
  kv_heads=2,
  head_dim=8,
  mlp=24,
  rope_theta=1e4,
)
STEPS, GROUP, PAD = 12, 2, 95
LENGTHS = 6, 3, 1
DELIMITER = b'ab'
# What each id spells: every text of up to three letters, then nothing. The
# delimiter lies inside some, across others.
TEXTS = [
  bytes(text) for n in range(4) for text in product(b'abcd', repeat=n)
]  # 85 of them
# A third of the time to compile: the same program, in slower machine code.
QUICK = {
  'xla_backend_optimization_level': 0,
  'xla_cpu_use_fusion_emitters': False,
}
quick = partial(jax.jit, compiler_options=QUICK)
STOPS = [5, 16, 29, 39, 53, 66, 78, 90]
START, SLOT, END = 88, 89, 91  # of a span; they spell nothing
LATENTS = 3  # of a prefix, which two tokens close
CLOSE = TEXTS.index(DELIMITER)

SPANS = Spans(
  *map(jnp.int32, (START, SLOT, END)),
  slots=jnp.int32(2),
  sampled=jnp.bool_(True),
)
SOFT = SoftTokens(jnp.float32(0.7), jnp.float32(0.5))
SWITCHES = Switches(
  *map(jnp.int32, (START, CLOSE)),
  words=jnp.arange(CONFIG.vocab) % 9 == 4,
  window=jnp.int32(2),
  max_switches=jnp.int32(0),
  alpha=jnp.float32(0.6),
  beta=jnp.float32(0.7),
  max_tokens=jnp.float32(STEPS),
  mixtures_first=jnp.bool_(True),
)
PARAMETERS = {
  FEEDBACKS['gumbel-soft']: gumbel_noise(None, temperature=0.4),
  FEEDBACKS['swireasoning']: SWITCHES,
  FEEDBACKS['soft']: SOFT,
  FEEDBACKS['soft-thinking']: ColdStop(
    jnp.int32(CLOSE), jnp.float32(4.2), jnp.int32(3)
  ),
  FEEDBACKS['jacobi']: ParallelLatents(
    *(jnp.array(x, jnp.int32) for x in ([START], [SLOT] * 3, [END]))
  ),
  FEEDBACKS['switching']: SPANS,
  FEEDBACKS['switching-soft']: SPANS._replace(inner=SOFT),
}


@cache
def policy(seed: int = 0, feedback: Feedback | None = None) -> Policy:
  """Every parameter random, and a gate that lets much of the latents in; or
  the settings of another feedback."""
  rng = np.random.default_rng(seed)
  parameters = PARAMETERS.get(feedback)
  spans = isinstance(parameters, Spans)

  def random(name, leaf):
    noise = rng.normal(size=leaf.shape).astype(np.float32)
    scale, shift = 0.25, 0.0
    if 'norm' in name:
      shift = 1.0
    if name.endswith('decay'):
      shift = 2.5  # with r near 1/2 the token keeps about 70 %
    if name == 'model.embedding' and spans:
      noise[START] *= 3  # the head is tied: it is drawn often
    return jnp.asarray(scale * noise + shift)

  build = lambda key: Policy(Transformer(CONFIG, key), Gate(key, CONFIG.width))
  gated = map_named(random, jax.eval_shape(build, jax.random.key(0)))
  return gated._replace(feedback=parameters or gated.feedback)


@cache
def thinker(reads: str) -> Prefix:
  """A reasoner of another width, random as the policy is."""
  sizes = {'width': 12, 'heads': 2, 'kv_heads': 1, 'mlp': 20, 'qk_norm': True}
  key, rng = jax.random.key(1), np.random.default_rng(1)
  backbone = Transformer(dataclasses.replace(CONFIG, **sizes), key)
  made = Reasoner(
    key, backbone, width=CONFIG.width, latents=LATENTS, reads=reads
  )

  def random(name, leaf):
    noise = rng.normal(size=leaf.shape).astype(np.float32)
    return jnp.asarray(0.25 * noise + (name == 'r' or 'norm' in name))

  return Prefix(map_named(random, made), jnp.array([CLOSE, 7], jnp.int32))


PARAMETERS[FEEDBACKS['colar']] = latent_head(
  jax.random.key(2), policy(), None, width=24
)
PARAMETERS[FEEDBACKS['projected']] = projector(
  jax.random.key(1), policy(), None, width=24
)
PARAMETERS[FEEDBACKS['prefix']] = thinker('last')
PARAMETERS[FEEDBACKS['prefix-of-all']] = thinker('prompt')


def prompts(lengths=LENGTHS, ids=None, width: int | None = None) -> Prompt:
  """Left-padded rows; the text of a row is that of its id."""
  ids = np.arange(len(lengths)) if ids is None else np.asarray(ids)
  width = max(lengths) if width is None else width
  rows = [np.random.default_rng(i).integers(0, 85, 16) for i in ids]
  mask = np.arange(width) >= width - np.array(lengths)[:, None]
  tokens = np.zeros(mask.shape, np.int32)
  for row, n, text in zip(tokens, lengths, rows, strict=True):
    row[width - n :] = text[:n]
  return Prompt(
    jnp.asarray(tokens), jnp.asarray(mask), jnp.asarray(ids, jnp.int32)
  )


def asked(prompt: Prompt, feedback: Feedback) -> Prompt:
  """The same, in all modes side by side where the feedback knows several."""
  if not feedback.prefix or prompt.mode is not None:
    return prompt
  return prompt._replace(mode=prompt.ids % len(Mode))


def stop(
  tokens=(),
  limit: int = STEPS,
  delimiter: bytes = DELIMITER,
  vocab: int = CONFIG.vocab,
  **more,
) -> StoppingRule:
  """A delimiter of two letters, and whatever else ends things."""
  table = delimiter_automaton(delimiter, TEXTS, vocab)
  return stopping_rule(tokens, limit, PAD, table, **more)


def step_out(logits, **more) -> StepOut:
  """One step of rows that all think, go on, and say what is likeliest."""
  logits = jnp.asarray(logits, jnp.float32)
  b = len(logits)
  step = {
    'token': jnp.argmax(logits, axis=-1).astype(jnp.int32),
    'logits': logits,
    'filtered': logits,
    'temperature': jnp.float32(1),
    'greedy': jnp.zeros(b, bool),
    'hidden': jnp.zeros((b, CONFIG.width)),
    'thinking_continues': jnp.ones(b, bool),
    'in_thinking': jnp.ones(b, bool),
  }
  return StepOut(**step | {name: jnp.asarray(x) for name, x in more.items()})


@partial(
  jax.jit,
  static_argnames=('feedback', 'max_steps', 'group', 'cache_stages'),
  compiler_options=QUICK,
)
def sample(
  policy, feedback, prompt, key, *, max_steps=STEPS, group=GROUP, **settings
):
  """The rollout as a trainer runs it."""
  policy = policy._replace(model=unstack(policy.model))
  return rollout(
    policy,
    feedback,
    asked(prompt, feedback),
    key,
    max_steps=max_steps,
    group=group,
    **settings,
  )


def rolled(policy, feedback, stops=STOPS, **how) -> Trajectory:
  """What it says to the prompts, sampled in this way, in numpy."""
  out = sample(
    policy,
    feedback,
    prompts(),
    jax.random.key(8),
    sampling=sampling(**how),
    stop=stop(stops),
  )
  return jax.tree.map(np.asarray, out)


@partial(jax.jit, static_argnames=('feedback', 'chunk'), compiler_options=QUICK)
def scores(policy, feedback, prompt, trajectory, temperature=1.0, chunk=128):
  """Its replay."""
  return rescore(
    policy,
    feedback,
    asked(prompt, feedback),
    trajectory,
    score_temperature=temperature,
    logits_chunk=chunk,
  )


@partial(jax.jit, static_argnames='feedback', compiler_options=QUICK)
def logits(policy, feedback, prompt, trajectory):
  """What each token was drawn from, [b t v], by one plain forward pass."""
  rows = lambda x: jnp.repeat(x, len(trajectory.mask) // len(x), axis=0)
  fed = feedback.recompute_inputs(policy, trajectory.record, trajectory.tokens)
  said, before = map(
    rows, prompt_inputs(policy, feedback, asked(prompt, feedback))
  )
  x = jnp.concatenate([said, fed], axis=1)
  mask = jnp.concatenate([before, trajectory.mask], axis=1)
  hidden, _ = policy.forward(x, None, positions(mask), causal_mask(mask))
  n = before.shape[1]
  last = n - 1 - jnp.argmax(before[:, ::-1], axis=1)  # read before the first
  first = jnp.take_along_axis(hidden, last[:, None, None], axis=1)
  return policy.unembed(jnp.concatenate([first, hidden[:, n:-1]], axis=1))
