"""Supervised training in words, against transformers and torch."""

import math

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from experiments import sft
from experiments.configs import sft_arithmetic
from experiments.convert import logit_gap
from hybrid_latent.data import arithmetic
from hybrid_latent.formats.pretrained import pretrained
from hybrid_latent.formats.tokenizer import chat_ids
from tests.experiments.runs import lines, steps, taught

ROWS = PROBLEMS = 8
STEPS = 24
IGNORED = -100  # transformers' label of what is no target


def words(model_folder, **changes):
  """Worked solutions, on a mesh of 2 x 2 x 2; rows are padded to 64 or 128."""
  config = sft_arithmetic.get_config(f'{model_folder},cot').unlock()
  config.update(max_steps=STEPS, batch_size=ROWS, gradient_accumulation_steps=2)
  config.update(max_length=128, packing=False, buckets=2)
  config.mesh.update(fsdp=2, tensor=2)
  config.data.kwargs.update(count=PROBLEMS, largest=99)
  config.eval.num_prompts = 0
  config.optimizer.update(schedule='constant', warmup_ratio=0.0)
  config.optimizer.groups.model.lr = 1e-2
  config.update(changes)
  return config.lock()


def one_step(model_folder, **changes):
  """As many texts as fit into its rows."""
  return words(model_folder, max_steps=1, packing=True, buckets=1, **changes)


@pytest.fixture(scope='module')
def run(model_folder, tmp_path_factory):
  return taught(words(model_folder), tmp_path_factory.mktemp('sft'))


@pytest.fixture(scope='module')
def packed(model_folder, tmp_path_factory):
  config = one_step(model_folder, gradient_accumulation_steps=4)
  return taught(config, tmp_path_factory.mktemp('packed'))


@pytest.fixture(params=['run', 'packed'])
def either(request):
  return request.getfixturevalue(request.param)


def texts(batch):
  """Those of a batch, without padding."""
  rows = zip(batch['tokens'], batch['segments'], strict=True)
  return [
    tokens[segments == number].tolist()
    for tokens, segments in rows
    for number in range(1, segments.max() + 1)
  ]


@pytest.fixture(scope='module')
def solved(model_folder):
  """Every problem with its solution as one text -> the length of its prompt."""
  tokenizer, found = pretrained(model_folder).tokenizer, {}
  source = arithmetic.problems(
    'train', **words(model_folder).data.kwargs.to_dict()
  )
  for row in map(source.__getitem__, range(PROBLEMS)):
    prompt = chat_ids(tokenizer, '', row['question'])
    solution = tokenizer.encode(row['solution'], add_special_tokens=False)
    text = *prompt, *solution, tokenizer.eos_token_id
    found[text] = len(prompt)
  return found


def test_the_first_loss_is_that_of_transformers(either, solved, model_folder):
  """The mean over every solution token and the end, of all rows together,
  wherever they lie."""
  model = AutoModelForCausalLM.from_pretrained(model_folder)
  found = texts(either.batches[0])
  size = max(map(len, found))
  tokens = torch.zeros((len(found), size), dtype=torch.long)
  labels = torch.full_like(tokens, IGNORED)
  for i, text in enumerate(found):
    prompt = solved[tuple(text)]
    tokens[i, : len(text)] = torch.tensor(text)
    labels[i, prompt : len(text)] = tokens[i, prompt : len(text)]
  with torch.no_grad():
    expected = model(tokens, labels=labels).loss  # what follows is not read
  row = steps(either.folder)[0]
  assert row['loss'] == pytest.approx(float(expected), abs=1e-4)
  assert row['tokens'] == sum(map(len, found))


def test_a_packed_row_has_several_texts_and_others_one(run, packed):
  (batch,) = packed.batches
  assert len(texts(batch)) > len(batch['tokens']) == ROWS
  assert batch['tokens'].shape == (ROWS, 128)
  shapes = {batch['tokens'].shape for batch in run.batches}
  assert shapes == {(ROWS, 64), (ROWS, 128)}
  assert {len(texts(batch)) for batch in run.batches} == {ROWS}


