"""The measurements run, and compare like with like."""

import argparse
import sys

import pytest

from experiments.benchmarks import decode, timing
from hybrid_latent.feedback.gated import Gate, gated
from hybrid_latent.formats.pretrained import pretrained
from hybrid_latent.policy import Policy
from hybrid_latent.trees import named_leaves
from tests.experiments.runs import quick_compiler


def options(monkeypatch, *flags):
  monkeypatch.setattr(sys, 'argv', ['decode.py', *flags])


def test_an_unknown_table_is_refused(monkeypatch, capsys):
  options(monkeypatch, '--what=hrpo,speed')
  with pytest.raises(SystemExit, match='2'):
    decode.main()
  assert (
    "--what: 'hrpo,speed': write a tuple of values, each 'decode', "
    in capsys.readouterr().err
  )


def test_runs_take_turns_and_the_first_is_not_counted():
  order = []
  run = lambda name: lambda: order.append(name)
  times = timing.interleaved({name: run(name) for name in 'ab'}, 2)
  assert order == ['a', 'b'] * 3
  assert all(0 <= seconds < 1 for seconds in times.values())


@pytest.mark.slow
def test_every_feedback_has_a_line(model_folder, monkeypatch, capsys):
  options(
    monkeypatch,
    *('--what=feedbacks', f'--model={model_folder}', '--dtypes=float32'),
    *('--batches=2', '--prompt=4', '--tokens=6', '--repeats=1'),
  )
  with quick_compiler():
    decode.main()
  told = capsys.readouterr().out
  rows = [line.strip('| ').split(' | ') for line in told.splitlines()[5:]]
  table = {row[1]: row for row in rows}
  assert [*table] == [
    *('discrete', 'gated', 'interpolated', 'hidden', 'projected', 'soft'),
    *('soft_thinking', 'gumbel_soft', 'multiplex', 'swireasoning'),
    *('switching', 'prefix'),
  ]
  assert table['discrete'][3] == table['discrete'][5] == '1.000'
  assert table['soft_thinking'][4:6] == ['–', '–']
  latent = {name: float(row[6]) for name, row in table.items()}
  assert latent['discrete'] == 0 and latent['hidden'] == latent['soft'] == 1
  assert 0 < latent['switching'] < 1
  # A latent of 32 floats and whether it was read.
  assert {row[7] for row in rows} == {'0', '129'}


@pytest.mark.slow
def test_hrpo_beside_plain_tokens_and_a_gradient_of_all(
  model_folder, monkeypatch, capsys, key
):
  options(
    monkeypatch,
    *('--what=hrpo', f'--model={model_folder}', '--dtypes=float32'),
    *('--batches=2', '--prompt=4', '--tokens=6', '--repeats=1'),
  )
  with quick_compiler():
    decode.main()
    row = capsys.readouterr().out.splitlines()[-1].strip('| ').split(' | ')
    assert row[0] == '2' and float(row[3]) > 0
    flags = argparse.Namespace(prompt=4, tokens=6, train='all')
    model = pretrained(str(model_folder)).model
    policy = Policy(model, Gate(key, model.config.width))
    out = decode.timed_rollout(flags, 2, policy, gated())()
    loss, gradient = decode.gradient(flags, policy, gated(), out)()
  assert abs(loss) > 0
  assert named_leaves(gradient).keys() == named_leaves(policy).keys()
