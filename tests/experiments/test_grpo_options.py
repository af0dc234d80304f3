"""What a config can ask of the trainer beside one update on what it sampled."""

from collections import Counter

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.training import rollouts, sampler
from experiments.training.rollout_files import StoredBatches
from hybrid_latent import metrics, sharding
from hybrid_latent.formats.pretrained import pretrained
from tests.experiments import rl_tiny
from tests.experiments.runs import arrays, column, lines, saved, trained


def tiny(model_folder, method='grpo', **changes):
  config = rl_tiny.get_config(f'{model_folder},{method}')
  config.max_steps = 2
  config.update_from_flattened_dict(changes)
  return config


@pytest.fixture(scope='module')
def dumped(model_folder, tmp_path_factory):
  """Two steps of HRPO, whose rollouts are written down."""
  config = tiny(model_folder, 'hrpo', dump_every=1)
  return trained(config, tmp_path_factory.mktemp('dumped'))


def test_rollouts_can_be_trained_on_without_sampling(
  dumped, model_folder, tmp_path
):
  source = str(dumped.folder / 'rollouts')
  run = trained(
    tiny(model_folder, 'hrpo', **{'rollout.rollout_dir': source}), tmp_path
  )
  for name in ('loss', 'kl', 'grad_norm', 'reward', 'num_tokens'):
    np.testing.assert_array_equal(column(run, name), column(dumped, name))
  ours, theirs = saved(run.folder, 2), saved(dumped.folder, 2)
  for name, x in theirs.items():
    np.testing.assert_array_equal(ours[name], x)
  assert 'jit(decode)' not in {name for _, name in run.compiled}


def test_a_folder_without_rollouts_is_refused(model_folder, tmp_path):
  config = tiny(model_folder, **{'rollout.rollout_dir': str(tmp_path)})
  with pytest.raises(
    FileNotFoundError, match=r'rollout\.rollout_dir: .* has no'
  ):
    trained(config, tmp_path / 'run')


@pytest.mark.slow
def test_a_rollout_can_be_cut_into_updates(model_folder, tmp_path):
  """Every update counts for the schedule, and only the first is on-policy:
  else no ratio would reach the narrow clip."""
  config = tiny(model_folder, num_iterations=2, num_mini_batches=2)
  config.objective.kwargs.clip_range = (1e-4, 1e-4)
  run = trained(config, tmp_path)
  counts = {x.item() for n, x in saved(tmp_path, 2).items() if 'count' in n}
  assert counts == {2 * 2 * 2}
  assert (column(run, 'clip_ratio/region_mean') > 0.05).all()


@pytest.mark.slow
def test_the_reference_can_follow(model_folder, tmp_path):
  """Moved all the way in every step, it is the policy that sampled."""
  changes = {
    'reference.sync_steps': 1,
    'reference.mixup_alpha': 1.0,
    'max_steps': 3,
  }
  config = tiny(model_folder, **changes)
  run = trained(config, tmp_path)
  assert (column(run, 'grad_norm') > 0).all()
  assert (column(run, 'kl') < 1e-9).all()
  state = saved(tmp_path, 3)
  policy = {n[2:]: x for n, x in state.items() if n.startswith('0.')}
  for name, x in policy.items():
    np.testing.assert_array_equal(state[f'2.{name}'], x)


def test_ppo_trains_a_critic(dumped, model_folder, tmp_path):
  """On the same two batches again and again, whatever the model reads."""
  source = str(dumped.folder / 'rollouts')
  changes = {
    'critic.enabled': True,
    'max_steps': 5,
    'rollout.rollout_dir': source,
  }
  config = tiny(model_folder, 'hrpo', **changes).unlock()
  config.advantage = dict(function='gae:gae', kwargs={})
  config.reward_kl.beta = 0.05
  config.objective.kwargs = dict(value_coef=1.0, value_clip=None)
  config.optimizer.groups.lora.pattern = r'^model\..*\.lora\.'
  config.optimizer.groups.critic = dict(
    pattern=r'^critic\.(.*\.lora\.|value_head)', lr=1e-2, weight_decay=0.0
  )
  run = trained(config, tmp_path)
  loss = column(run, 'value_loss')
  assert loss[4] < 0.7 * loss[0]
  before = {n: x for n, x in run.before.items() if n.startswith('critic.')}
  state = saved(tmp_path, 5)
  trained_parts = {n for n in before if f'0.{n}' in state}
  assert 'critic.value_head' in trained_parts
  assert not [
    n for n in trained_parts if np.array_equal(before[n], state[f'0.{n}'])
  ]


@pytest.mark.slow
def test_prompts_whose_completions_are_alike_are_replaced(
  model_folder, tmp_path
):
  changes = {
    'data.kwargs.count': 64,
    'rewards.digits.function': 'tests.experiments.rewards:some_digits',
  }
  once = trained(tiny(model_folder, **changes), tmp_path / 'once')
  assert (column(once, 'frac_reward_zero_std') > 0).any()
  changes |= {'rollout.dynamic_sampling_max_batches': 16}
  again = trained(tiny(model_folder, **changes), tmp_path / 'again')
  assert (column(again, 'frac_reward_zero_std') == 0).all()
  assert (column(again, 'reward') > column(once, 'reward')).any()
  shown = lines(tmp_path / 'again' / 'completions.jsonl')
  assert all(row['prompt'].startswith(tuple('TB')) for row in shown)


