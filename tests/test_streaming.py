"""A stream is the rollout in pieces."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hybrid_latent import sharding
from hybrid_latent.models.transformer import unstack
from hybrid_latent.ops.sampling import sampling
from hybrid_latent.streaming import _advance, stream
from tests import sharded, tiny
from tests.tiny import FEEDBACKS, GROUP, STEPS, STOPS

KEY = jax.random.key(8)
PROMPT = tiny.prompts()
SETTINGS = {'sampling': sampling(), 'max_steps': STEPS, 'group': GROUP}
STOP = tiny.stop(STOPS)
WHOLE = SETTINGS | {'stop': STOP}


def streamed(policy, name, prompt=PROMPT, stop=STOP, **more):
  args = tiny.asked(prompt, FEEDBACKS[name]), KEY
  policy = policy._replace(model=unstack(policy.model))
  return stream(policy, FEEDBACKS[name], *args, stop=stop, **SETTINGS, **more)


def joined(pieces):
  """Their columns along t, cut to `steps` of the last."""
  ends = np.cumsum([piece.tokens.shape[1] for piece in pieces])
  assert ends.tolist() == [piece.steps for piece in pieces]
  columns = [x._replace(terminated=(), steps=()) for x in pieces]
  join = lambda *x: np.concatenate(x, axis=1)
  return jax.tree.map(join, *columns)._replace(terminated=pieces[-1].terminated)


def assert_same(pieces, out):
  """But for the rounding of floats, as the two are different programs."""
  steps = out.steps.item()
  assert pieces[-1].steps == steps
  cut = lambda x: x[:, :steps] if x.ndim > 1 else x

  def same(x, y):
    assert x.dtype == y.dtype
    np.testing.assert_allclose(
      x, cut(y), rtol=0, atol=1e-5 * (y.dtype.kind == 'f')
    )

  jax.tree.map(same, joined(pieces), out._replace(steps=()))


@pytest.mark.parametrize('name', ['discrete', 'gated', 'switching', 'prefix'])
def test_a_stream_is_the_rollout(name):
  policy = tiny.policy(0, FEEDBACKS[name])
  pieces = [*streamed(policy, name)]
  assert len(pieces) == pieces[-1].steps > 1
  assert_same(
    pieces, tiny.sample(policy, FEEDBACKS[name], PROMPT, KEY, **WHOLE)
  )


def test_longer_pieces_are_the_same_bits():
  fine, coarse = (
    joined([*streamed(tiny.policy(), 'gated', every=every)]) for every in (1, 5)
  )
  jax.tree.map(np.testing.assert_array_equal, fine, coarse)


@pytest.fixture
def compiled():
  """The names of the programs that are compiled."""
  names = []

  def listen(event, seconds, **details):
    if event == '/jax/core/compile/backend_compile_duration':
      names.append(details['fun_name'])

  jax.monitoring.register_event_duration_secs_listener(listen)
  yield names
  jax.monitoring.unregister_event_duration_listener(listen)


def test_one_program_without_a_mesh(compiled):
  policy = tiny.policy()
  [*streamed(policy, 'discrete', tiny.prompts(width=7), slots=23)]
  assert compiled.count('jit(_advance)') == 1


def test_on_a_mesh(compiled):
  policy, prompt = tiny.policy(), tiny.prompts((4, 3, 1, 4))
  out = tiny.sample(policy, FEEDBACKS['gated'], prompt, KEY, **WHOLE)
  mesh = sharded.mesh('data 2, fsdp 2, tensor 2')
  with jax.set_mesh(mesh):
    prompt = sharding.from_host(prompt, mesh)
    pieces = [*streamed(sharded.placed(policy, mesh), 'gated', prompt)]
  assert compiled.count('jit(_advance)') == 1
  assert_same(pieces, out)


def test_rows_that_a_limit_ends_end_the_stream():
  ends = STOP._replace(max_tokens=jnp.int32(4))
  *_, last = streamed(tiny.policy(), 'discrete', stop=ends)
  assert last.steps == 4 and not last.terminated.all()


def test_a_stream_ends_with_its_columns():
  """Where neither a stop token nor `stop.max_tokens` is reached in them."""
  endless, discrete = tiny.stop((), 40), FEEDBACKS['discrete']
  pieces = [*streamed(tiny.policy(), 'discrete', stop=endless, every=5)]
  whole = WHOLE | {'stop': endless}
  out = tiny.sample(tiny.policy(), discrete, PROMPT, KEY, **whole)
  assert_same(pieces, out)


def test_one_program_decodes_prompts_of_all_lengths():
  """With the same result as alone in a smaller cache."""
  policy = tiny.policy()
  run = lambda width, **more: [
    *streamed(policy, 'discrete', tiny.prompts(width=width), **more)
  ]
  first = run(6, slots=24)
  programs = _advance._cache_size()
  second = run(9, slots=24)
  assert _advance._cache_size() == programs
  tokens = lambda pieces: [piece.tokens for piece in pieces]
  np.testing.assert_array_equal(tokens(first), tokens(second))


def test_a_closed_stream_frees_its_arrays():
  policy = tiny.policy()
  next(streamed(policy, 'discrete'))
  before = len(jax.live_arrays())
  pieces = streamed(policy, 'discrete')
  next(pieces)
  assert len(jax.live_arrays()) > before + 4
  pieces.close()
  assert len(jax.live_arrays()) <= before + 4
