"""What a new user writes on a command line: help, mistakes, '~'."""

import json
import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from experiments.__main__ import commands
from experiments.fields.overrides import resolved
from experiments.training import cli

ROOT = Path(__file__).parents[2]
# Whatever takes seconds to import.
HEAVY = ('jax', 'flax', 'transformers', 'torch', 'tensorflow', 'orbax', 'optax',
         'matplotlib', 'grain', 'sympy', 'math_verify')  # fmt: skip
# Each command as `python -m` runs it, one after the other in one process.
DRIVER = f"""
import contextlib, io, json, runpy, sys
found = []
for name, *words in json.loads(sys.argv[1]):
  sys.argv = [name, *words]
  out, err, code = io.StringIO(), io.StringIO(), None
  with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
    try:
      runpy.run_module(f'experiments.{{name}}', run_name='__main__')
    except SystemExit as end:
      code = end.code
  heavy = sorted({{*{HEAVY}}} & {{*sys.modules}})
  found.append([code, out.getvalue(), err.getvalue(), heavy])
print(json.dumps(found))
"""
TRAINERS = 'grpo', 'sft', 'lrt', 'generate', 'evaluate', 'step_entropy'
CONFIG = '--config=rl:MODEL', '--workdir=x'
LISTED = (  # command, what is wrong, what is said of it
  *((name, ['--config=rl:MODEL'], '--workdir') for name in TRAINERS),
  *((name, ['--workdir=x'], '--config') for name in TRAINERS),
  (
    'grpo',
    [*CONFIG, '--config.max_stepz=3'],
    'config.max_stepz: write config.max_steps',
  ),
  ('grpo', [*CONFIG, '--config.max_steps=few'], "'few': write an integer >= 0"),
  (
    'grpo',
    [*CONFIG, '--config.gradient_accumulation_steps=3'],
    'gradient_accumulation_steps=3: write',
  ),
  (
    'grpo',
    [*CONFIG, 'max_steps=3'],
    "'max_steps=3': write --config.FIELD=VALUE",
  ),
  ('grpo', ['--config=no.py', '--workdir=x'], "no file 'no.py': write a file"),
  ('grpo', ['--config=rl:MODEL,smok', '--workdir=x'], "write 'MODEL[,smoke]'"),
  ('grpo', ['--config=rl:', '--workdir=x'], 'write rl:MODEL, or rl for its d'),
  (
    'grpo',
    ['--config=sft:MODEL', '--workdir=x'],
    'this is a config of python -m experiments.sft',
  ),
  (
    'sft',
    ['--config=sft:M', '--workdir='],
    "argument --workdir: '': write a p",
  ),
  ('studies.cot_ablation', [*CONFIG], '--generated'),
  (
    'studies.cot_ablation',
    ['--kinds=word'],
    "'word': write a tuple of values, each 'tok",
  ),
  ('studies.cot_ablation', ['--shares=2'], 'a number >= 0 and <= 1'),
  ('serve', ['--config=rl:MODEL'], '--requests'),
  ('chat', [], 'no model: write one of --model'),
  ('measures', ['--table=hyrea'], '--record'),
  ('traces', ['--record=x', '--num_prompts=-1'], 'an integer >= 1'),
  ('harness', ['--tasks=a', '--config=rl:M'], '--workdir'),
  ('chat', ['--model=x', '--context=0'], 'an integer >= 1'),
  ('export', ['--workdir=x'], '--to'),
  ('convert', ['--to=x'], '--from'),
  ('convert', ['--from=x', '--to=y', '--dtype=int8'], 'invalid choice'),
  ('new_model', ['--to=x', '--tokenizer=a:b', '--width=0'], 'an integer >= 1'),
  ('report', [], '--runs'),
  ('studies.quickstart', ['--minutes=-1'], "'-1': write a number > 0"),
  ('studies.hyrea', ['--part=2/2'], "'2/2': write I/N with I below N"),
  ('studies', [], 'one of the arguments --list --all --record --board'),
  ('studies.states', ['--part=2'], "'2': write I/N with I below N"),
  ('studies.soft_tokens', ['--seeds=0'], 'an integer >= 1'),
  ('studies.hrpo', ['--part=2/2'], "'2/2': write I/N with I below N"),
  ('studies.methods', ['--seeds=0'], 'an integer >= 1'),
  ('studies.lrt', ['--seeds=0'], 'an integer >= 1'),
  ('sweep', ['--workdir=x', '--jobs=0'], "--jobs: '0': write an integer >= 1"),
  ('sweep', ['--config=rl:M'], '--workdir'),
  ('aot', ['--config=rl:M'], '--target'),
  ('aot', ['--target=h100:8', '--config=rl:M', '--memory=-1'], 'a number > 0'),
  ('aot.forecasts', ['--jobs=0'], 'an integer >= 1'),
  ('aot.scaling', ['--chunk=0'], 'an integer >= 1'),
  ('aot.row_memory', ['--lengths=0'], 'each an integer >= 1'),
  ('launch', ['--on=slurm'], 'write the command after --'),
  ('launch', ['--on=moon', '--', 'x'], "invalid choice: 'moon'"),
  ('benchmarks.decode', ['--what=speed'], "each 'decode', 'hrpo' or 'feedba"),
  ('benchmarks.latent_passes', ['--rows=0'], 'an integer >= 1'),
  ('benchmarks.log_probs', ['--lengths=0'], 'each an integer >= 1'),
  ('benchmarks.lrt_update', [], '--config'),
  ('benchmarks.peers', ['--what=trl'], "invalid choice: 'trl'"),
  ('benchmarks.refill', ['--rows=0'], 'an integer >= 1'),
  ('benchmarks.shared_prompt', ['--group=0'], 'an integer >= 1'),
  ('benchmarks.start_up', ['--steps=0'], 'an integer >= 1'),
  ('benchmarks.targets', ['--run=all'], "'all': write a tuple of values"),
)
COMMANDS = tuple(dict.fromkeys(name for name, *_ in LISTED))


