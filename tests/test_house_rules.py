"""The rules of CONTRIBUTING.md that a machine can check."""

import ast
import graphlib
import importlib.util
import itertools
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# Imports point to the left, or stay within a layer.
LAYERS = (
  ('types', 'ranges', 'trees', 'sharding', 'extras'),
  ('ops',),
  (
    *('models', 'formats', 'policy'),
    *('alarms', 'cluster', 'processes', 'metrics', 'measures'),
    *('checkpoint', 'integrity', 'telemetry', 'trackers'),
  ),
  ('feedback', 'objectives', 'rewards', 'curricula', 'data'),
  (
    *('prompt_cache', 'decoding', 'refill', 'rollout'),
    *('streaming', 'exported'),
    *('rescoring', 'continuations', 'latents', 'optim'),
  ),
  ('experiments',),
)
# Mathematics that papers share and that carries no paper's name.
SHARED = {
  'hybrid_latent.feedback.base',
  'hybrid_latent.feedback.discrete',
  'hybrid_latent.feedback.hidden',
  'hybrid_latent.feedback.mixtures',
  'hybrid_latent.objectives.accumulators',
  'hybrid_latent.objectives.advantages',
  'hybrid_latent.objectives.aggregation',
  'hybrid_latent.objectives.base',
  'hybrid_latent.objectives.distances',
  'hybrid_latent.objectives.kl',
  'hybrid_latent.objectives.ratio',
  'hybrid_latent.objectives.supervised',
}
# Whose public functions take arrays, and how a shape is written.
SHAPED = tuple(
  f'hybrid_latent.{part}'
  for part in (
    *('ops', 'models', 'feedback', 'objectives'),
    *('prompt_cache', 'decoding', 'refill', 'rollout', 'streaming'),
    *('rescoring', 'continuations', 'latents'),
  )
)
SHAPE = r"\w+\[(Array|np\.ndarray), '[^']*'\]"
TRAINERS = ('sft.py', 'grpo.py', 'lrt.py')
NOT_FOR_ROLLOUT = (
  *('optax', 'orbax', 'transformers', 'tensorflow_datasets', 'grain'),
  'ml_collections',
)


def source_files() -> dict[str, Path]:
  """Module name -> file, of everything that is installed."""
  roots = ROOT, ROOT, ROOT / 'kernels'
  packages = 'hybrid_latent', 'experiments', 'latent_kernels'
  return {
    '.'.join(path.relative_to(root).with_suffix('').parts).removesuffix(
      '.__init__'
    ): path
    for root, package in zip(roots, packages, strict=True)
    for path in sorted((root / package).rglob('*.py'))
  }


FILES = source_files()
TREES = {name: ast.parse(path.read_text()) for name, path in FILES.items()}


def imported(name: str) -> set[str]:
  """Full names of what a module imports, modules of the project as such. Those
  of experiments are relative: a wheel carries them by another name."""
  names = set()
  package = name.split('.')
  if FILES[name].name != '__init__.py':
    package = package[:-1]
  for node in ast.walk(TREES[name]):
    if isinstance(node, ast.Import):
      names |= {alias.name for alias in node.names}
    elif isinstance(node, ast.ImportFrom):
      ours = package[: len(package) - node.level + 1] if node.level else []
      module = '.'.join([*ours, *filter(None, [node.module])])
      inside = (name.split('.')[0], module.split('.')[0]) == (
        'experiments',
      ) * 2
      assert bool(node.level) == inside, f'{name}: {ast.unparse(node)}'
      for alias in node.names:
        inner = f'{module}.{alias.name}'
        names.add(inner if inner in FILES else module)
  return names


IMPORTS = {name: imported(name) for name in FILES}


def test_imports_point_one_way():
  level = {part: i for i, layer in enumerate(LAYERS) for part in layer}

  def layer(name):
    parts = name.split('.')
    part = parts[1] if parts[0] == 'hybrid_latent' else parts[0]
    assert part in level, f'{name}: give {part!r} a place in LAYERS'
    return level[part]

  ours = [n for n in FILES if n.split('.')[0] != 'latent_kernels']
  ours.remove('hybrid_latent')
  assert not [
    f'{name} imports {other}'
    for name in ours
    for other in IMPORTS[name] & set(ours)
    if layer(other) > layer(name)
  ]


def test_imports_have_no_cycle():
  graph = {name: IMPORTS[name] & FILES.keys() - {name} for name in FILES}
  graphlib.TopologicalSorter(graph).prepare()  # raises and names the cycle


def test_only_ops_import_the_kernels():
  assert not [
    name
    for name in FILES
    if any(other.split('.')[0] == 'latent_kernels' for other in IMPORTS[name])
    and not name.startswith(('latent_kernels', 'hybrid_latent.ops.'))
  ]


def test_the_kernels_know_nothing_of_the_project():
  assert not [
    f'{name} imports {other}'
    for name in FILES
    if name.startswith('latent_kernels')
    for other in IMPORTS[name]
    if other.split('.')[0] in ('hybrid_latent', 'experiments')
  ]


