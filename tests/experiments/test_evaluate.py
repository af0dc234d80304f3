"""A table of subjects, modes and budgets, against what a trainer would say."""

import shutil
from functools import partial
from itertools import combinations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import evaluate
from experiments.evaluation.record import read_record
from experiments.fields.eval_datasets import eval_datasets
from experiments.fields.named import problems_of
from experiments.training.actor import feedback_of
from experiments.training.dataset_sampling import decoding_actor
from experiments.training.latent_similarity import mean_cosine
from experiments.training.prompts import eval_batches_of
from experiments.training.sampler import Sampler, prefill_and_decode
from hybrid_latent import cluster, sharding
from hybrid_latent.ops.sampling import sampling
from hybrid_latent.rewards.grader import Grader
from tests.experiments import rl_tiny, ways_tiny
from tests.experiments.runs import COMPILED, lines, quick_compiler

TIMED = 'seconds_per_question', 'tokens_per_second'
PROMPTS, SAMPLES, LATENTS = 6, 2, 3


def changed(config, **fields):
  config = config.copy_and_resolve_references()
  config.update_from_flattened_dict(
    {name.replace('__', '.'): value for name, value in fields.items()}
  )
  return config


@pytest.fixture(scope='module', autouse=True)
def one_device():
  """Programs for eight take three times as long to compile."""
  one = partial(sharding.mesh, devices=jax.devices()[:1])
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(sharding, 'mesh', one)
    yield


@pytest.fixture(scope='module')
def config(model_folder, tmp_path_factory):
  folder = tmp_path_factory.mktemp('reasoners')
  path = ways_tiny.new_reasoner(folder / 'one', model_folder, 1, LATENTS)
  config = ways_tiny.get_config(str(model_folder))
  return changed(config, evaluate__reasoners=(f'sft+rl={path}',))


@pytest.fixture(scope='module')
def run(config, tmp_path_factory):
  """A table that nothing stopped, and what it compiled."""
  workdir, compiled = tmp_path_factory.mktemp('evaluate'), []

  def listen(event, seconds, **details):
    if event == COMPILED:
      compiled.append(details['fun_name'])

  jax.monitoring.register_event_duration_secs_listener(listen)
  table = evaluated(config, workdir)
  jax.monitoring.unregister_event_duration_listener(listen)
  return workdir, table, compiled


def reasoner(config) -> str:
  (named,) = config.evaluate.reasoners
  return named.partition('=')[2]


def evaluated(config, workdir) -> list[dict]:
  with quick_compiler():
    return evaluate.evaluate(config, str(workdir))


def rows(workdir) -> list[dict]:
  return [dict(row) for row in read_record(workdir)]


def timeless(table) -> list[dict]:
  return [{k: v for k, v in row.items() if k not in TIMED} for row in table]


def test_a_line_for_each_subject_mode_and_budget(run, config):
  workdir, table, _ = run
  assert lines(workdir / 'table.jsonl') == table
  own = [row for row in table if not row['control']]
  asked = [
    ('base', 'chain_of_thought'),
    ('base', 'no_thinking'),
    ('sft+rl', 'latent'),
  ]
  assert [(row['model'], row['mode'], row['budget']) for row in own] == [
    (*some, budget) for some in asked for budget in (10, 20)
  ]
  for row in own:
    assert (row['problems'], row['samples']) == (PROMPTS, SAMPLES)
    assert 1 <= row['tokens'] <= row['budget']
    latent = row['mode'] == 'latent'
    assert row.get('latents', 0) == (LATENTS if latent else 0)
    assert (row.get('cosine') is not None) == ('pause' in row) == latent
    assert row['accuracy'] <= row[f'pass@{SAMPLES}'] <= 1
    assert row['seconds_per_question'] > 0
  controls = [row for row in table if row['control']]
  assert [row['arm'] for row in controls] == [
    f'sft+rl/latent/{budget}/pause' for budget in (10, 20)
  ]
  assert [row['accuracy'] for row in controls] == [
    row['pause'] for row in own if row['model'] == 'sft+rl'
  ]
  accuracies = {row['accuracy'] for row in table}
  assert len(accuracies) > 1 and max(accuracies) < 1
  shown = (workdir / 'table.md').read_text().splitlines()
  assert len(shown) == 2 + len(own)
  columns = '| arm | dataset | problems | samples | ungraded | accuracy |'
  assert shown[0].startswith(columns)


