"""Triples of question, reasoning and response; a job that stops and goes on."""

import json
import re
import shutil
import signal
from functools import partial
from pathlib import Path

import jax
import numpy as np
import pytest
from etils import epath

from experiments import generate
from experiments.training import resumable_shards
from hybrid_latent import cluster, sharding
from hybrid_latent.data import arithmetic
from hybrid_latent.data.jsonl import problems
from tests.experiments import rl_tiny
from tests.experiments.processes import finished, started
from tests.experiments.rewards import digits
from tests.experiments.runs import lines, quick_compiler

PROMPTS, SIZE, SAMPLES = 10, 4, 2
FIELDS = ['question', 'reasoning', 'response', 'answer', 'reward',
          'reasoning_tokens', 'response_tokens', 'complete']  # fmt: skip
OPTIONS = {
  'data.kwargs.count': PROMPTS,
  'rollout.end_of_thinking': 'e',  # what a random model writes
  'rollout.max_completion_length': 24,
  'generate.num_generations': SAMPLES,
  'generate.rows_per_shard': SIZE,
  'generate.min_reward': -np.inf,
}


def changed(config, **fields):
  config = config.copy_and_resolve_references()
  with config.unlocked():
    config.update_from_flattened_dict(
      {name.replace('__', '.'): value for name, value in fields.items()}
    )
  return config


@pytest.fixture(scope='module')
def config(model_folder):
  config = rl_tiny.get_config(f'{model_folder},grpo')
  return changed(config, **OPTIONS)


@pytest.fixture(scope='module')
def run(config, tmp_path_factory):
  """A job that nothing stopped, on a mesh of 2 x 2 x 2; it keeps all."""
  folder = tmp_path_factory.mktemp('generate')
  generated(config, folder)
  return folder


def generated(config, folder: Path) -> list[dict]:
  with quick_compiler():
    path = generate.generate(config, str(folder))
  assert path == f'{folder}/train.jsonl'
  return lines(folder / 'train.jsonl')


def test_the_rows_are_completions_of_the_data_in_its_order(run, config):
  rows = lines(run / 'train.jsonl')
  source = arithmetic.problems('train', **config.data.kwargs)
  expected = [raw for raw in source for _ in range(SAMPLES)]
  for row, raw in zip(rows, expected, strict=True):
    assert [*row] == FIELDS
    assert all(row[name] == raw[name] for name in ('question', 'answer'))
    assert 1 <= row['reasoning_tokens'] + row['response_tokens'] <= 24
    assert 'e' not in row['reasoning']
  for row in rows:  # the reward is that of the whole text
    end = 'e' * (row['response_tokens'] > 0)
    text = row['reasoning'] + end + row['response']
    expected = 2 * digits([text])[0]
    assert row['reward'] == pytest.approx(expected, abs=1e-5)
  assert len({row['reasoning'] for row in rows}) > len(rows) / 2


def test_a_row_is_complete_where_both_ends_came_by_themselves(run):
  rows = lines(run / 'train.jsonl')
  seen = set()
  for row in rows:
    parted = row['response_tokens'] > 0
    full = row['reasoning_tokens'] + row['response_tokens'] == 24
    assert parted or not row['complete']
    assert full or row['complete'] == parted  # a stop token came
    seen.add((parted, full, row['complete']))
  assert seen >= {(True, False, True), (True, True, False),
                  (False, False, False)}  # fmt: skip


def test_the_task_generated_reads_them(run, tmp_path):
  found = problems('generated', str(run), 'train', data_dir=str(tmp_path))
  assert [*found] == lines(run / 'train.jsonl')


