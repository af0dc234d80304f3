import random

import pytest
from transformers import AddedToken

from hybrid_latent.data import arithmetic
from hybrid_latent.formats.gguf import gguf_tokenizer
from hybrid_latent.formats.pretrained import local_path

SPAN = '<start-latent>', '<latent>', '<end-latent>'


@pytest.fixture(scope='session')
def tokenizer():
  """That of the word problems, with the three tokens of a span."""
  made = arithmetic.tokenizer()
  made.add_tokens(
    [AddedToken(t, special=False, normalized=False) for t in SPAN]
  )
  return made


@pytest.fixture(scope='session')
def smollm2():
  try:
    path = local_path('smollm2-135m')
  except FileNotFoundError as error:
    pytest.skip(str(error))
  made = gguf_tokenizer(path)
  made.add_tokens(
    [AddedToken(t, special=False, normalized=False) for t in SPAN]
  )
  return made


@pytest.fixture
def row():
  return {
    'question': 'Tom has 12 apples.',
    'steps': ['12+7=19', ' 19-5=14', ' 14*2=28'],
    'ending': ' #### 28',
    'answer': '28',
  }


@pytest.fixture
def rng():
  return random.Random(0)
