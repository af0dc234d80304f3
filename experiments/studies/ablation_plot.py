"""The figure of cot_ablation: accuracy over the share that is deleted."""

from collections.abc import Sequence

import matplotlib as mpl
from etils import epath
from matplotlib.figure import Figure

from ..training.resumable_shards import atomic_file


def plot_ablation(folder: epath.Path, table: Sequence[dict], rows: int) -> None:
  """Writes fragments.svg and .png, with one line per kind.

  Args:
    folder: WORKDIR.
    table: the rows of fragments.jsonl.
    rows: the number of rows of the data.
  """
  figure = Figure(figsize=(5, 3.2), layout='constrained')
  ax = figure.subplots()
  for kind in dict.fromkeys(row['kind'] for row in table):
    points = sorted(
      (row['share'], row['accuracy'], row['standard_error'])
      for row in table
      if row['kind'] == kind
    )
    share, mean, error = zip(*points, strict=True)
    ax.errorbar(share, mean, error, label=f'by {kind}', capsize=2, marker='.')
  ax.set_title(
    f'Accuracy ({rows} rows, ± standard error)', fontsize=8, loc='left'
  )
  ax.set_xlabel('share of the reasoning that is deleted', fontsize=8)
  ax.spines[['top', 'right']].set_visible(False)
  ax.grid(axis='y', alpha=0.25)
  ax.tick_params(labelsize=8)
  ax.legend(frameon=False, fontsize=8)
  for kind, about in (('svg', {'Date': None}), ('png', {})):
    with (
      mpl.rc_context({'svg.hashsalt': 'fragments'}),  # reproducible ids
      atomic_file(folder / f'fragments.{kind}') as draft,
      draft.open('wb') as file,
    ):
      figure.savefig(file, format=kind, dpi=150, metadata=about)