def test_one_program_serves_all_budgets(run):
  *_, compiled = run
  for name in 'prefill', 'decode':
    # Each way, and the control.
    assert sum(name in x for x in compiled) == 4, compiled


def test_each_token_has_what_the_model_gives_it(run, config):
  """In one pass over prompt and completion, without a cache."""
  actor = decoding_actor(
    changed(config, feedback__init_kwargs__source=reasoner(config)),
    sharding.mesh(**config.mesh),
  )
  encode = ways_tiny.encoders(config, actor.tokenizer)
  data = problems_of(config.data)(split='test')

  @jax.jit
  def scores(model, ids):
    at = jnp.arange(ids.size)[None]
    causal = jnp.tril(jnp.ones((1, ids.size, ids.size), bool))
    hidden, _ = model.forward(model.embed(ids[None]), None, at, causal)
    return jax.nn.log_softmax(model.unembed(hidden[0]))

  found = [row for row in rows(run[0]) if row['prompt'] == 4]
  assert len({row['arm'] for row in found}) == 8
  for row in found:
    prompt = encode[row['mode']](data[4])
    latents = row.get('prefix_latents', 0)
    assert latents == (LATENTS if row['mode'] == 'latent' else 0)
    assert row['first_position'] == len(prompt) + latents + bool(latents)
    assert row['near'] == [None] * row['num_tokens'] and not any(row['latent'])
    assert ''.join(row['tokens']) in row['completion']
    if latents:
      assert all(len(near) == 5 for near in row['prefix_near'])
      continue
    ids = jnp.array([*prompt, *row['ids'], *[0] * 99])[:99]
    first, end = len(prompt) - 1, len(prompt) - 1 + row['num_tokens']
    log_probs = scores(actor.policy, ids)[first:end]
    expected = log_probs[jnp.arange(len(row['ids'])), jnp.array(row['ids'])]
    np.testing.assert_allclose(row['log_prob'], expected, atol=1e-4)
    entropy = -(jnp.exp(log_probs) * log_probs).sum(-1)
    np.testing.assert_allclose(row['entropy'], entropy, atol=1e-4)


@pytest.mark.parametrize(  # a line of each way
  'place', [*(pytest.param(i, marks=pytest.mark.slow) for i in (1, 2)), 4]
)
def test_a_line_is_what_a_trainer_would_say(place, run, config):
  """One whose config has this budget as its own, with no longer buffers."""
  row = run[1][place]
  config = changed(
    config,
    rollout__mode=row['mode'],
    rollout__max_completion_length=row['budget'],
    rollout__answer_reserve=4,
  )
  if row['mode'] == 'latent':
    config.feedback.init_kwargs.source = reasoner(config)
  else:
    with config.unlocked():
      config.feedback = rl_tiny.get_config('x,grpo').feedback
  mesh = sharding.mesh(**config.mesh)
  actor = decoding_actor(config, mesh)
  tests = eval_batches_of(
    eval_datasets(config)[''][1],
    *(config.rollout, config.eval),
    ways_tiny.encoders(config, actor.tokenizer)[row['mode']],
    0,
  )
  how = sampling(**{**config.rollout.sampling, **config.eval.sampling})
  key = jax.random.split(jax.random.key(config.seed), 3)[2]
  functions = prefill_and_decode(config.rollout, feedback_of(config.feedback))
  with (
    quick_compiler(),
    Grader(config.rewards.to_dict(), **config.grader) as grader,
  ):
    sampler = Sampler(
      config.rollout, config.data, mesh, actor, *functions, grader
    )
    said = sampler.evaluate(actor.policy, tests, key, how, SAMPLES)
    assert said['eval/accuracy'] == pytest.approx(row['accuracy'])
    assert said['eval/completions/mean_length'] == row['tokens']
    assert said['eval/accuracy/pass@2'] == row['pass@2']
    asked = []
    for batch in tests:
      prompt, ready = sampler.prefill(actor.policy, batch)
      out = sampler.sample(actor.policy, prompt, ready, key, how, SAMPLES)
      asked += [*np.any(out.mask & ~out.policy_mask, axis=1)[
        np.repeat(batch['valid'], SAMPLES)]]  # fmt: skip
    assert np.mean(asked) == row['forced'] > 0


