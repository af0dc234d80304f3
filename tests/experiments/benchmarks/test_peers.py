"""Both sides of a comparison do equal work, one at a time."""

import argparse
import dataclasses
import json
import sys

import pytest

from experiments.benchmarks import own_steps, peers
from experiments.benchmarks.peers import Side
from experiments.benchmarks.records import records
from hybrid_latent.models.llama import SIZES

STEPS = f"""{peers.PEER}
import json, time
from pathlib import Path
def main(path):
  gate = steps.Gate()
  for i in range(3):
    print('what a library prints')
    gate(tokens=i, of=json.loads(Path(path).read_text())['what'])
    time.sleep(0.2)
  sys.exit('broken')
steps.main = main"""


def test_a_side_makes_a_step_when_it_is_told_to(tmp_path, capsys):
  options = {'what': 'x'}
  with Side(sys.executable, STEPS, options, tmp_path / 'side') as side:
    assert (side.facts['tokens'], side.facts['of']) == (0, 'x')
    assert side.facts['peak, MiB'] > 1
    for i in (1, 2):
      assert 0.2 <= side.step() < 2
      assert side.facts['tokens'] == i
    with pytest.raises(ChildProcessError, match='ended with exit code 1'):
      side.step()
  assert 'broken' in capsys.readouterr().err


def test_a_peer_that_is_not_installed_is_named(monkeypatch, capsys):
  monkeypatch.setitem(peers.NEEDS, 'sft', (('no_such_peer',), 'such==1.0'))
  monkeypatch.setattr(sys, 'argv', ['peers', '--what=sft'])
  with pytest.raises(SystemExit, match='2'):
    peers.main()
  error = capsys.readouterr().err
  assert error.startswith(f'error: --what=sft: {sys.executable} lacks one of')
  assert 'pip install such==1.0, or write --peer_python' in error


def test_texts_have_the_tokens_that_the_options_say(tmp_path):
  sizes = {name: size for name, (size, _) in peers.SIZES.items()}
  flags = argparse.Namespace(**sizes, what='sft', small=True)
  made = peers._options(flags, tmp_path)
  config = dataclasses.replace(SIZES['smollm2-135m'], **own_steps.SMALL)
  tokenizer = own_steps._tokenizer(config.vocab)
  lengths = lambda texts: {len(ids) for ids in tokenizer(texts)['input_ids']}
  assert len(tokenizer) == config.vocab
  assert lengths(made['texts']) == {sizes['prompt']}
  ours = zip(made['questions'], made['answers'], strict=True)
  count = sizes['length'] // 4 - 1  # and the end
  assert lengths(made['documents']) == {count}
  ids = lambda text: tokenizer(text)['input_ids']
  assert {len(ids(q) + ids(a)) for q, a in ours} == {count}


@pytest.mark.slow
@pytest.mark.parametrize(('what', 'tokens'), [('grpo', 64), ('sft', 128)])
def test_steps_beside_trl_have_equal_tokens(
  what, tokens, monkeypatch, tmp_path, capsys
):
  pytest.importorskip('trl')
  options = f'--what={what} --small --steps=2 --warmup=1 --turn=1'
  options += f' --prompt=16 --tokens=8 --length=64 --out={tmp_path}/x.jsonl'
  monkeypatch.setattr(sys, 'argv', ['peers', *options.split()])
  peers.main()
  (record,) = records(tmp_path / 'x.jsonl')
  (row,) = record.rows
  assert json.loads(json.dumps(row)) == row
  # A random model may end a completion early.
  assert row['ours, tokens'] == pytest.approx(tokens, abs=8)
  assert row['peer, tokens'] == pytest.approx(tokens, abs=8)
  assert row['ratio'] == pytest.approx(row['peer, s'] / row['ours, s'])