@pytest.mark.slow
def test_a_prompt_that_comes_again_in_a_step_is_sampled_anew(
  model_folder, tmp_path
):
  changes = {
    'data.kwargs.count': 2,
    'rewards.digits.function': 'tests.experiments.rewards:a_digit',
    'rollout.max_completion_length': 2,
  }
  once = trained(tiny(model_folder, **changes), tmp_path / 'once')
  assert (column(once, 'frac_reward_zero_std') > 0).any()
  changes |= {'rollout.dynamic_sampling_max_batches': 32}
  again = trained(tiny(model_folder, **changes), tmp_path / 'again')
  assert (column(again, 'frac_reward_zero_std') == 0).all()


@pytest.mark.slow
def test_an_evaluation_may_think_longer(model_folder, tmp_path):
  """Or shorter: here one token, then the answer."""
  config = tiny(model_folder, 'hrpo', **{'eval.max_thinking_tokens': 1})
  config.eval.num_prompts, config.max_steps = 4, 1
  run = trained(config, tmp_path)
  assert run.evaluations[0]['eval/latent_tokens'] <= 1
  assert column(run, 'latent_tokens')[0] > 1


@pytest.mark.slow
def test_truncated_completions_can_be_left_out(model_folder, tmp_path):
  """Nothing ends in one token: nothing is learned, and nothing is NaN."""
  changes = {'rollout.mask_truncated': True, 'rollout.max_completion_length': 1}
  run = trained(tiny(model_folder, **changes), tmp_path)
  assert (column(run, 'completions/clipped_ratio') > 0).any()
  cut = column(run, 'completions/clipped_ratio') == 1
  assert (column(run, 'loss')[cut] == 0).all()


@pytest.mark.slow
def test_a_run_can_end_with_a_model_folder(model_folder, tmp_path):
  config = tiny(model_folder, export=True, max_steps=1)
  config.objective.kwargs.beta = 0.0
  run = trained(config, tmp_path)
  ported = pretrained(tmp_path / 'model')
  assert ported.tokenizer.get_vocab() == run.actor.tokenizer.get_vocab()
  assert (
    ported.generation['eos_token_id'] == run.actor.generation['eos_token_id']
  )
  after, state = arrays(ported.model), saved(tmp_path, 1)
  a, b = (state[f'0.model.layers.q.lora.{x}'] for x in 'ab')
  expected = run.before['model.layers.q.weight'] + 2 * np.einsum(
    'lor,lri->loi', b, a
  )
  np.testing.assert_allclose(after['layers.q.weight'], expected, atol=1e-6)
  np.testing.assert_array_equal(
    after['embedding'], run.before['model.embedding']
  )


def test_joined_parts_keep_uneven_groups_first(dumped, model_folder):
  """Each part has prompt 0 alike and prompt 1 uneven, or the other way."""
  loaded = StoredBatches(dumped.folder / 'rollouts', 0, 0)
  parts = []
  for grades in ([1, 1, 1, 1, 0, 1, 0, 1], [0, 0, 1, 0, 0, 0, 0, 0]):
    prompt, trajectory, rows = next(loaded)
    prompt, trajectory = jax.tree.map(jnp.asarray, (prompt, trajectory))
    values = {'digits': np.array(grades, np.float32)}
    texts = [f'{row["question"]} {i}' for row in rows for i in range(4)]
    parts.append(
      sampler.RolloutBatch(
        prompt,
        trajectory,
        trajectory,
        rows,
        texts,
        lambda values=values: values,
      )
    )
  mesh = sharding.mesh(**tiny(model_folder, 'hrpo').mesh)
  rewards = {'digits': 1.0}, 4
  kept = rollouts.nonzero_std_groups(parts, *rewards)
  joint = rollouts.select_groups(parts, *rewards, mesh)
  assert rollouts.select_groups(parts[:1], *rewards, mesh) is parts[0]
  assert kept.sum() == 2
  assert joint.rows == [parts[0].rows[1], parts[1].rows[0]]
  assert joint.grades()['digits'].tolist() == [0, 1, 0, 1, 0, 0, 1, 0]
  assert joint.texts == [*parts[0].texts[4:], *parts[1].texts[:4]]
  np.testing.assert_array_equal(
    joint.out.tokens,
    np.concatenate([parts[0].out.tokens[4:], parts[1].out.tokens[:4]]),
  )
  ids = [int(parts[0].prompt.ids[1]), int(parts[1].prompt.ids[0])]
  assert joint.prompt.ids.tolist() == ids
  assert not metrics.zero_std_groups(joint.grades()['digits'], 4).any()


def test_prompts_have_one_width_and_completions_a_few(model_folder, tmp_path):
  """The prompts of the third batch, but not all, fit a smaller bucket."""
  config = tiny(model_folder, max_steps=3)
  config.data.kwargs.steps = (1, 5)
  config.rollout.update(max_prompt_length=52, buckets=3)
  run = trained(config, tmp_path)
  counts = Counter(name for _, name in run.compiled)
  assert counts['jit(prefill)'] == counts['jit(decode)'] == 1
  lengths = column(run, 'completions/max_length')
  shapes = len({min(x for x in (8, 4, 2) if x >= n) for n in lengths})
  for name in ('ref_log_probs', 'advantages', 'update'):
    assert counts[f'jit({name})'] == shapes