def test_the_cosine_is_that_of_mean_latents(run, config):
  row = run[1][4]
  config = changed(config, feedback__init_kwargs__source=reasoner(config))
  actor = decoding_actor(config, sharding.mesh(**config.mesh))
  encode = ways_tiny.encoders(config, actor.tokenizer)['latent']

  @jax.jit
  def mean(policy, ids):
    n = ids.shape[1]
    mask, at = jnp.ones(ids.shape, bool), jnp.arange(n)[None]
    causal = jnp.tril(jnp.ones((1, n, n), bool))
    hidden, _ = policy.forward(policy.embed(ids), None, at, causal)
    return policy.feedback.reasoner(hidden, mask).mean((0, 1))

  rows = problems_of(config.data)(split='test')
  prompts = [jnp.array(encode(rows[i]))[None] for i in range(PROMPTS)]
  with quick_compiler():
    means = [np.asarray(mean(actor.policy, ids)) for ids in prompts]
  cosine = [x @ y / np.linalg.norm(x) / np.linalg.norm(y)
            for x, y in combinations(means, 2)]  # fmt: skip
  assert row['cosine'] == pytest.approx(np.mean(cosine), abs=1e-4)
  assert mean_cosine(np.ones((4, 3))) == pytest.approx(1)
  assert mean_cosine(np.eye(3)) == pytest.approx(0)


def test_a_killed_evaluation_resumes(run, config, tmp_path, monkeypatch):
  """Between two batches, and with the same model by another name, whose rows
  are the same."""
  config = changed(
    config,
    evaluate__models=(f'again={config.model.source}',),
    evaluate__modes=('no_thinking',),
  )
  expected = [row for row in rows(run[0]) if row['mode'] == 'no_thinking']
  monkeypatch.setattr(cluster, 'preemption_requested', lambda turn: turn == 3)
  with pytest.raises(cluster.Preempted), quick_compiler():
    evaluate.evaluate(config, str(tmp_path))
  monkeypatch.undo()
  assert len([*tmp_path.glob('parts/*/*.jsonl')]) == 3
  assert not (tmp_path / 'samples.jsonl').exists()
  table = evaluated(config, tmp_path)
  again = [
    row | {'model': 'again', 'arm': row['arm'].replace('base', 'again')}
    for row in expected
  ]
  assert rows(tmp_path) == [*expected, *again]
  assert timeless(table)[:2] == timeless(run[1][2:4])


def test_what_is_there_needs_no_model(run, config, tmp_path, monkeypatch):
  workdir, table, _ = run
  shutil.copytree(workdir, tmp_path, dirs_exist_ok=True)
  monkeypatch.setattr(evaluate, 'decoding_actor', None)
  for name in 'samples.jsonl', 'table.md', 'table.jsonl':
    (tmp_path / name).unlink()
  assert evaluated(config, tmp_path) == table
  for path in workdir.glob('*.*'):
    if path.name != 'config.json':
      assert (tmp_path / path.name).read_bytes() == path.read_bytes()
  fewer = changed(config, evaluate__budgets=(20,))
  assert timeless(evaluated(fewer, tmp_path)) == timeless(table[1::2])
  other = changed(
    config, evaluate__answer_reserve=5, rollout__forced_text__on_truncation='?'
  )
  with pytest.raises(ValueError) as error:
    evaluate.evaluate(other, str(tmp_path))
  assert str(error.value) == (
    f'{tmp_path} holds a record of another configuration:\n'
    '  config.evaluate.answer_reserve: 4 then, 5 now\n'
    "  config.rollout.forced_text.on_truncation: 'e So' then, '?' now\n"
    'Write these as they were to resume, or choose another --workdir.'
  )
