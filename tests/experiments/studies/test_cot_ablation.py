"""Answers from fragments of a reasoning; a job that stops and goes on."""

import json
import re
import xml.etree.ElementTree as ET
from functools import partial
from pathlib import Path

import jax
import numpy as np
import pytest
import torch
from etils import epath
from matplotlib.colors import to_rgb
from matplotlib.image import imread
from transformers import AutoModelForCausalLM

from experiments.studies import cot_ablation
from experiments.studies.cot_ablation import ablate, summarize
from experiments.training.prompts import prompt_ids
from hybrid_latent import cluster, sharding
from hybrid_latent.curricula.steps import split_steps
from hybrid_latent.data import arithmetic
from tests.experiments import rl_tiny
from tests.experiments.rewards import digits
from tests.experiments.runs import COMPILED, lines, quick_compiler

ROWS, SAMPLES, TOKENS = 6, 3, 8
SHARES = (0.0, 0.5, 1.0)
CLOSING = '#### '


@pytest.fixture(scope='module')
def rows():
  """Those of a folder of experiments.generate."""
  source = arithmetic.problems('train', count=ROWS, steps=(2, 4))
  return [
    {
      'question': raw['question'],
      'reasoning': '\n'.join(raw['solution'].split()[:-2]) + '\n',
      'response': raw['answer'],
      'answer': raw['answer'],
      'reward': 1.0,
      'reasoning_tokens': 9,
      'response_tokens': 2,
      'complete': True,
    }
    for raw in source
  ]


@pytest.fixture(scope='module')
def folder(rows, tmp_path_factory):
  folder = tmp_path_factory.mktemp('generated')
  write(folder, rows)
  return folder


def write(folder: Path, rows: list[dict]) -> None:
  text = ''.join(f'{json.dumps(row)}\n' for row in rows)
  (folder / 'train.jsonl').write_text(text)


@pytest.fixture(scope='module')
def config(model_folder, tmp_path_factory):
  """A thinking of up to 4 tokens, which is not what ends it here."""
  config = rl_tiny.get_config(f'{model_folder},grpo')
  config.rollout.max_completion_length, config.rollout.max_thinking_tokens = (
    32,
    4,
  )
  config.rollout.forced_text.update(after_thinking=' ', on_truncation=' So####')
  config.rollout.max_answer_tokens = TOKENS
  config.eval.num_generations = SAMPLES
  config.eval.sampling = dict(temperature=2.0)
  return config


@pytest.fixture(scope='module')
def run(config, folder, tmp_path_factory):
  """A job that nothing stopped, on a mesh of 2 x 2 x 2; what it compiled."""
  workdir, compiled = tmp_path_factory.mktemp('fragments'), []

  def listen(event, seconds, **details):
    if event == COMPILED:
      compiled.append(details['fun_name'])

  jax.monitoring.register_event_duration_secs_listener(listen)
  table = analyzed(config, workdir, folder)
  jax.monitoring.unregister_event_duration_listener(listen)
  return workdir, table, compiled


def analyzed(config, workdir, folder, shares=SHARES, **options) -> list[dict]:
  options = {'generated': str(folder), 'shares': shares, **options}
  with quick_compiler():
    return cot_ablation.analyze(config, str(workdir), **options)


@pytest.fixture(scope='module')
def tokenizer():
  return arithmetic.tokenizer()


def test_one_program_serves_all_kinds_and_shares(run):
  *_, compiled = run
  names = [name for name in compiled if 'prefill' in name or 'decode' in name]
  assert len(names) == 2, compiled


