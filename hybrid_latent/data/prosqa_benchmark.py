"""ProsQA: a generated training set and the published test sets.

The authors' training file is not in their repository, so 'train' is generated,
without the graphs of the published files.
"""

from pathlib import Path
from typing import Any

from hybrid_latent.data import jsonl, prosqa
from hybrid_latent.data.procedural import ProceduralRows


def problems(
  split: str, *, path: str | None = None, **drawn: Any
) -> jsonl.Problems | ProceduralRows:
  """Rows of 'train' or 'test', and with `path` of 'valid'.

  Args:
    split: one of these.
    path: folder of prosqa_valid.json and prosqa_test.json; without it 'test'
      is generated, too.
    **drawn: arguments of `prosqa.problems`, for generated rows.
  """
  if path and split != 'train':
    return jsonl.problems('prosqa', path, split)
  files = sorted(Path(path).expanduser().glob('prosqa_*.json')) if path else []
  if path and not files:
    raise FileNotFoundError(
      f'path={path!r} has no prosqa_*.json: write the folder of '
      "prosqa_test.json, or path='' to generate the test rows as well"
    )
  return prosqa.problems(split, apart_from=[str(f) for f in files], **drawn)