def driven(lines):
  """What each command line gives: exit code, output, errors, heavy modules."""
  result = subprocess.run(
    [sys.executable, '-c', DRIVER, json.dumps(lines)],
    cwd=ROOT,
    env=os.environ | {'PYTHONPATH': str(ROOT)},
    capture_output=True,
    text=True,
    check=True,
  )
  return json.loads(result.stdout)


@pytest.fixture(scope='module')
def helped():
  return dict(
    zip(COMMANDS, driven([[x, '--help'] for x in COMMANDS]), strict=True)
  )


@pytest.fixture(scope='module')
def refused():
  return driven([[name, *words] for name, words, _ in LISTED])


def test_every_command_is_here():
  """Every module that can be run, but the table's own."""
  others = {'fields', 'benchmarks.device', 'benchmarks.grading'}
  assert {*commands()} - others == {*COMMANDS}


@pytest.mark.parametrize('name', COMMANDS)
def test_help_imports_nothing_heavy(name, helped, now):
  code, out, err, heavy = helped[name]
  now('`--help` takes 26 s', f'{name} --help', f'exit {code}, imports {heavy}')
  assert (code or 0, err, heavy) == (0, '', [])
  assert f'python -m experiments.{name}' in out
  assert '--debug' in out


def test_help_has_every_field_and_every_config(helped):
  _, out, *_ = helped['grpo']
  assert (
    '--config.optimizer.groups.lora.lr=1e-05\n      Peak learning rate.' in out
  )
  assert (
    '  hrpo_gsm8k             HRPO on GSM8K: "Hybrid Latent Reasoning' in out
  )
  assert '--config.rollout.rollout_dir=' in out
  _, out, *_ = helped['sft']
  assert '--config.stages.starts=(0,)' in out
  assert '--config.rollout.rollout_dir=' not in out


@pytest.mark.parametrize('i', range(len(LISTED)))
def test_a_usage_error_is_one_line(i, refused, now):
  (name, words, said), (code, out, err, heavy) = LISTED[i], refused[i]
  now('usage errors take 34 s', f'{name} {" ".join(words)}', err)
  assert (code, out, heavy) == (2, '', [])
  assert err.startswith('error: ') and err.count('\n') == 1
  assert said in err


def test_a_value_may_follow_its_field(now):
  """As the options of argparse do, of every kind of value."""
  words = (
    '--config.rollout.max_completion_length 8 --config.data.system_prompt a=b '
    '--config.max_steps'
  )
  words = [*words.split(), '2', '--config.optimizer.max_grad_norm', '0.5']
  made = resolved('rl:M', words)
  found = (
    made.rollout.max_completion_length,
    made.data.system_prompt,
    made.max_steps,
  )
  now('--config.FIELD VALUE', words, found)
  assert (*found, made.optimizer.max_grad_norm) == (8, 'a=b', 2, 0.5)