def test_a_row_for_each_kind_and_share(run, tokenizer, rows):
  workdir, table, _ = run
  assert lines(workdir / 'fragments.jsonl') == table
  assert [(row['kind'], row['share']) for row in table] == [
    (kind, share) for kind in ('token', 'step') for share in SHARES
  ]
  whole = np.mean([len(tokenizer(x['reasoning'])['input_ids']) for x in rows])
  for row in table:
    assert [*row] == ['kind', 'share', 'accuracy', 'standard_error',
                      'tokens_left', 'n', 'judged', 'ungraded']  # fmt: skip
    assert row['n'] == ROWS
    assert (row['judged'], row['ungraded']) == (ROWS * SAMPLES, 0)
    assert 0 < row['accuracy'] < 2
    assert 0 < row['standard_error'] < 1
    left = {0.0: whole, 1.0: 0.0}.get(row['share'])
    assert left is None or row['tokens_left'] == left
    assert left is not None or 0 < row['tokens_left'] < whole


def test_answers_begin_with_the_closing_text_and_are_graded(run):
  workdir, table, _ = run
  names = sorted(path.name for path in (workdir / 'parts').iterdir())
  assert names == ['nothing.jsonl', 'step-0.5.jsonl', 'token-0.5.jsonl',
                   'whole.jsonl']  # fmt: skip
  answers = lines(workdir / 'parts' / 'step-0.5.jsonl')
  assert [x['row'] for x in answers] == sorted([*range(ROWS)] * SAMPLES)
  for x in answers:
    assert [*x] == ['row', 'left', 'digits', 'reward', 'response']
    assert x['response'].startswith(CLOSING)
    share = digits([x['response']])[0]
    assert x['reward'] == pytest.approx(2 * share)
  means = np.reshape([x['reward'] for x in answers], (ROWS, SAMPLES)).mean(1)
  found = table[4]
  assert found['accuracy'] == pytest.approx(means.mean())
  error = means.std(ddof=1) / np.sqrt(ROWS)
  assert found['standard_error'] == pytest.approx(error)
  assert len({x['response'] for x in answers}) > ROWS  # samples, not copies


def test_the_answers_are_those_of_transformers(
  config, folder, rows, model_folder, tokenizer, tmp_path
):
  """Greedily, to prompt, fragment and closing text in one."""
  config = config.copy_and_resolve_references()
  config.eval.sampling = dict(greedy=True)
  config.eval.num_generations = 1
  analyzed(config, tmp_path, folder, (0.5,), kinds=('step',))
  model = AutoModelForCausalLM.from_pretrained(model_folder)
  for i, answer in enumerate(lines(tmp_path / 'parts' / 'step-0.5.jsonl')):
    steps = [
      tokenizer(step)['input_ids'] for step in split_steps(rows[i]['reasoning'])
    ]
    left = ablate(steps, 'step', 0.5, seed=config.seed, row=i)
    prompt = prompt_ids(tokenizer, config.data, rows[i])
    ids = prompt + left + tokenizer(CLOSING)['input_ids']
    given = torch.tensor([ids])
    with torch.no_grad():
      out = model.generate(
        given,
        attention_mask=torch.ones_like(given),
        do_sample=False,
        max_new_tokens=TOKENS,
      )
    text = tokenizer.decode(out[0, len(ids) :], skip_special_tokens=True)
    assert answer['left'] == len(left)
    assert answer['response'] == CLOSING + text


@pytest.mark.slow
def test_other_devices_answer_the_same(
  run, config, folder, tmp_path, monkeypatch
):
  one = partial(sharding.mesh, devices=jax.devices()[:1])
  monkeypatch.setattr(cot_ablation.sharding, 'mesh', one)
  config = config.copy_and_resolve_references()
  config.mesh.fsdp = config.mesh.tensor = 1
  config.rollout.prompts_per_step = 3
  analyzed(config, tmp_path, folder)
  for name in 'fragments.jsonl', 'fragments.svg', 'parts/token-0.5.jsonl':
    assert (tmp_path / name).read_bytes() == (run[0] / name).read_bytes()


