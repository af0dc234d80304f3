"""What the rows of soft_tokens.py say about the claims of Soft Tokens."""

from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path
from typing import Literal

import numpy as np

from ..report.charts import Chart
from ..report.figures import write_figures
from .outcomes import (
  Difference,
  difference,
  estimate,
  grades,
  pass_at_k,
  range_of_seeds,
  shown,
)
from .soft_tokens_rows import (
  best,
  cell,
  early,
  outside,
  passed,
  tested,
)
from .study import MissingRowsError, Row, Verdict, common, select

Outcome = Literal['shown', 'refuted', 'out of reach here']
MARGIN = 0.03  # of equal accuracies
GAIN, NATS = 0.02, 0.01  # of pass@32, and per token: the least that counts
LARGEST = 1.25  # of a minimal overhead
KS = 1, 2, 4, 8, 16, 32
SOFT = 'soft', 'soft, slow'
MODELS = 'base', 'hard', *SOFT, 'fuzzy'
THINKING = 'hard', 'soft', 'fuzzy'
CONTROLS = 'other_problem', 'pause', 'dropped'


def _chosen(rows: Sequence[Row]) -> tuple[list[Row], ...]:
  """The checkpoints of soft training at the better of its rates and of hard
  training, those of hard training that are as accurate as those of soft, and
  the bases."""
  soft, hard, base = common(
    best(rows, SOFT), best(rows, 'hard'), best(rows, 'base')
  )
  return soft, hard, early(rows, soft), base


def _learned(trained: Sequence[Row], base: Sequence[Row]) -> bool:
  """Whether training raised the greedy accuracy of its bases."""
  return difference(tested(trained, 'greedy'), tested(base, 'greedy')).low > 0


def _decided(is_shown: bool, is_refuted: bool, learned: bool = True) -> Outcome:
  """`learned`: a study whose baseline learns nothing tells nothing."""
  if not learned:
    return 'out of reach here'
  if is_shown:
    return 'shown'
  return 'refuted' if is_refuted else 'out of reach here'


def _why(verdict: str, d: Difference, text: str = '') -> str:
  """Why it is so, or what it would take."""
  if verdict != 'out of reach here':
    return text
  open_ = f'{d.seeds} seeds, whose facts and bases differ, leave it open: more'
  return f'{open_}; {text}' if text else open_


def _counted(d: Difference) -> str:
  return f'{d.seeds} seeds, {d.problems} problems'


def pass_at_1_verdict(rows: Sequence[Row]) -> Verdict:
  """Claim 7."""
  soft, hard, _, base = _chosen(rows)
  greedy = lambda some: tested(some, 'greedy')
  d = difference(greedy(soft), greedy(hard))
  sampled = difference(passed(soft, 1), passed(hard, 1))
  controls = {
    name: f'{greedy(best(rows, arm)).mean():.3f}'
    for name, arm in (
      ('rewards of other problems', 'hard, shuffled'),
      ('fuzzy', 'fuzzy'),
    )
  }
  verdict = _decided(d.low >= -MARGIN, d.high < -MARGIN, _learned(hard, base))
  return Verdict(
    f'greedy {shown(estimate(greedy(soft)))} against hard '
    f'{shown(estimate(greedy(hard)))} (base '
    f'{shown(estimate(greedy(base)))}): {shown(d, signed=True)}; sampled '
    f'{shown(sampled, signed=True)}; {_counted(d)}',
    ', '.join(' '.join(x) for x in controls.items()),
    verdict,
    _why(verdict, d, _exploration(rows)),
  )


def _exploration(rows: Sequence[Row]) -> str:
  """How often a group has no gradient, at first, and what the rate does."""
  first = min(row['step'] for row in select(rows, arm='hard', dataset='in'))
  text = []
  for arm in ('hard', *SOFT):
    try:
      logged = select(rows, arm=arm, step=first, dataset='in')
    except MissingRowsError:
      continue
    flat = np.mean([row['equal_rewards'] for row in logged])
    at = [
      f'{x["seed"]}: {tested([x], "greedy").mean():.3f}'
      for x in best(rows, arm)
    ]
    text.append(
      f'{arm}: {", ".join(at)}, equal rewards in {flat:.2f} of the first groups'
    )
  return f'by training and seed, greedy: {"; ".join(text)}'


