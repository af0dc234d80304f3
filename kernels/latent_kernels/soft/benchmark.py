"""Time and memory of each form: `python -m latent_kernels.soft.benchmark`.

From hidden states, with one table as both head and embedding, as Markdown.
"""

import argparse
import functools
import statistics
import time

import jax
import jax.numpy as jnp

from latent_kernels import soft_embedding, soft_embedding_from_hidden


def main():
  """Prints a row for every form that runs on this machine."""
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument('--tokens', type=int, default=8)
  parser.add_argument('--vocab', type=int, default=49152)
  parser.add_argument('--width', type=int, default=576)
  parser.add_argument('--dtype', default='float32')
  parser.add_argument('--repeats', type=int, default=7)
  flags = parser.parse_args()
  rows = (flags.tokens, flags.width), (flags.vocab, flags.width)
  inputs = [jax.random.normal(jax.random.key(0), x, flags.dtype) for x in rows]
  names = ['reference', 'xla', 'pallas'][: 2 + (jax.default_backend() == 'tpu')]
  forms = {name: functools.partial(_from_logits, name) for name in names}
  forms['from_hidden'] = lambda h, w: soft_embedding_from_hidden(h, w, w)
  print(
    '| form | forward ms | MiB | with gradient ms | MiB |\n' + 5 * '|---' + '|'
  )
  for name, form in forms.items():
    gradient = jax.grad(lambda *x, f=form: sum(map(jnp.sum, f(*x))), (0, 1))
    cells = *_cost(form, inputs, flags), *_cost(gradient, inputs, flags)
    print(f'| {name} |' + ''.join(f' {cell:.0f} |' for cell in cells))


def _from_logits(implementation, hidden, table):
  logits = jnp.dot(hidden, table.T, preferred_element_type=jnp.float32)
  return soft_embedding(logits, table, implementation=implementation)


def _cost(f, inputs, flags):
  """Median milliseconds of a call, and MiB of temporaries."""
  program = jax.jit(f).lower(*inputs).compile()
  seconds = []
  for _ in range(flags.repeats + 1):  # the first warms up
    start = time.perf_counter()
    jax.block_until_ready(program(*inputs))
    seconds.append(time.perf_counter() - start)
  memory = program.memory_analysis().temp_size_in_bytes
  return 1e3 * statistics.median(seconds[1:]), memory / 2**20


if __name__ == '__main__':
  main()
