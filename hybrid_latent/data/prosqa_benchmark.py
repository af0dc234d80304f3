"""ProsQA as a run wants it: questions to train on, and the published ones.

The authors' training file cannot be had (it is stored elsewhere), so 'train'
is generated, apart from every graph of the files that there are.
"""

from pathlib import Path
from typing import Any

from hybrid_latent.data import jsonl, prosqa
from hybrid_latent.data.procedural import ProceduralRows


def problems(
  split: str, *, path: str | None = None, **drawn: Any
) -> jsonl.Problems | ProceduralRows:
  """Rows of 'train' or 'test', and of 'valid' where there are files.

  Args:
    split: see above.
    path: folder of prosqa_valid.json and prosqa_test.json; without it 'test'
      is generated too.
    **drawn: what is generated, see `prosqa.problems`.
  """
  if path and split != 'train':
    return jsonl.problems('prosqa', path, split)
  files = sorted(Path(path).expanduser().glob('prosqa_*.json')) if path else []
  if path and not files:
    raise FileNotFoundError(
      f'path={path!r} has no prosqa_*.json: name the folder that has '
      "prosqa_test.json, or write path='' to generate the test rows as well"
    )
  return prosqa.problems(split, apart_from=[str(f) for f in files], **drawn)
