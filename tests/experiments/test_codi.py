"""CODI's loss of one batch, and its gradient, against torch: latent by latent,
each from all that stands before it."""

from typing import NamedTuple

import jax
import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy, smooth_l1_loss
from transformers import AutoModelForCausalLM

from experiments.configs import sft_arithmetic
from experiments.training.actor import export_model, load_actor
from hybrid_latent import sharding
from tests.experiments.runs import Lesson, arrays, saved, steps, taught

TEACHER, DISTILLATION = 0.5, 3.0  # weights


class Codi(NamedTuple):
  """A step, and what it began with."""

  lesson: Lesson
  model: torch.nn.Module
  projector: torch.nn.Module


@pytest.fixture(scope='module')
def codi(model_folder, tmp_path_factory):
  folder, before = tmp_path_factory.mktemp('codi'), []
  config = sft_arithmetic.get_config(f'{model_folder},codi').unlock()
  config.update(max_steps=1, batch_size=8)
  config.curriculum.kwargs.teacher = TEACHER
  config.objective.kwargs.weight = DISTILLATION
  config.eval.num_prompts = 0

  def look(actor):
    export_model(actor, actor.policy, folder / 'before', config)
    before.append(jax.tree.map(np.array, actor.policy.feedback.inner))

  lesson = taught(config.lock(), folder, look)
  model = AutoModelForCausalLM.from_pretrained(folder / 'before')
  return Codi(lesson, model, torch_projector(before[0]))


def torch_projector(ours):
  (wide, narrow) = ours.expand.shape
  theirs = torch.nn.Sequential(
    torch.nn.Linear(narrow, wide),
    torch.nn.GELU(),
    torch.nn.Linear(wide, narrow),
    torch.nn.LayerNorm(narrow),
  )
  weights = zip(theirs.state_dict(), jax.tree.leaves(ours), strict=True)
  theirs.load_state_dict({name: torch.tensor(x) for name, x in weights})
  return theirs


def read(codi, tokens, latent):
  """Hidden states of all depths of one text, [t d] each, and its logits."""
  x = codi.model.get_input_embeddings()(torch.tensor(tokens))
  run = lambda x: codi.model(inputs_embeds=x[None], output_hidden_states=True)
  for t in np.flatnonzero(latent):
    state = run(x[:t]).hidden_states[-1][0, -1]
    x = torch.cat([x[:t], codi.projector(state)[None], x[t + 1 :]])
  out = run(x)
  return [states[0] for states in out.hidden_states], out.logits[0]


def torch_loss(codi, batch):
  """The whole of a batch, and the distance at each depth."""
  nats, known = ([], []), ([], [])
  for row in range(len(batch['tokens'])):
    for part in (0, 1):
      here = (batch['view'][row] == part) & (batch['segments'][row] > 0)
      of = lambda name, row=row, here=here: batch[name][row][here]
      states, logits = read(codi, of('tokens'), of('latent'))
      target = np.flatnonzero(of('weights'))
      expected = torch.tensor(of('tokens')[target]).long()
      nats[part].append(
        cross_entropy(logits[target - 1], expected, reduction='none')
      )
      (cue,) = np.flatnonzero(of('align_position'))
      known[part].append(torch.stack([x[cue] for x in states]))
  student, teacher = (torch.stack(x, dim=1) for x in known)
  gaps = torch.stack(
    [
      smooth_l1_loss(ours, theirs) / theirs.std()
      for ours, theirs in zip(student, teacher.detach(), strict=True)
    ]
  )
  said = torch.cat(nats[0]).mean() + TEACHER * torch.cat(nats[1]).mean()
  return said + DISTILLATION * gaps.mean(), gaps


def test_a_step_is_that_of_torch(codi):
  (batch,), (row,) = codi.lesson.batches, steps(codi.lesson.folder)
  assert batch['latent'].sum(1).tolist() == [3] * 8
  loss, gaps = torch_loss(codi, batch)
  loss.backward()
  learned = [*codi.model.parameters(), *codi.projector.parameters()]
  norm = torch.nn.utils.get_total_norm([x.grad for x in learned])
  found = [row[f'distillation/{i}'] for i in range(len(gaps))]
  assert len(found) == 1 + codi.model.config.num_hidden_layers
  assert found == pytest.approx(gaps.tolist(), rel=1e-4)
  assert row['loss'] == pytest.approx(loss.item(), rel=1e-4)
  assert row['grad_norm'] == pytest.approx(norm.item(), rel=1e-3)


def test_the_projector_goes_with_the_model(codi):
  """And another run begins with it; its settings are those of its config."""
  folder = codi.lesson.folder
  learned = saved(folder, 1)
  config = sft_arithmetic.get_config(f'{folder}/model,codi').unlock()
  config.feedback.init_kwargs.num_latents = 5
  actor = load_actor(
    config, sharding.mesh(data=1, fsdp=-1), jax.random.key(config.seed)
  )
  assert int(actor.policy.feedback.slots) == 5
  for name, x in arrays(actor.policy.feedback.inner).items():
    np.testing.assert_array_equal(x, learned[f'0.feedback.inner.{name}'])


def test_one_of_another_shape_is_refused(codi):
  config = sft_arithmetic.get_config(f'{codi.lesson.folder}/model,codi')
  with config.unlocked():
    config.feedback.inner.init_kwargs.width = 8
  with pytest.raises(ValueError, match=r'inner.expand: \(32, 32\), expected'):
    load_actor(
      config, sharding.mesh(data=1, fsdp=-1), jax.random.key(config.seed)
    )