@pytest.mark.parametrize(
  ('words', 'said'),
  [
    (
      ['--config.max_steps'],
      "'--config.max_steps': write --config.FIELD=VALUE",
    ),
    (
      ['--config.max_steps', '--config.seed=1'],
      "'--config.max_steps': write --con",
    ),
    (
      ['--config.max_steps', '-1'],
      "config.max_steps is '-1': write an integer >= 0",
    ),
    (['--config.max_steps', '1', '2'], "'2': write --config.FIELD=VALUE"),
  ],
)
def test_a_value_that_is_missing_or_too_much(words, said, now):
  with pytest.raises(ValueError) as caught:
    resolved('rl:M', words)
  now('--config.FIELD VALUE', words, caught.value)
  assert str(caught.value).startswith(said)


def test_help_shows_how_a_field_is_written(helped):
  _, out, *_ = helped['grpo']
  assert '[--config.FIELD=VALUE] --workdir' in ' '.join(out.split())


def test_home_is_expanded_everywhere(monkeypatch, tmp_path):
  monkeypatch.setenv('HOME', str(tmp_path))
  (tmp_path / 'mine.py').write_text(
    'from experiments.configs import rl\n'
    'def get_config(argument="~/model"):\n'
    '  return rl.get_config(argument)\n'
  )
  made = resolved('~/mine.py', ['--config.data.path=~/data'])
  assert made.model.source == f'{tmp_path}/model'
  assert made.data.path == f'{tmp_path}/data'
  assert resolved('rl:~/m', []).model.source == f'{tmp_path}/m'
  made = resolved(
    'lrt:M',
    ['--config.data.sft_answers_dir=~/t',
     '--config.feedback.init_kwargs.source=~/r',
     "--config.evaluate.models=('A=~/b', 'B=c~')"],
  )  # fmt: skip
  assert made.data.sft_answers_dir == f'{tmp_path}/t'
  assert made.feedback.init_kwargs.source == f'{tmp_path}/r'
  assert made.evaluate.models == (f'A={tmp_path}/b', 'B=c~')
  flags = cli.parse(
    cli.config_parser('grpo', ''), ['--config=rl:M', '--workdir=~/x']
  ).flags
  assert flags.workdir == f'{tmp_path}/x'
  assert resolved('rl', ['--config.data.prefill=~/']).data.prefill == '~/'


def test_a_bare_name_is_found_from_anywhere(monkeypatch, tmp_path):
  monkeypatch.chdir(tmp_path)
  for path in (
    'hrpo_gsm8k',
    'hrpo_gsm8k.py',
    'experiments/configs/hrpo_gsm8k.py',
  ):
    assert resolved(f'{path}:M', []).feedback.function == 'gated:gated'


@pytest.mark.parametrize(
  ('raises', 'ends'),
  [
    ("raise ValueError('config.x is 1: write 2')", 'config.x is 1: write 2'),
    ("raise FileExistsError('--to: x exists')", '--to: x exists'),
    ("open('nowhere.json')", "No such file or directory: 'nowhere.json'"),
    ("raise ModuleNotFoundError('pip install x')", 'pip install x'),
    ("int('few')", None),  # nobody has said anything about it
    ("{}['x']", None),
    ("raise TypeError('f() takes no y')", None),
    ('import no_such_module', None),
  ],
)
def test_what_is_refused_and_what_is_a_mistake_of_ours(
  raises, ends, tmp_path, monkeypatch, capsys, now
):
  """The line says it; `--debug` shows where."""
  path = tmp_path / 'broken.py'
  path.write_text(f'def f():\n  {raises}\n')
  broken = runpy.run_path(str(path))['f']
  monkeypatch.setattr(sys, 'argv', ['x'])
  with pytest.raises(BaseException) as end, cli.report_errors():
    broken()
  err = capsys.readouterr().err
  now('no traceback without --debug', raises, err or repr(end.value))
  assert (end.type is SystemExit) == (ends is not None)
  if ends:
    assert end.value.code == 2
    assert err.startswith('error: ') and err.endswith(f'{ends}\n')
  monkeypatch.setattr(sys, 'argv', ['x', '--debug'])
  with pytest.raises(Exception) as end, cli.report_errors():
    broken()
  assert end.type is not SystemExit
