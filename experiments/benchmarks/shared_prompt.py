r"""The cost of an update that computes each prompt once per group, and of
decoding whose cache has it once per group, beside once per completion.

    python -m experiments.benchmarks.shared_prompt [--model=M] [--prompt=128]
      [--what=decode]

Measures the time (medians over interleaved repetitions) and the compiler's
temporaries of the gradient of the mean log-prob for all parameters, with the
FLOPs of its matmuls, or of decoding after the prefill.
"""

from hybrid_latent.ranges import PositiveInt

from ..training import cli
from .options import add_model_options, add_out, add_repeats
from .records import report


def _parser() -> cli.Parser:
  parser = cli.Parser('benchmarks.shared_prompt', __doc__)
  add, count = parser.add_argument, cli.value(PositiveInt)
  add_model_options(parser)
  add('--what', choices=('update', 'decode'), default='update',
      help='what is measured')  # fmt: skip
  add('--prompts', type=count, default=2, help='prompts per batch')
  add('--group', type=count, default=4, help='completions per prompt')
  add('--prompt', type=count, default=128, help='tokens per prompt')
  add('--tokens', type=count, default=32, help='tokens per completion')
  add_repeats(parser)
  add_out(parser)
  return parser


if __name__ == '__main__':  # before the imports: --help takes a second
  _parser().parse_args()

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hybrid_latent.decoding import decode
from hybrid_latent.feedback.discrete import discrete
from hybrid_latent.formats.pretrained import pretrained
from hybrid_latent.models.transformer import Transformer, unstack
from hybrid_latent.ops.sampling import sampling
from hybrid_latent.ops.thinking import stopping_rule
from hybrid_latent.prompt_cache import prefill
from hybrid_latent.rescoring import rescore
from hybrid_latent.types import Prompt, Trajectory

from ..aot.compiled import program_cost
from .timing import about, compiled, interleaved


@cli.report_errors()
def main() -> None:
  """The command; see the top of this file."""
  flags = _parser().parse_args()
  model = pretrained(flags.model, dtype=flags.dtype, remat=flags.remat).model
  prompt, completions = texts(flags)
  measure = update if flags.what == 'update' else decoding
  table = measure(flags, model, prompt, completions)
  print(
    f'{flags.model}, {flags.dtype}: {flags.prompts} prompts of {flags.prompt} '
    f'tokens, {flags.group} completions of {flags.tokens} each'
  )
  report(flags, 'benchmarks.shared_prompt', table, about())


def update(
  flags: Any, model: Any, prompt: Prompt, completions: Trajectory
) -> list[dict]:
  """The rows of the table of the gradient."""
  copies = jax.tree.map(lambda x: jnp.repeat(x, flags.group, axis=0), prompt)
  programs = compiled(
    {
      'completion': (gradient, (model, copies, completions)),
      'group': (gradient, (model, prompt, completions)),
    }
  )
  times = interleaved(programs, flags.repeats)
  table = []
  for name, program in programs.items():
    prompts = program.arguments[1].tokens.size
    table.append(
      {
        'prompt computed once per': name,
        'positions': prompts + completions.tokens.size,
        'passes over a prompt': prompts // prompt.tokens.size,
        'matmuls, GFLOP': program_cost(program.compiled.as_text()).flops / 1e9,
        'gradient, s': times[name],
        'time ratio': times[name] / times['completion'],
        'temporaries, MiB': program.facts['temp_bytes'] / 2**20,
      }
    )
  return table


class Foreign(NamedTuple):
  """The model as of another project: each completion has a copy."""

  model: Transformer

  embed = property(lambda self: self.model.embed)
  forward = property(lambda self: self.model.forward)
  unembed = property(lambda self: self.model.unembed)
  init_cache = property(lambda self: self.model.init_cache)


def decoding(
  flags: Any, model: Any, prompt: Prompt, completions: Trajectory
) -> list[dict]:
  """The rows of the table of decoding."""
  model, config = jax.jit(unstack)(model), model.config
  ready = jax.jit(partial(prefill, feedback=discrete()))(model, prompt)
  stop = stopping_rule([], max_tokens=flags.tokens)

  @jax.jit
  def run(model, prompt, ready, key, sampling, stop):
    sizes = {'max_steps': flags.tokens, 'group': flags.group}
    return decode(model, discrete(), prompt, ready, key, sampling=sampling,
                  stop=stop, **sizes)  # fmt: skip

  given = prompt, ready, jax.random.key(0), sampling(), stop
  programs = compiled(
    {
      'completion': (run, (Foreign(model), *given)),
      'group': (run, (model, *given)),
    }
  )
  times = interleaved(programs, flags.repeats)
  u, (b, t) = flags.prompts, completions.tokens.shape
  slots = {
    'completion': b * (flags.prompt + t),
    'group': u * flags.prompt + b * t,
  }
  tokens = {name: program().tokens for name, program in programs.items()}
  return [
    {
      'prompt in the cache once per': name,
      'cache, MiB': slots[name] * config.token_cache_bytes / 2**20,
      'temporaries, MiB': program.facts['temp_bytes'] / 2**20,
      'decoding, s': times[name],
      'time ratio': times[name] / times['completion'],
      'tokens of copies': float((tokens[name] == tokens['completion']).mean()),
    }
    for name, program in programs.items()
  ]


def texts(flags: Any) -> tuple[Prompt, Trajectory]:
  """Prompts and completions of random tokens."""
  rng, u = np.random.default_rng(0), flags.prompts
  tokens = lambda *shape: jnp.asarray(rng.integers(100, 300, shape))
  prompt = tokens(u, flags.prompt)
  completions = tokens(u * flags.group, flags.tokens)
  unset: Any = dict.fromkeys(Trajectory._fields)
  given = dict(tokens=completions, mask=completions > 0, record=())
  return (
    Prompt(prompt, prompt > 0, jnp.arange(u)), Trajectory(**unset | given)
  )  # fmt: skip


@jax.jit
def gradient(model: Any, prompt: Prompt, completions: Trajectory) -> Any:
  """The gradient of the mean log-prob."""

  def loss(model):
    return -rescore(model, discrete(), prompt, completions).log_probs.mean()

  return jax.grad(loss)(model)


if __name__ == '__main__':
  main()
