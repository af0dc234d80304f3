r"""Decoding speed compared with transformers' generate, and the cost of
latents.

    python -m experiments.benchmarks.decode [--model=M] [--batches=1,8,32]
    python -m experiments.benchmarks.decode --what=feedbacks --batches=8

Prints Markdown tables with one row per batch size. decode: tokens per second,
prefill included (needs torch), and the share of the floor: the time of reading
weights and cache at --bandwidth or of the matmuls at --flops, by default what
this machine reaches with one of each, whichever is longer, over the time
measured. hrpo: the ratio of the times of an HRPO rollout
and of a discrete one with the same sampling. feedbacks: the same for every
feedback, also for the gradient of a policy-gradient loss on its rollout, and
the size of its record. All times are medians over interleaved repetitions in
one process, so that noise affects all of them alike.
"""

from typing import Literal

from hybrid_latent.ranges import PositiveFloat, PositiveInt

from ..fields.accepted import Folder
from ..training import cli
from .options import add_out, add_repeats
from .records import report

Table = Literal['decode', 'hrpo', 'feedbacks']


def _parser() -> cli.Parser:
  parser = cli.Parser('benchmarks.decode', __doc__)
  add, count = parser.add_argument, cli.value(PositiveInt)
  each = lambda kind: cli.value(tuple[kind, ...])
  add(
    '--what',
    type=each(Table),
    default='decode,hrpo',
    help='tables to print: decode, hrpo, feedbacks',
  )
  about = 'preset, .gguf file, folder or name on the hub'
  add('--model', default='smollm2-135m', type=cli.value(Folder), help=about)
  add(
    '--dtypes',
    type=each(Literal['float32', 'bfloat16']),
    default='float32,bfloat16',
    help='of the computation: float32, bfloat16',
  )
  add(
    '--batches', type=each(PositiveInt), default='1,8,32', help='rows per batch'
  )
  add('--prompt', type=count, default=128, help='tokens per prompt')
  add('--tokens', type=count, default=64, help='decoded per row')
  add_repeats(parser)
  add(
    '--bandwidth',
    type=cli.value(PositiveFloat),
    help='bytes/s of the floor, in 1e9; measured by default',
  )
  add(
    '--flops',
    type=cli.value(PositiveFloat),
    help='FLOP/s of the floor, in 1e9; measured by default',
  )
  add(
    '--train',
    choices=('lora', 'all'),
    default='lora',
    help='parameters of the gradient',
  )
  add(
    '--num_latents', type=count, default=4, help='latents per span of switching'
  )
  add_out(parser)
  return parser


if __name__ == '__main__':  # before the imports: --help takes a second
  _parser().parse_args()

import importlib.util
import re
from collections.abc import Callable, Iterator
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from hybrid_latent.feedback.discrete import discrete
from hybrid_latent.feedback.gated import Gate, gated
from hybrid_latent.formats.pretrained import local_path, pretrained
from hybrid_latent.models import lora
from hybrid_latent.models.transformer import TransformerConfig
from hybrid_latent.policy import Policy
from hybrid_latent.rescoring import rescore
from hybrid_latent.trees import combine, partition
from hybrid_latent.types import Feedback, Prompt, PyTree, Trajectory

from ..training.torch_model import torch_model
from .device_models import rollout_program
from .feedbacks import UNTRAINED, feedbacks
from .timing import about, interleaved, peaks

HRPO_SAMPLING = {'temperature': 0.5, 'top_k': 50}
GATE = r'^feedback\.(w_|b_|decay)'  # HRPO's, trained with the model
TRAINED = {'lora': rf'\.lora\.|{GATE}', 'all': rf'^model\.|{GATE}'}


@cli.report_errors()
def main() -> None:
  """Prints the tables of --what."""
  flags = _parser().parse_args()
  machine = about()
  print(f'{flags.model} on {machine["devices"]} x {machine["device"]}: prompt '
        f'{flags.prompt}, then {flags.tokens} tokens per row')  # fmt: skip
  for dtype in flags.dtypes:
    model = pretrained(flags.model, dtype=dtype).model
    for what in flags.what:
      print(f'\n{what}, {dtype}', flush=True)
      rows = TABLES[what](flags, model, dtype)
      where = {'table': what, 'dtype': dtype}
      report(flags, 'benchmarks.decode', (where | row for row in rows), machine)


def decode_table(flags, model, dtype) -> Iterator[dict]:
  """Greedy decoding by ours and by transformers."""
  if not importlib.util.find_spec('torch'):
    print('transformers decodes with torch: pip install torch')
    return
  network = torch_model(local_path(flags.model), dtype)
  read, computed = peaks(dtype)
  flags.bandwidth = flags.bandwidth or read
  flags.flops = flags.flops or computed
  for b in flags.batches:
    ours = timed_rollout(flags, b, Policy(model), discrete(), greedy=True)
    theirs = _transformers(flags, b, network)
    times = interleaved({'ours': ours, 'theirs': theirs}, flags.repeats)
    us, them = (b * flags.tokens / seconds for seconds in times.values())
    share = floor_seconds(flags, model.config, b) / times['ours']
    yield {'batch': b, 'ours, tokens/s': us, 'transformers, tokens/s': them,
           'ratio': us / them, 'share of the floor': share,
           'GB/s': flags.bandwidth, 'GFLOP/s': flags.flops}  # fmt: skip