def pass_at_32_verdict(rows: Sequence[Row]) -> Verdict:
  """Claim 8."""
  soft, hard, matched, base = _chosen(rows)
  mine, theirs = passed(soft, 32), passed(hard, 32)
  d, as_early = (difference(mine, x) for x in (theirs, passed(matched, 32)))
  from_base = difference(theirs, passed(base, 32))
  teacher, _ = common(select(rows, arm='teacher'), soft)
  held = tested(teacher, 'held_back') == 1
  parts = [(mine - theirs)[x].mean() for x in (~held, held)]
  verdict = _decided(
    d.low > 0 and as_early.low > 0,
    d.high < GAIN or as_early.high < GAIN,
    _learned(hard, base),
  )
  return Verdict(
    f'{shown(estimate(mine))} against hard {shown(estimate(theirs))}: '
    f'{shown(d, signed=True)} (facts of RL {parts[0]:+.3f}, facts held back '
    f'{parts[1]:+.3f}); hard less its base {shown(from_base, signed=True)}; '
    f'{_counted(d)}',
    f'at equal greedy accuracy soft - hard {shown(as_early, signed=True)}',
    verdict,
    _why(
      verdict,
      d,
      'hard training does not lose pass@32 of its base: tokens sample the '
      'alternatives that RL then rewards'
      if from_base.low > -GAIN
      else '',
    ),
  )


def best_pair_verdict(rows: Sequence[Row]) -> Verdict:
  """Claim 9."""
  kinds = {'greedy': grades, 'sample': lambda x: pass_at_k(x, 32)}
  arms = dict.fromkeys(row['arm'] for row in rows if 'evaluated' in row)
  greedy = lambda arm: grades(cell(rows, arm, 'hard greedy')).mean()
  ours = max((arm for arm in SOFT if arm in arms), key=greedy, default='soft')
  text, may_exceed, exceeds = [], False, []
  for kind, of in kinds.items():
    own, others = cell(rows, ours, f'hard {kind}'), {}
    mine = of(own)
    for model, thinking in product(('hard', ours, 'fuzzy'), THINKING):
      if (model, thinking) != (ours, 'hard'):
        pair = common(cell(rows, model, f'{thinking} {kind}'), own)
        others[f'{model}, {thinking}'] = difference(*map(of, pair))
    name, d = max(others.items(), key=lambda x: x[1].mean)
    may_exceed |= any(x.high > MARGIN for x in others.values())
    exceeds += [x for x, y in others.items() if y.low > 0]
    metric = 'greedy pass@1' if kind == 'greedy' else 'sampled pass@32'
    own_thinking = others[f'{ours}, soft']
    text.append(
      f'{metric} {shown(estimate(mine))}, soft inference '
      f'{shown(own_thinking, signed=True)}, the best other pair ({name}) '
      f'{shown(d, signed=True)}'
    )
  controls = [
    f'{name.replace("_", " ")} '
    f'{grades(cell(rows, ours, "soft greedy", name)).mean():.3f}'
    for name in ('', *CONTROLS)
  ]
  return Verdict(
    f'{"; ".join(text)}; {len(mine)} seeds, {mine.shape[1]} problems',
    'soft greedy thinking with its own latents' + ', '.join(controls),
    _decided(not may_exceed, bool(exceeds)),
    f'better (training, inference): {"; ".join(dict.fromkeys(exceeds))}'
    if exceeds
    else '',
  )