def test_micro_batches_change_nothing(packed, model_folder, tmp_path):
  config = one_step(model_folder, gradient_accumulation_steps=1)
  (whole,), (cut,) = (
    steps(taught(config, tmp_path).folder),
    steps(packed.folder),
  )
  names = 'loss', 'entropy', 'mean_token_accuracy', 'tokens', 'embedding_norm'
  for name in names:
    assert whole[name] == pytest.approx(cut[name], rel=1e-6)
  # Fewer rows are cut otherwise, and this model is steep: rounding grows.
  assert whole['grad_norm'] == pytest.approx(cut['grad_norm'], rel=1e-4)


def test_the_loss_falls(run):
  losses = [row['loss'] for row in steps(run.folder)]
  assert len(losses) == STEPS
  assert losses[0] > 0.9 * math.log(384)
  assert losses[-1] < 0.5 * losses[0]


def test_without_a_latent_nothing_is_said_of_latents(run):
  for row in lines(run.folder / 'metrics.jsonl'):
    assert np.isfinite(list(row.values())).all()
    assert 'latent_norm' not in row and row['stage'] == 0
    assert row['tokens_per_second'] > 0
    assert row['device/flops_per_second'] > 0
  assert run.evaluations == []


def test_the_folder_is_a_model_for_us_and_for_transformers(run, model_folder):
  folder = run.folder / 'model'
  before, after = pretrained(model_folder), pretrained(folder)
  assert after.model.config == before.model.config
  assert after.generation['eos_token_id'] == before.generation['eos_token_id']
  text = 'Tom has 12 apples.'
  assert after.tokenizer.encode(text) == before.tokenizer.encode(text)
  assert not np.array_equal(after.model.table, before.model.table)
  assert logit_gap(after, folder) < 1e-4


@pytest.mark.parametrize(
  ('changes', 'told'),
  [
    ({'stages.starts': (1,)}, r'stages.starts=\(1,\), .* 0 first'),
    ({'stages.starts': ()}, r'stages.starts=\(\), config.max_steps=24: write'),
    (
      {'stages.starts': (0, 4, 4), 'stages.data_fraction': (1.0,) * 3},
      'in ascending order',
    ),
    (
      {'stages.starts': (0, 24), 'stages.data_fraction': (1.0,) * 2},
      'config.max_steps=24: .* below max_steps',
    ),
    (
      {'stages.starts': (0, 4)},
      r'stages.data_fraction=\(1.0,\), .*: write one share .* per stage',
    ),
    (
      {
        'objective.function': 'codi:self_distillation',
        'curriculum': {'function': 'codi:codi', 'kwargs': {}},
        'packing': True,
        'buckets': 1,
      },
      "self_distillation', config.packing=True: write packing=False",
    ),
    ({'packing': True}, 'buckets=2 with packed=True: .* write buckets=1'),
    (
      {'stages.data_fraction': (0.0,)},
      r'stages.data_fraction is \(0.0,\): write .* > 0',
    ),
    ({'max_length': 8, 'buckets': 1}, 'length=8: every one of 8 documents'),
    (
      {'gradient_accumulation_steps': 3},
      'batch_size=8, config.gradient_accumulation_steps=3: write',
    ),
    (
      {'curriculum.function': 'cot:solutions'},
      "'cot:solutions': .* has .*'worked_solutions'",
    ),
    (
      {'curriculum': {'function': 'hyrea:hyrea', 'kwargs': {}}},
      r"no token \['<start-latent>', .*config.model.new_tokens",
    ),
    (
      {
        'objective.function': 'codi:self_distillation',
        'objective.kwargs': {'loss_type': 'l1'},
        'curriculum': {'function': 'codi:codi', 'kwargs': {}},
      },
      "objective.kwargs.loss_type is 'l1': write 'smooth_l1' or",
    ),
    (
      {'objective.function': 'policy_gradient:policy_gradient'},
      'write a loss of supervised texts',
    ),
    ({'optimizer.groups.model.pattern': 'lora'}, "pattern 'lora' is found in"),
  ],
)
def test_a_mistake_is_explained(changes, told, model_folder, tmp_path):
  config = words(model_folder).unlock()
  if 'curriculum' in changes:
    config.curriculum = changes.pop('curriculum')
  config.update_from_flattened_dict(changes)
  with pytest.raises(ValueError, match=told):
    sft.train(config.lock(), str(tmp_path))
  assert not (tmp_path / 'checkpoints' / '1').exists()
