"""SwiReasoning: the entropy switches between words and soft thinking.

"SwiReasoning", Shi et al., arXiv 2510.05069, ICLR 2026; no training. The
thinking begins with mixtures p @ E of the model's distribution p (temperature
1, no filters). Where the entropy of p falls below that at the last switch,
words begin; where it rises above it, after at least `window` words, mixtures
begin again. At a switch the input is mixed with the embedding of a mark:
  to words     beta p @ E + (1 - beta) E[</think>]
  to mixtures  alpha p @ E + (1 - alpha) E[<think>]
with alpha and beta growing linearly to 1 at `max_tokens`. After `max_switches`
switches to words `</think>` is written. Tokens are sampled throughout and are
the text, during the mixtures too.

As released (sdc17/SwiReasoning, generation_utils.py), where the paper does not
specify: in the switch to words the mixture, not the token, is mixed with
`</think>`; digits, letters and mathematical symbols are always read as words.
Left out: a tenth of the embedding of the text "\\n" in the first input. There
the thinking may go on after a forced `</think>`, and is ended with "The final
answer is" after twice as many switches; here it is over, and
`rollout.forced_text.after_thinking` has the text after it.

With `mixtures_first=False` and a window longer than the completion it is
discrete decoding.
"""

import functools
import string
from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from hybrid_latent.feedback.base import (
  latent_where,
  parameters,
  recorded_latents,
  token_log_prob,
)
from hybrid_latent.ops.logprobs import token_scores
from hybrid_latent.ops.soft import soft_mixture
from hybrid_latent.policy import embedding_table
from hybrid_latent.ranges import (
  NonNegativeInt,
  PositiveInt,
  UnitFloat,
)
from hybrid_latent.types import Feedback

# Each token of their spelling is read as a word; names are LaTeX commands.
SYMBOLS = tuple(string.digits + string.ascii_letters + '+-*/^=<>()[]{}_|')
COMMANDS = (
  'leq geq neq approx sim equiv to implies iff left right frac dfrac sqrt in '
  'notin subset supset subseteq supseteq cup cap emptyset varnothing pi theta '
  'alpha beta gamma delta epsilon zeta lambda mu nu sin cos tan cot sec csc '
  'arcsin arccos arctan log ln exp binom cdot dots ldots cdots vdots ddots '
  'mathbb mathbf mathrm text mbox infty circ prime ast star triangle '
  'triangleleft triangleright perp parallel angle boxed overline underline '
  'lceil rceil lfloor rfloor mid vert Vert because therefore forall exists '
  'wedge vee neg sum prod int lim min max arg deg gcd operatorname'
)


class Switches(NamedTuple):
  """The settings, as arrays: a change never recompiles."""

  start: Int[Array, '']  # ids of the marks
  end: Int[Array, '']
  words: Bool[Array, 'v']  # tokens that are always read as words
  window: Int[Array, '']  # words before mixtures may begin again
  max_switches: Int[Array, '']  # to words, in a thinking; 0: no limit
  alpha: Float[Array, '']  # share of the mixture at a switch to mixtures
  beta: Float[Array, '']  # and at one to words
  max_tokens: Float[Array, '']  # where both shares are 1
  mixtures_first: Bool[Array, '']  # the thinking begins with mixtures


class Phase(NamedTuple):
  """The state."""

  step: Int[Array, 'b']
  mixes: Bool[Array, 'b']
  since: Int[Array, 'b']  # steps since the last switch
  reference: Float[Array, 'b']  # entropy at the last switch, nats
  switches: Int[Array, 'b']  # to words