def outside_verdict(rows: Sequence[Row]) -> Verdict:
  """Claim 10."""
  soft, hard, matched, base = _chosen(rows)
  of = lambda some, name: outside(rows, some, name)
  accuracy = difference(of(soft, 'greedy'), of(hard, 'greedy'))
  nats = difference(of(soft, 'nats'), of(hard, 'nats'))
  as_early = difference(of(soft, 'nats'), of(matched, 'nats'))
  control = best(rows, 'hard, shuffled')
  columns = [
    f'{name} {of(some, "greedy").mean():.3f} and {of(some, "nats").mean():.3f}'
    for name, some in (('base', base), ('hard', hard), ('soft', soft))
  ]
  verdict = _decided(
    accuracy.low >= -MARGIN and nats.high < 0 and as_early.high < 0,
    nats.low > -NATS or as_early.low > -NATS or accuracy.high < -MARGIN,
    _learned(hard, base),
  )
  return Verdict(
    f'accuracy and nats per token: {", ".join(columns)}; soft - hard '
    f'{shown(accuracy, signed=True)} and {shown(nats, signed=True)}; '
    f'{_counted(nats)}',
    f'at equal greedy accuracy in domain nats {shown(as_early, signed=True)}'
    f'; rewards of other problems {of(control, "nats").mean():.3f}',
    verdict,
    _why(
      verdict,
      nats,
      'hard training that stops at the same accuracy in domain does as well'
      if as_early.low > -NATS
      else '',
    ),
  )


def overhead_verdict(rows: Sequence[Row]) -> Verdict:
  """Claim 11."""
  (row,) = select(rows, dataset='overhead')
  ratio = row['soft'] / row['hard']
  return Verdict(
    f'{ratio:.2f} times the CPU seconds of a rollout with {row["latents"]} '
    'tokens, three layers of width 96',
    'alternating rollouts in one process',
    'shown' if ratio < LARGEST else 'refuted',
  )


VERDICTS: dict[int, Callable[[Sequence[Row]], Verdict]] = {
  7: pass_at_1_verdict,
  8: pass_at_32_verdict,
  9: best_pair_verdict,
  10: outside_verdict,
  11: overhead_verdict,
}


def table(rows: Sequence[Row]) -> list[dict]:
  """A line per model: hard thinking exactly, then the six modes."""
  lines = []
  for model in (*MODELS, 'hard, shuffled'):
    try:
      chosen = best(rows, model)
    except MissingRowsError:
      continue
    of = lambda values: f'{float(np.mean(values)):.3f}'
    line = {
      'training': model,
      'steps': ', '.join(f'{row["step"]}' for row in chosen),
      'greedy': of(tested(chosen, 'greedy')),
      **{f'pass@{k}': of(passed(chosen, k)) for k in (1, 8, 32)},
      'outside': of(outside(rows, chosen, 'greedy')),
      'nats outside': of(outside(rows, chosen, 'nats')),
    }
    for kind, k in ('greedy', 1), ('sample', 1), ('sample', 32):
      found = [_sampled(rows, model, f'{x} {kind}', k) for x in THINKING]
      line[f'{kind} pass@{k}: hard / soft / fuzzy'] = ' / '.join(found)
    lines.append(line)
  return lines


def _sampled(rows: Sequence[Row], model: str, mode: str, k: int) -> str:
  try:
    return f'{pass_at_k(cell(rows, model, mode), k).mean():.3f}'
  except MissingRowsError:
    return '–'


def figure(rows: Sequence[Row], folder: Path) -> None:
  """pass@k of hard thinking, by training; bands are the range of the seeds."""
  series = {}
  for model in ('teacher', *MODELS):
    try:
      chosen = best(rows, model) if model != 'teacher' else None
    except MissingRowsError:
      continue
    chosen = chosen or select(rows, arm=model)
    means = [passed(chosen, k).mean(1) for k in KS]
    series[model] = range_of_seeds(np.array(KS, float), means)
  chart = Chart(
    'soft_tokens',
    'pass@k of hard thinking',
    'share of problems · mean and range of the seeds',
    series,
    kind='line',
    x='k',
    log2=True,
  )
  write_figures(folder, [chart])