def hrpo_table(flags, model, dtype) -> Iterator[dict]:
  """HRPO's rollout and a discrete one."""
  gate = Gate(jax.random.key(0), model.config.width)
  for b in flags.batches:
    run = partial(timed_rollout, flags, b, Policy(model, gate), **HRPO_SAMPLING)
    runs = {'discrete': run(discrete()), 'hrpo': run(gated())}
    plain, latent = interleaved(runs, flags.repeats).values()
    yield {'batch': b, 'discrete, s': plain, 'HRPO, s': latent,
           'ratio': latent / plain}  # fmt: skip


def feedbacks_table(flags, model, dtype) -> Iterator[dict]:
  """Rollout and gradient of every feedback, relative to the discrete one."""
  if flags.train == 'lora':
    model = lora.add(model, jax.random.key(1), rank=32, alpha=64.0)
  for b in flags.batches:
    sample = partial(timed_rollout, flags, b, **HRPO_SAMPLING)
    runs = {'discrete': sample(Policy(model), discrete())}
    latents, sizes = {}, {}
    # A frequent token begins the spans of switching, so that there are some.
    frequent = int(jnp.bincount(runs['discrete']().tokens.ravel()).argmax())
    for name, (feedback, owned) in feedbacks(
      model, frequent, flags.num_latents
    ).items():
      policy = Policy(model, owned)
      out = runs.setdefault(name, sample(policy, feedback))()
      if name not in UNTRAINED:
        runs[f'{name}, gradient'] = gradient(flags, policy, feedback, out)
      latents[name] = float(jnp.mean(out.latent_share > 0))
      record = sum(x.nbytes for x in jax.tree.leaves(out.record))
      sizes[name] = record // out.tokens.size
    times = interleaved(runs, flags.repeats)
    for name in sizes:
      row = {'batch': b, 'feedback': name}
      for what, of in (('rollout', ''), ('gradient', ', gradient')):
        mine, plain = times.get(name + of), times[f'discrete{of}']
        row[f'{what}, s'] = mine or '–'
        row[f'{what} ratio'] = mine / plain if mine else '–'
      yield row | {'latent inputs': latents[name],
                   'record, bytes/token': sizes[name]}  # fmt: skip


def floor_seconds(flags, config: TransformerConfig, batch: int) -> float:
  """The least time of the rollout: one pass over the prompts, then one per
  token over the weights, the head included, and the filled cache."""
  c, itemsize = config, jnp.dtype(config.dtype).itemsize
  heads = 2 * (c.heads + c.kv_heads) * c.head_dim
  layers = c.layers * c.width * (heads + 3 * c.mlp)
  attended = 4 * c.heads * c.head_dim

  def seconds(weights, tokens, slots, products):
    read = weights * itemsize + batch * slots * c.token_cache_bytes
    flops = 2 * weights * tokens + c.layers * attended * products
    return max(read / flags.bandwidth, flops / flags.flops) / 1e9

  p = flags.prompt
  total = seconds(layers, batch * p, p, batch * p * p / 2)
  for slots in range(p, p + flags.tokens):
    total += seconds(layers + c.vocab * c.width, batch, slots, batch * slots)
  return total


TABLES = {
  'decode': decode_table,
  'hrpo': hrpo_table,
  'feedbacks': feedbacks_table,
}


def timed_rollout(
  flags, batch: int, policy: Policy, feedback: Feedback, **sampling_params
) -> Callable[[], Trajectory]:
  """A function that runs a rollout in which no row ends."""
  run, arguments = rollout_program(
    policy, feedback, _prompt(flags, batch), flags.tokens, **sampling_params
  )
  return lambda: jax.block_until_ready(run(*arguments))


def gradient(
  flags, policy: Policy, feedback: Feedback, trajectory: Trajectory
) -> Callable[[], PyTree]:
  """A function that computes the REINFORCE loss of a trajectory and its
  gradient; advantages alternate between 1 and -1."""
  pattern, batch = TRAINED[flags.train], len(trajectory.tokens)
  is_trained = lambda name: bool(re.search(pattern, name))
  advantages = jnp.where(jnp.arange(batch) % 2, 1.0, -1.0)[:, None]

  @jax.jit
  def run(trained, frozen, prompt, trajectory):
    def loss(trained):
      policy = combine(trained, frozen)
      scores = rescore(policy, feedback, prompt, trajectory)
      return -jnp.mean(advantages * scores.log_probs)

    return jax.value_and_grad(loss)(trained)

  rest = _prompt(flags, batch), trajectory
  halves = partition(policy, is_trained)
  return lambda: jax.block_until_ready(run(*halves, *rest))


def _transformers(flags, batch, network):
  import torch

  data = torch.tensor(_tokens(flags, batch)).long()

  @torch.inference_mode()
  def run():
    return network.generate(  # pyright: ignore
      data,
      attention_mask=torch.ones_like(data),
      max_new_tokens=flags.tokens,
      min_new_tokens=flags.tokens,
      do_sample=False,
      pad_token_id=0,
    )

  return run


def _prompt(flags, batch) -> Prompt:
  tokens = jnp.asarray(_tokens(flags, batch))
  return Prompt(tokens, jnp.ones(tokens.shape, bool), jnp.arange(batch))


def _tokens(flags, batch) -> np.ndarray:
  shape = batch, flags.prompt
  return np.random.default_rng(0).integers(
    100, 300, shape
  )  # all models have these


if __name__ == '__main__':
  main()