def test_arrays_are_annotated_with_their_shapes():
  """Which the typechecker of the tests then holds every call to."""
  found = []
  for name in FILES:
    if not name.startswith((*SHAPED, 'latent_kernels')):
      continue
    for node in ast.walk(TREES[name]):
      hint = getattr(node, 'annotation', None) or getattr(node, 'returns', None)
      bare = re.sub(SHAPE, '', ast.unparse(hint)) if hint else ''
      if re.search(r'\b(Array|ndarray)\b', bare):
        found.append(f'{name}:{hint.lineno} {ast.unparse(hint)}: what shape?')
    for node in TREES[name].body:
      if isinstance(node, ast.FunctionDef) and not node.name.startswith('_'):
        found += [
          f'{name}.{node.name}: what is {arg.arg}?'
          for arg in ast.walk(node.args)
          if isinstance(arg, ast.arg) and not arg.annotation
        ]
  assert not found


def test_a_paper_knows_no_other_paper():
  folders = 'hybrid_latent.feedback.', 'hybrid_latent.objectives.'
  assert not [
    f'{name} imports {other}'
    for folder in folders
    for name in FILES
    if name.startswith(folder)
    for other in IMPORTS[name]
    if other.startswith(folder) and other not in SHARED
  ]


def test_files_are_short():
  files = [*FILES.values(), *(ROOT / 'tests').rglob('*.py')]
  lengths = {
    str(path.relative_to(ROOT)): len(path.read_text().splitlines())
    for path in files
  }
  limits = {f'experiments/{name}': 250 for name in TRAINERS}
  assert not {n: k for n, k in lengths.items() if k > limits.get(n, 300)}


def test_no_file_is_named_after_nothing():
  vague = {'common', 'helper', 'helpers', 'misc', 'util', 'utils'}
  assert not [name for name in FILES if vague & set(name.split('.'))]


def test_nothing_runs_code_from_data():
  """No pickle in any of its forms, no eval, no exec."""
  modules = {'cloudpickle', 'dill', 'joblib', 'marshal', 'pickle', 'shelve'}
  found = [
    f'{name} imports {other}'
    for name in FILES
    for other in IMPORTS[name]
    if other.split('.')[0] in modules
  ]
  for name, tree in TREES.items():
    for node in ast.walk(tree):
      called = node.func if isinstance(node, ast.Call) else None
      if getattr(called, 'id', '') in ('eval', 'exec', '__import__'):
        found.append(f'{name}:{node.lineno} calls {called.id}')
      if isinstance(node, ast.keyword) and node.arg == 'allow_pickle':
        found.append(f'{name}:{node.value.lineno} passes allow_pickle')
  assert not found


@pytest.mark.parametrize('trainer', ['grpo', 'sft', 'lrt'])
def test_a_trainer_can_be_read(trainer):
  """All that it reaches: at most 62 files, 8,700 lines. What the fields of its
  config mean and accept is apart from that, as the config is."""
  reached, new = set(), {f'experiments.{trainer}'}
  while new:
    reached |= new
    new = {n for name in new for n in IMPORTS[name] & FILES.keys()} - reached
    new = {n for n in new if not n.startswith('experiments.fields')}
  lines = sum(len(FILES[n].read_text().splitlines()) for n in reached)
  assert len(reached) <= 62, sorted(reached)
  assert lines <= 8700


def test_trainers_share_no_run_of_lines():
  """Over six lines that two trainers have in common belong into
  experiments/training."""

  def runs(name):
    imports = {
      line
      for node in ast.walk(TREES[name])
      if isinstance(node, ast.Import | ast.ImportFrom)
      for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    }
    lines = enumerate(FILES[name].read_text().splitlines(), 1)
    code = [x.strip() for i, x in lines if i not in imports]
    code = [x for x in code if x and not x.startswith('#')]
    return {tuple(code[i : i + 7]) for i in range(len(code) - 6)}

  found = [runs(f'experiments.{name[:-3]}') for name in TRAINERS]
  assert not [a & b for a, b in itertools.combinations(found, 2) if a & b]


def test_the_rollout_needs_only_jax_and_flax():
  printed = output_of(
    'import sys, flax.nnx\n'  # which brings optax along, its own dependency
    'before = set(sys.modules)\n'
    'import hybrid_latent.rollout, hybrid_latent.rescoring\n'
    'import hybrid_latent.feedback.gated, hybrid_latent.models.transformer\n'
    f'print(*set({NOT_FOR_ROLLOUT}) & (set(sys.modules) - before))'
  )
  assert printed.split() == []


def test_a_trainer_imports_no_heavy_package_before_its_first_use():
  """torch comes with transformers, which waits for the first tokenizer; sympy
  is for the grader's workers, tensorflow-datasets for rows of a file, httpx for
  the hub."""
  heavy = {'torch', 'transformers', 'gguf', 'sympy', 'math_verify',
           'tensorflow_datasets', 'huggingface_hub.hf_api'}  # fmt: skip
  printed = output_of(
    f'import sys, experiments.grpo\nprint(*{heavy} & set(sys.modules))'
  )
  assert printed.split() == []


def output_of(code: str) -> str:
  path = os.pathsep.join([str(ROOT), str(ROOT / 'kernels')])
  result = subprocess.run(
    [sys.executable, '-c', code],
    env={**os.environ, 'PYTHONPATH': path},
    capture_output=True,
    text=True,
    check=True,
  )
  return result.stdout


def test_no_package_is_named_kernels():
  """That name belongs to a package of Hugging Face's."""
  spec = importlib.util.find_spec('kernels')
  assert spec is None or not str(spec.origin).startswith(str(ROOT))
