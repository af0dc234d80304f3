"""An exported rollout samples as the jitted one."""

from functools import partial

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest

import hybrid_latent as hl
from hybrid_latent.exported import PLATFORMS, exported_rollout
from hybrid_latent.models.transformer import unstack
from hybrid_latent.policy import Policy
from hybrid_latent.trees import named_leaves
from tests import tiny

pytest.importorskip('flatbuffers')
SIZES = {'max_steps': 8, 'group': 2}


@pytest.mark.parametrize(
  ('name', 'lengths'),
  [
    ('discrete', (6,)),
    ('gated', (4, 6)),
    ('prefix', (1, 2, 3, 4)),
    ('switching', (5, 5)),
  ],
)
def test_any_number_of_prompts_and_other_settings(name, lengths):
  feedback = tiny.FEEDBACKS[name]
  policy = tiny.policy(0, feedback)
  policy = Policy(unstack(policy.model), policy.feedback)
  made = exported_rollout(
    policy,
    feedback,
    sampling=hl.sampling(),
    stop=tiny.stop(tiny.STOPS, 8),
    prompt_length=6,
    **SIZES,
  )
  assert made.program.platforms == PLATFORMS
  program = jax.export.deserialize(made.program.serialize())
  settings = {
    'sampling': hl.sampling(temperature=0.7, top_k=9),
    'stop': tiny.stop(tiny.STOPS[::-1], 7),
  }
  prompt, key = tiny.prompts(lengths, width=6), jax.random.key(3)
  quick = partial(jax.jit, compiler_options=tiny.QUICK)
  out = quick(program.call)(
    made.arrays | named_leaves(settings),
    *prompt[:3],
    jax.random.key_data(key),
  )
  ours = quick(partial(hl.rollout, feedback=feedback, **SIZES))(
    policy, prompt=prompt, key=key, **settings
  )
  assert ours.mask.sum() > len(ours.mask)
  expected = named_leaves(ours)
  assert out.keys() == expected.keys()
  for field, x in expected.items():
    if jnp.issubdtype(x.dtype, jnp.inexact):
      np.testing.assert_allclose(out[field], x, 1e-5, 1e-5, err_msg=field)
    else:
      np.testing.assert_array_equal(out[field], x, field)