def switches(
  key: Key[Array, ''] | None,
  model: Any,
  tokenizer: Any,
  *,
  start: str = '<think>',
  end: str = '</think>',
  window: NonNegativeInt = 512,
  max_switches: NonNegativeInt = 0,
  alpha: UnitFloat = 1.0,
  beta: UnitFloat = 0.7,
  max_tokens: PositiveInt = 32768,
  symbols: bool = True,
  mixtures_first: bool = True,
) -> Switches:
  """Settings for a tokenizer, in which `start` and `end` are one token each;
  without `symbols` no token is always read as a word."""
  spelled = lambda text: tokenizer(text, add_special_tokens=False)['input_ids']
  for name, mark in (('start', start), ('end', end)):
    if len(spelled(mark)) != 1:
      raise ValueError(
        f'switches: {name}={mark!r} is {len(spelled(mark))} tokens: write one '
        'token of this tokenizer, or name it in config.model.new_tokens'
      )
  texts = (*SYMBOLS, *(f'\\{name}' for name in COMMANDS.split())) * symbols
  ids = [token for text in texts for token in spelled(text)]
  words = jnp.zeros(len(embedding_table(model)), bool)
  return Switches(
    *(jnp.int32(spelled(mark)[0]) for mark in (start, end)),
    words=words.at[jnp.array(ids, jnp.int32)].set(True),
    window=jnp.int32(window),
    max_switches=jnp.int32(max_switches),
    alpha=jnp.float32(alpha),
    beta=jnp.float32(beta),
    max_tokens=jnp.float32(max_tokens),
    mixtures_first=jnp.bool_(mixtures_first),
  )


@functools.cache  # one object, so that a jit that takes it compiles once
def swireasoning() -> Feedback:
  """The feedback for a `Policy(model, switches(...))`."""

  def init(batch):
    none = jnp.zeros(batch, jnp.int32)
    return Phase(none, none > 0, none, jnp.zeros(batch), none)

  def select_token(model, phase, out):
    settings = _settings(model)
    over = (settings.max_switches > 0) & out.in_thinking
    over &= phase.switches >= settings.max_switches
    token = jnp.where(over, settings.end, out.token)
    return token.astype(out.token.dtype), ~over

  def step(model, phase, keys, out):
    settings = _settings(model)
    after, to_words, to_mixtures = _advance(settings, phase, out)
    p_mean = soft_mixture(out.logits, embedding_table(model), jnp.float32(1))
    done = jnp.minimum(phase.step / settings.max_tokens, 1)
    share = jnp.where(to_words, settings.beta, settings.alpha)
    share += (1 - share) * done
    share = jnp.where(to_words | to_mixtures, share, 1)[:, None]
    marks = model.embed(jnp.stack([settings.start, settings.end]))
    mark = marks[to_words.astype(jnp.int32)].astype(jnp.float32)
    mixed = share * p_mean + (1 - share) * mark
    # A switch to words is an input of its own: the first word follows it.
    chosen = (after.mixes & ~settings.words[out.token]) | to_words
    chosen &= out.thinking_continues
    return latent_where(chosen, mixed, model, out, after)

  return Feedback(
    init,
    step,
    recorded_latents,
    token_log_prob,
    select_token,
    # A mark in it is not of the distribution.
    mixture_logits=lambda model, phase, out: out.logits,
  )


def _settings(model) -> Switches:
  return parameters(model, 'switches', Switches)


def _advance(settings, phase, out):
  """The state after this step, and the rows that switch in it."""
  entropy, first = token_scores(out.logits, out.token).entropy, phase.step == 0
  mixes = jnp.where(first, settings.mixtures_first, phase.mixes)
  since = jnp.where(first, 0, phase.since + 1)
  to_words = ~first & mixes & (entropy < phase.reference)
  to_mixtures = ~first & ~mixes & (entropy > phase.reference)
  to_mixtures &= since >= settings.window
  turns = to_words | to_mixtures
  after = Phase(
    step=phase.step + 1,
    mixes=(mixes | to_mixtures) & ~to_words,
    since=jnp.where(turns, 0, since),
    reference=jnp.where(first | turns, entropy, phase.reference),
    switches=phase.switches + to_words,
  )
  return after, to_words, to_mixtures
