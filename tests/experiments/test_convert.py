"""The command, from folder to folder."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from transformers import AutoModelForCausalLM, Qwen2Config

from experiments import convert
from hybrid_latent.data.arithmetic import tokenizer
from hybrid_latent.formats.pretrained import pretrained


@pytest.fixture(scope='module')
def source(tmp_path_factory):
  """A random Qwen2 with a real tokenizer and padding rows."""
  folder = tmp_path_factory.mktemp('source')
  torch.manual_seed(0)
  words = tokenizer()
  model = AutoModelForCausalLM.from_config(
    Qwen2Config(
      vocab_size=len(words) + 9,
      hidden_size=32,
      intermediate_size=48,
      num_hidden_layers=2,
      num_attention_heads=4,
      num_key_value_heads=2,
      eos_token_id=words.eos_token_id,
    )
  )
  model.save_pretrained(folder)
  words.save_pretrained(folder)
  return folder


def test_port_writes_a_checked_folder(source, tmp_path, capsys):
  out = tmp_path / 'out'
  convert.main([f'--from={source}', f'--to={out}', '--check'])
  lines = capsys.readouterr().out.splitlines()
  assert lines[0] == 'parity: the re-imported export is bit-equal'
  gaps = [float(line.rpartition(' ')[2]) for line in lines[1:3]]
  assert all(line.startswith('parity: max |logit') for line in lines[1:3])
  assert max(gaps) < 1e-5
  before, after = pretrained(source), pretrained(out)
  text = 'Tom has 12 apples.'
  assert before.tokenizer.encode(text) == after.tokenizer.encode(text)
  assert after.tokenizer.chat_template == before.tokenizer.chat_template
  assert after.generation['eos_token_id'] == before.generation['eos_token_id']
  np.testing.assert_array_equal(before.model.table, after.model.table)


def test_port_changes_the_dtype_and_overwrites_only_when_told(
  source, tmp_path, capsys
):
  command = [f'--from={source}', f'--to={tmp_path / "out"}', '--dtype=bfloat16']
  convert.main(command)
  with pytest.raises(SystemExit) as end:
    convert.main(command)
  assert end.value.code == 2
  assert (
    f'{tmp_path / "out"} exists: write elsewhere' in capsys.readouterr().err
  )
  convert.main([*command, '--overwrite'])
  fields = json.loads((tmp_path / 'out' / 'config.json').read_text())
  assert fields['torch_dtype'] == 'bfloat16'
  loaded = AutoModelForCausalLM.from_pretrained(tmp_path / 'out')
  assert loaded.dtype == torch.bfloat16
  assert [p.name for p in tmp_path.iterdir()] == ['out']


def test_nothing_is_written_unless_the_export_reads_back(
  source, tmp_path, monkeypatch
):
  """A parameter that the disk changed."""
  write = convert.write_folder

  def damage(ported, folder):
    write(ported, folder)
    file = folder / 'model.safetensors'
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)

  monkeypatch.setattr(convert, 'write_folder', damage)
  with pytest.raises(RuntimeError, match='1 tensors read back'):
    convert.main([f'--from={source}', f'--to={tmp_path / "out"}'])
  assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize('name', ['no_such_preset', './absent', 'empty'])
def test_a_model_that_there_is_not_is_one_sentence(name, tmp_path, capsys):
  (tmp_path / 'empty').mkdir()
  name = str(tmp_path / name) if name == 'empty' else name
  with pytest.raises(SystemExit) as end:
    convert.main([f'--from={name}', f'--to={tmp_path / "out"}'])
  assert end.value.code == 2
  assert capsys.readouterr().err.splitlines()[-1].count(name) == 1
  assert [x.name for x in tmp_path.iterdir()] == ['empty']


def test_what_a_feedback_owns_comes_along(source, tmp_path, capsys):
  folder = Path(shutil.copytree(source, tmp_path / 'source'))
  save_file({'w_r': np.eye(2, 3)}, folder / 'feedback.safetensors')
  convert.main([f'--from={folder}', f'--to={tmp_path / "out"}'])
  again = pretrained(tmp_path / 'out')
  np.testing.assert_array_equal(again.feedback_params['w_r'], np.eye(2, 3))
  last = capsys.readouterr().out.splitlines()[-1]
  assert last.startswith(f'wrote {tmp_path / "out"}: qwen2, 2 layers, ')
