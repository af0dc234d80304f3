"""What the trainer refuses before it has computed anything."""

import pytest

from experiments import grpo
from tests.experiments import rl_tiny


@pytest.mark.parametrize(
  ('changes', 'told'),
  [
    (
      {'num_iterations': 2},
      'num_iterations=2, .*: write num_iterations=1 .*functions of the weights',
    ),
    (
      {'rollout.num_generations': 1},
      'config.rollout.num_generations=1.*at least 2',
    ),
    (
      {'feedback.function': 'gate:gated'},
      "'gate:gated': no module .*has .*'discrete', 'gated'",
    ),
    (
      {'feedback.init': 'gated:Gat'},
      "'gated:Gat': hybrid_latent.feedback.gated has .*'Gate', 'gate', 'gated'",
    ),
    (
      {'objective.function': 'policy_gradient:grpo'},
      "'policy_gradient:grpo': .* has .'policy_gradient'.",
    ),
    ({'data.function': 'arithmetic'}, "'arithmetic': write 'module:function'"),
    (
      {'data.train_split': 'dev'},
      "split='dev': accepted are 'train' and 'test'",
    ),
    (
      {'optimizer.groups.gate.pattern': 'wrong'},
      "optimizer group 'gate': pattern 'wrong' is found in no parameter",
    ),
    (
      {'optimizer.groups.gate.pattern': '^feedback'},
      r"parameter 'feedback.decay' is in .*\['decay', 'gate'\]",
    ),
    ({'optimizer.schedule': 'linear'}, "write 'constant' or 'cosine'"),
    (
      {'rollout.prompts_per_step': 17},
      '17 prompts on each of 1 hosts, and only 16 of',
    ),
    ({'mesh.tensor': 3}, 'mesh .* does not match the 8 devices'),
    (
      {'rewards.digits.function': 'hybrid_latent.rewards.hrpo:gsm9k'},
      "gsm9k.*'gsm8k'",
    ),
    (
      {'rollout.max_prompt_length': 3},
      'max_prompt_length is 3, and each of the 16 prompts is longer: write ',
    ),
    (
      {'model.source': 'nowhere'},
      r'model\.source: .* exist: accepted is a',
    ),
  ],
)
def test_a_mistake_is_explained(changes, told, model_folder, tmp_path):
  config = rl_tiny.get_config(f'{model_folder},hrpo')
  config.update_from_flattened_dict(changes)
  with pytest.raises((ValueError, FileNotFoundError), match=told):
    grpo.train(config, str(tmp_path))
  assert not (tmp_path / 'metrics.jsonl').exists()


def test_a_reward_that_cannot_be_called_ends_the_run(model_folder, tmp_path):
  """Before anything is loaded."""
  config = rl_tiny.get_config(f'{model_folder},hrpo')
  config.rewards.digits.function = 'tests.faults.bad_rewards:no_columns'
  told = r"'tests\.faults\.bad_rewards:no_columns', .* write def reward\("
  with pytest.raises(ValueError, match=told):
    grpo.train(config, str(tmp_path))
  assert not [*tmp_path.iterdir()]