@pytest.mark.slow
def test_other_devices_and_parts_sample_the_same(
  run, config, tmp_path, monkeypatch
):
  one = partial(sharding.mesh, devices=jax.devices()[:1])
  monkeypatch.setattr(generate.sharding, 'mesh', one)
  other = changed(config, mesh__fsdp=1, mesh__tensor=1,
                  rollout__prompts_per_step=3,
                  rollout__buckets=3, generate__rows_per_shard=7)  # fmt: skip
  generated(other, tmp_path)
  same = (tmp_path / 'train.jsonl').read_bytes()
  assert same == (run / 'train.jsonl').read_bytes()


def test_a_stopped_job_samples_only_the_parts_that_are_missing(
  run, config, tmp_path
):
  shutil.copytree(run, tmp_path, dirs_exist_ok=True)
  whole = (run / 'train.jsonl').read_text().splitlines(True)
  for name in 'train.jsonl', 'parts/00001.jsonl':
    (tmp_path / name).unlink()
  (tmp_path / 'parts' / '00001.jsonl.part').write_text('{"question": "Half')
  last = tmp_path / 'parts' / '00002.jsonl'
  marked = last.read_text().replace('How many', 'How few')
  last.write_text(marked)
  generated(config, tmp_path)
  again = (tmp_path / 'train.jsonl').read_text()
  assert again == ''.join(whole[: 2 * SIZE * SAMPLES]) + marked != whole
  names = sorted(path.name for path in (tmp_path / 'parts').iterdir())
  assert names == ['00000.jsonl', '00001.jsonl', '00002.jsonl']


def test_a_job_that_is_told_to_end_goes_on_to_the_same_bytes(
  run, config, tmp_path, monkeypatch
):
  """In the middle of its second part, of which nothing is left."""
  monkeypatch.setattr(cluster, 'preemption_requested', lambda turn: turn == 2)
  small = changed(config, rollout__prompts_per_step=1)  # two prompts a batch
  with pytest.raises(cluster.Preempted) as end, quick_compiler():
    generate.generate(small, str(tmp_path))
  assert end.value.code == cluster.RESTART
  assert [x.name for x in (tmp_path / 'parts').iterdir()] == ['00000.jsonl']
  assert not (tmp_path / 'train.jsonl').exists()
  monkeypatch.undo()
  generated(config, tmp_path)
  for name in 'train.jsonl', 'parts/00000.jsonl', 'parts/00002.jsonl':
    assert (tmp_path / name).read_bytes() == (run / name).read_bytes()


def test_another_bound_chooses_again_without_a_model(
  run, config, tmp_path, monkeypatch, capsys
):
  shutil.copytree(run, tmp_path, dirs_exist_ok=True)
  monkeypatch.setattr(generate, 'decoding_actor', None)
  rows = lines(run / 'train.jsonl')
  for least in 0.0, 0.1:
    kept = generated(changed(config, generate__min_reward=least), tmp_path)
    expected = [r for r in rows if r['complete'] and r['reward'] >= least]
    assert kept == expected
  assert 0 < len(kept) < sum(row['complete'] for row in rows)
  above = sum(row['reward'] > 0 for row in rows)
  *_, first, second = capsys.readouterr().out.splitlines()
  assert first == (
    f'20 sampled, {sum(row["complete"] for row in rows)} complete, 0 ungraded, '
    f'{above} with a reward above 0, {len(kept)} kept '
    '(generate.min_reward=0.1); '
    '0 not sampled, as their prompts are too long'
  )
  mean = lambda name: f'{np.mean([row[name] for row in kept]):.1f}'
  assert second == (
    f'{tmp_path}/train.jsonl: {mean("reasoning_tokens")} tokens of reasoning '
    f'and {mean("response_tokens")} of response on average'
  )


def test_what_is_kept_is_not_called_right(tmp_path, capsys):
  """min_reward=-inf keeps everything."""
  row = {'complete': True, 'reasoning_tokens': 1, 'response_tokens': 1}
  rows = [{**row, 'reward': 0.0}] * 3 + [{**row, 'reward': None}]
  files = resumable_shards.shard_paths(epath.Path(tmp_path), 1)
  resumable_shards.write_lines(files[0], [json.dumps(x) + '\n' for x in rows])
  generate.merge_shards(files, epath.Path(tmp_path), -np.inf, 4)
  assert capsys.readouterr().out.startswith(
    '4 sampled, 4 complete, 1 ungraded, 0 with a reward above 0, 4 kept '
    '(generate.min_reward=-inf)'
  )