def test_a_stopped_job_goes_on_and_may_be_given_more_shares(
  run, config, folder, tmp_path, monkeypatch
):
  batches = ROWS * SAMPLES // 6  # of a kind and share: two prompts in each
  monkeypatch.setattr(
    cluster, 'preemption_requested', lambda turn: turn == batches + 1
  )
  with pytest.raises(cluster.Preempted), quick_compiler():
    cot_ablation.analyze(
      config, str(tmp_path), generated=str(folder), shares=(0.5, 1.0)
    )
  [done] = (tmp_path / 'parts').iterdir()
  assert done.read_bytes() == (run[0] / 'parts/token-0.5.jsonl').read_bytes()
  before = done.stat().st_mtime_ns
  monkeypatch.undo()
  assert analyzed(config, tmp_path, folder) == run[1]
  assert done.stat().st_mtime_ns == before
  for name in 'jsonl', 'md', 'svg', 'png':
    ours, theirs = (x / f'fragments.{name}' for x in (tmp_path, run[0]))
    assert ours.read_bytes() == theirs.read_bytes()


def test_a_finished_job_needs_no_model(run, config, folder, monkeypatch):
  monkeypatch.setattr(cot_ablation, 'decoding_actor', None)
  assert analyzed(config, run[0], folder) == run[1]


def test_the_table_and_the_plot_show_all(run):
  workdir, table, _ = run
  text = (workdir / 'fragments.md').read_text().splitlines()
  assert len(text) == 2 + len(SHARES)
  assert text[0] == (
    '| deleted | by token | tokens left, by token | by step | '
    'tokens left, by step |'
  )
  whole = next(row for row in table if row['share'] == 0)
  cell = f'{whole["accuracy"]:.3f} ± {whole["standard_error"]:.3f}'
  left = f'{whole["tokens_left"]:.1f}'
  assert text[2] == f'| 0 | {cell} | {left} | {cell} | {left} |'
  svg = ET.parse(workdir / 'fragments.svg').getroot()
  assert svg.tag.endswith('svg')
  picture = imread(workdir / 'fragments.png')
  assert picture.shape[:2] == (480, 750)
  for color in 'C0', 'C1':  # a line each
    near = np.abs(picture[..., :3] - to_rgb(color)).max(-1) < 0.02
    assert near.sum() > 100


def test_other_rows_or_another_configuration_are_refused(
  run, config, rows, tmp_path
):
  write(tmp_path, [*rows[1:], rows[0]])
  other = config.copy_and_resolve_references()
  other.eval.num_generations = 4
  message = (
    f'{run[0]} holds answers of another configuration:\n'
    '  config.eval.num_generations: 3 then, 4 now\n  rows of the data, '
    'SHA-256: '
  )
  with pytest.raises(ValueError, match=re.escape(message)):
    analyzed(other, run[0], tmp_path)


WRONG = [
  ({'kinds': ('token', 'word')}, "--kinds: ['word']: write some of token,step"),
  ({'shares': (0.5, 1.5)}, '--shares: [0.5, 1.5]: write shares from 0 to 1'),
]


@pytest.mark.parametrize('options, message', WRONG)
def test_flags_that_cannot_be(options, message, config, folder, tmp_path):
  with pytest.raises(ValueError, match=re.escape(message)):
    analyzed(config, tmp_path, folder, **options)
  assert not [*tmp_path.iterdir()]


def test_answers_without_a_grade_count_nowhere(tmp_path):
  path = epath.Path(tmp_path / 'part.jsonl')
  rewards = [(0, 1.0), (0, None), (1, 0.0), (1, 1.0), (2, None)]
  answers = [
    {'row': i, 'left': 4 * i, 'accuracy': x, 'reward': 7.0} for i, x in rewards
  ]
  write = lambda some: path.write_text('\n'.join(map(json.dumps, some)))
  write(answers)
  found = summarize(path, 'token', 0.5)
  assert (found['accuracy'], found['n']) == (0.75, 2)
  assert found['standard_error'] == pytest.approx(0.25)
  assert found['tokens_left'] == pytest.approx((0 + 0 + 4 + 4 + 8) / 5)
  write(answers[-1:])
  with pytest.raises(ValueError, match='could not grade a single answer'):
    summarize(path, 'token', 0.5)
