"""Decoding by the book: for every token the whole text again, no cache."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from tests.tiny import GROUP, QUICK, STEPS


def unrolled(policy, prompt, out, feed):
  """Hidden states [b t d] and logits [b t v], float64, from which the tokens of
  `out` were chosen; 0 after the end of a row.

  What stands after token t of row i is feed(i, t, hidden, logits), given what
  that token was chosen from, or where this is None the token's embedding.
  """
  b, t = out.mask.shape
  d, v = policy.table.shape[::-1]
  hidden, logits = np.zeros((b, t, d)), np.zeros((b, t, v))
  for i, n in enumerate(np.asarray(out.lengths)):
    tokens = prompt.tokens[i // GROUP][prompt.mask[i // GROUP]]
    at = len(tokens)
    x = np.zeros((1, prompt.tokens.shape[1] + STEPS, d), np.float32)
    x[0, :at] = policy.embed(jnp.asarray(tokens))
    for j in range(n):
      hidden[i, j], logits[i, j] = last_state(policy, x, at + j)
      fed = feed(i, j, hidden[i, j], logits[i, j])
      token = jnp.asarray(out.tokens[i, j])
      x[0, at + j] = policy.embed(token) if fed is None else fed
  return hidden, logits


@partial(jax.jit, compiler_options=QUICK)
def last_state(policy, x, n):
  """Of the first n inputs of x [1 s d]: the others are in the future."""
  at = jnp.arange(x.shape[1])[None]
  past = (at[:, :, None] >= at[:, None]) & (at[:, None] < n)
  past |= jnp.eye(x.shape[1], dtype=bool)[None]
  hidden = policy.forward(x, None, at, past)[0][0, n - 1]
  return hidden, policy.unembed(hidden)
