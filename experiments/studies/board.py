"""The claims of the papers, and the board: what the studies say about each.

Paper's figures: HRPO arXiv 2505.18454, Soft Tokens arXiv 2509.19170, HyRea
("Hybrid Reasoning", ICLR 2026), LRT ("Latent Reasoning Tuning", ICLR 2026).
"""

import re
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import NamedTuple

from ..report.tables import markdown_table, replace_between, write_atomic
from .study import RAW, MissingRowsError, Study, recorded_rows, verdicts

BEGIN, END = (
  '<!-- board: python -m experiments.studies --board -->',
  '<!-- end of the board -->',
)
RESULTS = RAW.parents[1] / 'RESULTS.md'
PAGE = RAW.parents[3] / 'docs' / 'what_latents_do.md'
FIGURES = PAGE.parent / 'studies'


class Claim(NamedTuple):
  """What a paper says."""

  paper: str
  text: str
  figure: str  # the paper's numbers


CLAIMS = {
  i: Claim(*claim)
  for i, claim in enumerate(
    (
      ('HRPO', 'beats GRPO and PPO', 'GSM8K, 1.5B: 0.720 / 0.711 / 0.694'),
      ('HRPO', 'hidden states as inputs collapse', 'MATH: near 0'),
      ('HRPO', 'interpolated inputs learn, then collapse', 'curve'),
      ('HRPO', 'the hidden ratio grows in training', 'curve'),
      ('HRPO', 'completions become shorter than those of GRPO', 'curve'),
      ('HRPO', 'a smaller r_min, hence more latent input, helps knowledge '
       'tasks', 'figure'),
      ('Soft Tokens', 'soft training equals hard training at pass@1',
       'Llama, Qwen to 8B'),
      ('Soft Tokens', 'soft training exceeds hard training at pass@32',
       'curves'),
      ('Soft Tokens', 'soft training with hard inference is the best pair',
       '3 x 6 grid'),
      ('Soft Tokens', 'soft training preserves predictions out of domain',
       'accuracy and NLL of three benchmarks'),
      ('Soft Tokens', 'the overhead is minimal', 'hundreds of latent tokens'),
      ('HyRea', 'half of the tokens at equal accuracy',
       'MATH-500, 7B: 387 / 698 tokens, 0.836 / 0.842'),
      ('HyRea', 'exceeds Coconut', '0.836 / 0.704'),
      ('HyRea', 'exceeds Soft Thinking', '0.836 / 0.664'),
      ('HyRea', 'replacing steps of low entropy saves more tokens than random '
       'ones at equal accuracy', '287 / 309 tokens'),
      ('HyRea', 'accuracy collapses above four latents per span',
       'figure'),
      ('HyRea', 'without RL accuracy is lower', '0.718 / 0.836'),
      ('HyRea', 'three to five spans, in regions of low entropy, in blocks',
       'figure'),
      ('HyRea', 'comparable out of domain with half of the tokens',
       'MMLU 0.686, GPQA'),
      ('HyRea', 'weight 4 on the switch tokens helps', 'not ablated'),
      ('LRT', 'half of the tokens of a chain of thought can be deleted at '
       'little cost', 'MATH-500: 0.928 / 0.906'),
      ('LRT', 'exceeds NoThinking, ShorterBetter and LC-R1 at 512 tokens',
       '0.449 / 0.423 / 0.390 / 0.402'),
      ('LRT', 'gains over NoThinking at pass@4', '0.668 / 0.626'),
      ('LRT', '256 latents are best, 512 worse',
       '64 to 512: 0.425, 0.450, 0.484, 0.469'),
      ('LRT', 'SFT and RL exceed SFT', '0.484 / 0.413'),
      ('LRT', 'the base is untouched, modes switch per request', 'by design'),
      ('all', 'latents carry the computation: their content matters',
       'Coconut, theory'),
    ),
    1,
  )
}  # fmt: skip


def markdown(studies: Sequence[Study]) -> str:
  """The board: a table of all claims, then each study."""
  rows = {study.name: recorded_rows(study) for study in studies}
  found = {
    claim: (study, verdict)
    for study in studies
    for claim, verdict in verdicts(study, rows[study.name]).items()
  }
  summary = [
    {
      '#': i,
      'paper': claim.paper,
      'claim': claim.text,
      "paper's figure": claim.figure,
      'here': found[i][1].ours if i in found else '–',
      'verdict': f'**{found[i][1].verdict}**' if i in found else 'not run',
      'study': f'[{found[i][0].name}](#{found[i][0].name})'
      if i in found
      else '–',
    }
    for i, claim in CLAIMS.items()
  ]
  sections = [
    line for study in studies for line in _section(study, rows[study.name])
  ]
  return '\n'.join([markdown_table(summary), '', *sections])


def _section(study: Study, rows: Sequence[dict]) -> Iterator[str]:
  """The lines of a study: its command, table, figure and claims."""
  yield f'### {study.name}\n\n{study.about}\n'
  if not rows:
    yield 'Not run.\n'
    return
  cells = {row['cell']: row for row in rows}.values()
  minutes = sum(cell['cpu_seconds'] for cell in cells) / 60
  commits = ', '.join(sorted({cell['commit'][:7] for cell in cells}))
  yield (
    f'`python -m experiments.studies.{study.name}`: {len(cells)} cells, '
    f'{minutes:.0f} CPU minutes on shared cores; commit {commits}; '
    f'[rows](raw/studies/{study.name}.jsonl).\n'
  )
  with suppress(MissingRowsError):
    yield markdown_table(study.table(rows)) + '\n'
  if (FIGURES / f'{study.name}.png').exists():
    yield f'![{study.about}](../../docs/studies/{study.name}.png)\n'
  for i, verdict in verdicts(study, rows).items():
    yield (
      f'- **{i}. {CLAIMS[i].paper}: {CLAIMS[i].text}: {verdict.verdict}.** '
      f'{verdict.ours}. Control: {verdict.controls}.'
      + (f' {verdict.why}.' if verdict.why else '')
    )
  yield ''


def with_board(page: str, board: str) -> str:
  """The page with the board between its marks."""
  return replace_between(page, BEGIN, END, board)


def with_claims(page: str, studies: Sequence[Study]) -> str:
  """The page with what is known of claim N between `<!-- claim N -->` and
  `<!-- end of claim -->`."""
  found = {
    claim: verdict
    for study in studies
    for claim, verdict in verdicts(study, recorded_rows(study)).items()
  }

  def text(match: re.Match) -> str:
    verdict = found.get(int(match[2]))
    said = f'{verdict.ours}. Control: {verdict.controls}.' if verdict else '–'
    return f'{match[1]}\n{textwrap.fill(said, 80)}\n{match[3]}'

  marked = r'(<!-- claim (\d+) -->).*?(<!-- end of claim -->)'
  return re.sub(marked, text, page, flags=re.DOTALL)


def write_board(studies: Sequence[Study]) -> None:
  """Writes the figures, the board into RESULTS.md, and the claims into the page
  of the documentation."""
  FIGURES.mkdir(exist_ok=True)
  for study in studies:
    with suppress(MissingRowsError):
      study.figure(recorded_rows(study), FIGURES)
  write_atomic(RESULTS, with_board(RESULTS.read_text(), markdown(studies)))
  write_atomic(PAGE, with_claims(PAGE.read_text(), studies))
