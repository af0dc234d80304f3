"""Time and memory of each form, from hidden states and a tied table; the last
returns the logits, too."""

import argparse
import functools
import statistics
import time

import jax
import jax.numpy as jnp

from latent_kernels import (
  soft_embedding,
  soft_embedding_from_hidden,
  vocabulary_attention,
)


def main():
  """Prints a row per implementation that runs on this machine."""
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument('--tokens', type=int, default=8)
  parser.add_argument('--vocab', type=int, default=49152)
  parser.add_argument('--width', type=int, default=576)
  parser.add_argument('--dtype', default='float32')
  flags = parser.parse_args()
  rows = (flags.tokens, flags.width), (flags.vocab, flags.width)
  inputs = [jax.random.normal(jax.random.key(0), x, flags.dtype) for x in rows]
  names = ['reference', 'xla', 'pallas'][: 2 + (jax.default_backend() == 'tpu')]
  forms = [(name, functools.partial(_from_logits, name)) for name in names]
  print('| form | forward ms | MiB | with gradient ms | MiB |')
  print('|---' * 5 + '|')
  for name, form in [*forms, ('from_hidden', _from_hidden)]:
    gradient = jax.grad(lambda *x, f=form: sum(map(jnp.sum, f(*x))), (0, 1))
    cells = *_cost(form, inputs), *_cost(gradient, inputs)
    print(f'| {name} |' + ''.join(f' {cell:.1f} |' for cell in cells))
  cells = _cost(vocabulary_attention, inputs)
  print(
    '| vocabulary |' + ''.join(f' {cell:.1f} |' for cell in cells) + ' – | – |'
  )


def _from_logits(implementation, hidden, table):
  logits = jnp.dot(hidden, table.T, preferred_element_type=jnp.float32)
  return soft_embedding(logits, table, implementation=implementation)


def _from_hidden(hidden, table):
  return soft_embedding_from_hidden(hidden, table, table)


def _cost(f, inputs):
  """Median milliseconds of seven calls, and MiB of temporaries."""
  program = jax.jit(f).lower(*inputs).compile()
  seconds = []
  for _ in range(8):  # the first warms up
    start = time.perf_counter()
    jax.block_until_ready(program(*inputs))
    seconds.append(time.perf_counter() - start)
  memory = program.memory_analysis()
  mib = memory.temp_size_in_bytes / 2**20 if memory else float('nan')
  return 1e3 * statistics.median(seconds[1:]), mib


if __name__ == '__main__':
  main()
