"""What completions amount to, and tables that cannot be."""

import json
import re

import numpy as np
import pytest

from experiments import evaluate
from experiments.training.evaluation import (
  Evaluation,
  forced_rows,
  table_metrics,
)
from hybrid_latent.types import StoppingRule, Trajectory
from tests.experiments import ways_tiny


@pytest.fixture(scope='module')
def config(model_folder):
  config = ways_tiny.get_config(str(model_folder))
  config.mesh.update(fsdp=2, tensor=2)
  config.evaluate.reasoners = ('some=folder',)
  return config


def test_what_follows_a_thinking_that_ended_is_not_forced():
  """Rows of 8 tokens: x drawn, f forced, after t tokens of thinking."""
  closing = np.array([[7, 7, -1], [7, 8, 9], [9, -1, -1]])
  stop = StoppingRule(*[None] * len(StoppingRule._fields))._replace(
    forced_tokens=closing
  )
  every = Trajectory(*[None] * len(Trajectory._fields))

  def told(thinking, text, thinks):
    t = np.arange(8)
    out = every._replace(
      mask=np.array([[x != ' ' for x in text]]),
      policy_mask=np.array([[x == 'x' for x in text]]),
      thinking_mask=(t < thinking)[None],
    )
    return forced_rows(out, stop, thinks).tolist()

  assert told(2, 'xxxffxx ', True) == [False]  # the delimiter, then its text
  assert told(2, 'xxfffxx ', True) == [True]  # cut
  assert told(2, 'xxxffxfx', True) == [True]  # late
  assert told(4, 'xfxxxff ', True) == [False]  # a feedback's own, in a thinking
  assert told(8, 'xxxxxxxx', True) == [False]
  assert told(0, 'ffxxxx  ', False) == [False]
  assert told(0, 'ffxxfx  ', False) == [True]


def test_those_that_cannot_be_graded_count_nowhere():
  right = np.array([[1, 0], [np.nan, 1], [np.nan, np.nan], [0, 0]])
  asked = np.array([True, False] * 4)
  found = table_metrics(Evaluation(np.array([4, 9] * 4), asked, right, 2.0, 3))
  assert found == pytest.approx(
    {
      'prompts': 4,
      'too_long': 3,
      'judged': 5,
      'ungraded': 3,
      'of_all': 2 / 14,
      'pass@2': (1 + 0) / 2,
      'accuracy': 0.5,
      'standard_error': 0.5 / 3**0.5,
      'tokens': 6.5,
      'forced': 0.5,
      'seconds': 0.25,
      'tokens_per_second': 26.0,
    }
  )
  assert isinstance(found['prompts'], int)
  json.dumps(found)
  with pytest.raises(ValueError, match='could not grade a single completion'):
    table_metrics(Evaluation(np.array([4]), asked[:1], right[2:3, :1], 2.0, 0))


WRONG = [
  ({'eval.num_prompts': 0}, 'config.eval.num_prompts=0: write the num'),
  (
    {'evaluate.modes': ('loud',)},
    "config.evaluate.modes is ('loud',): write a tuple of values, each "
    "'chain_of_thought', 'no_thinking' or 'latent'",
  ),
  (
    {'evaluate.modes': ('latent',), 'evaluate.reasoners': ()},
    "config.evaluate: modes=('latent',), reasoners=()",
  ),
  ({'evaluate.budgets': ()}, 'budgets=(): write a mode and a budget'),
  (
    {'evaluate.budgets': (8, 4)},
    'budgets=(8, 4), config.evaluate.answer_reserve=4: write budgets above a',
  ),
  (
    {'rollout.forced_text.no_thinking': ''},
    "config.rollout.forced_text.no_thinking='': write the text",
  ),
  (
    {'evaluate.reasoners': ('a=b', 'a=c')},
    "config.evaluate.reasoners has 'a=c': write NAME=FOLDER, with a name that "
    "is not one of ['base', 'a']",
  ),
  (
    {'evaluate.models': ('folder',)},
    "config.evaluate.models has 'folder': write NAME=FOLDER",
  ),
  (
    {'feedback.function': 'discrete:discrete', 'eval.num_generations': 1},
    "config.feedback.function='discrete:discrete': write a feedback",
  ),
]


@pytest.mark.parametrize(('fields', 'message'), WRONG)
def test_a_config_that_cannot_be(fields, message, config, tmp_path):
  config = config.copy_and_resolve_references()
  with config.unlocked():
    config.update_from_flattened_dict(fields)
  with pytest.raises(ValueError, match=re.escape(message)):
    evaluate.evaluate(config, str(tmp_path))
  assert not [*tmp_path.iterdir()]


def test_prompts_that_are_all_too_long(config, tmp_path):
  config = config.copy_and_resolve_references()
  config.rollout.max_prompt_length = 3
  message = r'max_prompt_length is 3, and each of the \d+ prompts is longer'
  with pytest.raises(ValueError, match=message):
    evaluate.evaluate(config, str(tmp_path))
