import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array, Float, TypeCheckError, jaxtyped

from hybrid_latent.feedback.discrete import discrete
from hybrid_latent.objectives.accumulators import RunningMean
from hybrid_latent.objectives.base import token_mean
from hybrid_latent.ops.prefix import prompt_mode
from hybrid_latent.types import Prompt
from latent_kernels import soft_embedding
from tests.typechecker import checked

PROMPT = Prompt(jnp.zeros((2, 3), int), jnp.ones((2, 3), bool), jnp.arange(2))


@pytest.fixture(autouse=True)
def _checked(request):
  if not request.config.getoption('--shapes'):
    pytest.skip('needs --shapes')


def test_a_letter_is_one_size_over_a_call():
  mask = jnp.ones((2, 4), bool)
  with pytest.raises(TypeCheckError, match="parameter 'mask'"):
    token_mean(jnp.zeros((2, 3)), mask)
  with pytest.raises(TypeCheckError, match="parameter 'table'"):
    soft_embedding(jnp.zeros((2, 5)), jnp.zeros((6, 4)))
  assert token_mean(jnp.zeros((2, 4)), mask).count == 8


def test_a_dtype_is_no_other():
  with pytest.raises(TypeCheckError, match="parameter 'mask'"):
    token_mean(jnp.zeros((2, 3)), jnp.ones((2, 3)))


@pytest.mark.parametrize(
  'wrong', [{'mask': jnp.ones((2, 4), bool)}, {'ids': jnp.ones(2)}]
)
def test_so_are_the_fields_of_a_record(wrong):
  with pytest.raises(TypeCheckError, match="parameter 'prompt'"):
    prompt_mode(discrete(), PROMPT._replace(**wrong))


def test_a_record_may_hold_arrays_of_numpy():
  assert not prompt_mode(discrete(), Prompt(*map(np.asarray, PROMPT[:3]))).any()


def test_results_are_checked():
  @jaxtyped(typechecker=checked)
  def halves(x: Float[Array, 'b']) -> tuple[RunningMean, int]:
    return RunningMean(x.sum(), x), 0

  with pytest.raises(TypeCheckError, match='the return value'):
    halves(jnp.zeros(3))
