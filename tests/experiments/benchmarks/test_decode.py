"""The measurements run, and compare like with like."""

import argparse
import sys

import pytest

from experiments.benchmarks import decode, timing
from hybrid_latent.feedback.gated import Gate, gated
from hybrid_latent.formats.pretrained import pretrained
from hybrid_latent.models.transformer import Transformer
from hybrid_latent.policy import Policy
from hybrid_latent.trees import named_leaves
from tests import tiny
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


def test_the_floor_is_one_read_of_all_weights_or_two_flops_per_weight(key):
  c, (p, t, b) = tiny.CONFIG, (3, 2, 5)
  names = named_leaves(Transformer(c, key))
  sizes = {n: x.size for n, x in names.items() if 'norm' not in n}
  layers = sum(size for n, size in sizes.items() if 'layers' in n)
  every, slot = sum(sizes.values()), 2 * c.layers * c.kv_heads * c.head_dim
  flags = argparse.Namespace(prompt=p, tokens=t, bandwidth=1e9, flops=1e-9)
  attention = 4 * c.layers * c.heads * c.head_dim * b
  flops = 2 * b * (p * layers + t * every) + attention * (p * p / 2 + p + p + 1)
  assert decode.floor_seconds(flags, c, b) == pytest.approx(flops)
  flags.bandwidth, flags.flops = 1e-9, 1e9
  read = layers + t * every + b * slot * (p + p + p + 1)
  assert decode.floor_seconds(flags, c, b) == pytest.approx(4 * read)


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
  table = {row[3]: row[2:] for row in rows}
  assert [*table] == [
    *('discrete', 'gated', 'interpolated', 'hidden', 'projected', 'soft'),
    *('soft_thinking', 'gumbel_soft', 'multiplex', 'colar'),
    *('swireasoning', 'jacobi', 'switching', 'prefix'),
  ]
  assert table['discrete'][3] == table['discrete'][5] == '1'
  assert table['soft_thinking'][4:6] == ['–', '–']
  latent = {name: float(row[6]) for name, row in table.items()}
  assert latent['discrete'] == 0 and latent['hidden'] == latent['soft'] == 1
  assert 0 < latent['switching'] < 1
  sizes = {name: row[7] for name, row in table.items()}
  # Ids and weights of tokens; ids and g of tokens and which are scored.
  assert (sizes.pop('multiplex'), sizes.pop('gumbel_soft')) == ('25', '46')
  # A latent of 32 floats and whether it was read.
  assert {*sizes.values()} == {'0', '129'}


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
    assert row[:3] == ['hrpo', 'float32', '2'] and float(row[5]) > 0
    flags = argparse.Namespace(prompt=4, tokens=6, train='all')
    model = pretrained(str(model_folder)).model
    policy = Policy(model, Gate(key, model.config.width))
    out = decode.timed_rollout(flags, 2, policy, gated())()
    loss, gradient = decode.gradient(flags, policy, gated(), out)()
  assert abs(loss) > 0
  assert named_leaves(gradient).keys() == named_leaves(policy).keys()
