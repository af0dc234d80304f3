"""What the tuning of a reasoner refuses, and what it leaves out."""

import logging

import jax
import pytest

from experiments import lrt
from hybrid_latent.formats.pretrained import pretrained
from tests.experiments import lrt_tiny
from tests.experiments.runs import tuned


def tiny(model_folder, stage, changes):
  argument = f'{model_folder},{stage},{model_folder}'
  config = lrt_tiny.get_config(argument).unlock()
  if 'feedback.kwargs' in changes:
    config.feedback.kwargs = changes.pop('feedback.kwargs')
  config.update_from_flattened_dict(changes)
  return config.lock()


def test_answers_that_do_not_fit_are_left_out(model_folder, caplog):
  config = tiny(model_folder, 'sft', {'rollout.max_tokens': 5})
  caplog.set_level(logging.WARNING)
  rows = lrt.rows_of(config, pretrained(model_folder).tokenizer)
  assert 0 < len(rows) < 8
  assert max(len(row['ids']) for row in rows) == 5
  assert f'{8 - len(rows)} of 8 answers left out: longer' in caplog.text


@pytest.mark.parametrize(
  ('stage', 'changes', 'told'),
  [
    ('sft', {'rollout.group': 2}, r'group is 2 .*\.data\.triples=.*group=1'),
    (
      'rl',
      {'rollout.group': 1},
      r'group is 1: .* at least 2; .*data\.triples',
    ),
    (
      'rl',
      {'feedback.function': 'discrete:discrete', 'feedback.kwargs': {}},
      "'discrete:discrete': write one that has a prefix, .*'prefix:prefix'",
    ),
    ('sft', {'feedback.initial.reads': 'all'}, "reads='all': write one of"),
    ('sft', {'feedback.initial.backbone': ''}, "and backbone are both ''"),
    ('rl', {'rollout.mode': 'laten'}, "mode is 'laten': write '' or .*latent"),
    ('rl', {'rollout.mode': 'explicit'}, "'explicit': .* teach .* nothing"),
    ('sft', {'rollout.mode': 'laten'}, "mode is 'laten': write '' or .*latent"),
    ('sft', {'micro_batches': 3}, 'a batch of 4 rows .* into 3 equal parts'),
    ('rl', {'optimizer.groups.ends.pattern': 'gate$'}, "pattern 'gate\\$' is"),
  ],
)
def test_a_mistake_is_explained(stage, changes, told, model_folder, tmp_path):
  with pytest.raises(ValueError, match=told):
    tuned(tiny(model_folder, stage, changes), tmp_path)
  assert not (tmp_path / 'reasoner').exists()


def test_hosts_share_the_prompts(model_folder, monkeypatch):
  monkeypatch.setattr(jax, 'process_count', lambda: 3)
  with pytest.raises(ValueError, match=r'prompts is 4: .* of the 3 hosts'):
    lrt.check(tiny(model_folder, 'sft', {}))