def test_of_the_first_prompts_those_too_long_are_left_out(
  config, tmp_path, capsys
):
  tokenizer = arithmetic.tokenizer()
  source = [*arithmetic.problems('train', **config.data.kwargs)][:6]
  encode = partial(generate.prompt_ids, tokenizer, config.data)
  lengths = [len(encode(row)) for row in source]
  limit = sorted(lengths)[1]  # parts without any as well
  config = changed(
    config, rollout__max_prompt_length=limit, generate__num_prompts=6
  )
  found = generated(config, tmp_path)
  kept = [row['question'] for row, length in zip(source, lengths, strict=True)
          if length <= limit for _ in range(SAMPLES)]  # fmt: skip
  assert [row['question'] for row in found] == kept
  left = 12 - len(kept)
  assert (
    left
    and f'; {left} not sampled, as their prompts' in capsys.readouterr().out
  )


def test_completions_of_another_configuration_are_refused(run, config):
  other = changed(config, rollout__sampling__top_k=3,
                  generate__num_generations=4,
                  seed=1, data__kwargs__count=8)  # fmt: skip
  with pytest.raises(ValueError) as error:
    generate.generate(other, str(run))
  assert re.fullmatch(
    f'{run} holds completions of another configuration:\n'
    r'  config\.data\.kwargs\.count: 10 then, 8 now\n'
    r'  config\.generate\.num_generations: 2 then, 4 now\n'
    r'  config\.rollout\.sampling\.top_k: 0 then, 3 now\n'
    r'  config\.seed: 0 then, 1 now\n'
    r'  prompts of the data: 10 then, 8 now\n'
    r"  rows of the data, SHA-256: '\w{16}' then, '\w{16}' now\n"
    r'Write these as they were to resume, or choose another --workdir\.',
    str(error.value),
  )


@pytest.mark.parametrize('name', ['num_generations', 'rows_per_shard'])
def test_counts_that_cannot_be(name, config, tmp_path):
  config = changed(config, **{f'generate.{name}': 0})
  message = f'config.generate.{name} is 0: write at least 1'
  with pytest.raises(ValueError, match=re.escape(message)):
    generate.generate(config, str(tmp_path))
  assert not [*tmp_path.iterdir()]


@pytest.mark.slow
def test_processes_that_are_told_to_end_go_on_to_the_same_bytes(
  run, model_folder, tmp_path
):
  """Two, of which one is told so; then four to the end."""
  workdir = tmp_path / 'run'
  options = OPTIONS | {'generate.rows_per_shard': 1}
  command = [
    *('-m', 'experiments.generate', f'--workdir={workdir}'),
    f'--config={rl_tiny.__file__}:{model_folder},grpo',
    *(f'--config.{name}={value}' for name, value in options.items()),
  ]
  parts = lambda: [*(workdir / 'parts').glob('*.jsonl')]
  with started(command, tmp_path, processes=2) as job:
    job.wait_for(lambda: len(parts()) > 0)
    job.processes[1].send_signal(signal.SIGTERM)
    assert job.codes() == [cluster.RESTART] * 2, job.said()
    assert 'SIGTERM: saved' in job.said()
  done = {path: path.stat().st_mtime_ns for path in parts()}
  assert 0 < len(done) < PROMPTS
  finished(command, tmp_path, processes=4)
  assert {path: path.stat().st_mtime_ns for path in done} == done
  same = (workdir / 'train.jsonl').read_bytes()
  assert same == (run / 'train.jsonl').read_bytes()
