"""What the rows of soft_tokens.py say about the claims of Soft Tokens."""

from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path

import numpy as np
from jaxtyping import Float

from ..report.charts import Chart, Points
from ..report.figures import write_figures
from .outcomes import (
  Difference,
  difference,
  estimate,
  grades,
  pass_at_k,
  shown,
)
from .study import MissingRowsError, Row, Verdict, select

Values = Float[np.ndarray, 's u']  # by seed and problem
MARGIN = 0.03  # of equal accuracies
GAIN, NATS = 0.02, 0.01  # of pass@32, and per token: the least that counts
LARGEST = 1.25  # of a minimal overhead
KS = 1, 2, 4, 8, 16, 32
MODELS = 'base', 'hard', 'soft', 'fuzzy'
THINKING = 'hard', 'soft', 'fuzzy'
CONTROLS = 'other_problem', 'pause', 'dropped'


def best(rows: Sequence[Row], arm: str) -> list[Row]:
  """Of each seed of an arm the checkpoint with the highest greedy accuracy in
  validation; its row of the task of RL."""
  found = {}
  for row in select(rows, arm=arm, dataset='in'):
    kept = found.get(row['seed'])
    if kept is None or _validated(row) > _validated(kept):
      found[row['seed']] = row
  return [*found.values()]


def early(rows: Sequence[Row], others: Sequence[Row]) -> list[Row]:
  """Of each seed of `others` the checkpoint of hard training, or the base,
  whose greedy accuracy is nearest."""
  return [
    min(
      select(rows, arm=('base', 'hard'), dataset='in', seed=row['seed']),
      key=lambda x, row=row: abs(_validated(x) - _validated(row)),
    )
    for row in others
  ]


def _validated(row: Row) -> float:
  greedy = row['greedy']
  return float(np.mean(greedy[: len(greedy) // 4]))


def tested(rows: Sequence[Row], name: str) -> Values:
  """A column on the problems that do not choose a checkpoint."""
  columns = [row[name][len(row[name]) // 4 :] for row in rows]
  return np.array(columns, float)


def passed(rows: Sequence[Row], k: int) -> Values:
  """pass@k of hard thinking: at least one of k samples is right."""
  return 1 - (1 - tested(rows, 'probability')) ** k


def outside(rows: Sequence[Row], chosen: Sequence[Row], name: str) -> Values:
  """A column of the task outside RL, under the chosen checkpoints."""
  found = [
    select(rows, **{x: row[x] for x in ('arm', 'seed', 'step')}, dataset='out')
    for row in chosen
  ]
  return np.array([row[name] for (row,) in found], float)


def _pair(rows: Sequence[Row], arm: str = 'soft') -> tuple[list[Row], ...]:
  """The best checkpoints of an arm and of hard training, and those of hard
  training that are as accurate as those of the arm; of seeds that both have."""
  mine, hard = best(rows, arm), best(rows, 'hard')
  seeds = {row['seed'] for row in mine} & {row['seed'] for row in hard}
  mine, hard = (
    [row for row in some if row['seed'] in seeds] for some in (mine, hard)
  )
  if not seeds:
    raise MissingRowsError('no seed has both arms')
  return mine, hard, early(rows, mine)


def _learned(rows: Sequence[Row], trained: Sequence[Row]) -> bool:
  """Whether training raised the greedy accuracy of its bases."""
  seeds = tuple(row['seed'] for row in trained)
  base = select(rows, arm='base', dataset='in', seed=seeds)
  return difference(tested(trained, 'greedy'), tested(base, 'greedy')).low > 0


def _decided(is_shown: bool, is_refuted: bool, learned: bool = True) -> str:
  """`learned`: a study whose baseline learns nothing tells nothing."""
  if not learned:
    return 'out of reach here'
  if is_shown:
    return 'shown'
  return 'refuted' if is_refuted else 'out of reach here'


def _counted(d: Difference) -> str:
  return f'{d.seeds} seeds, {d.problems} problems'


def pass_at_1_verdict(rows: Sequence[Row]) -> Verdict:
  """Claim 7."""
  soft, hard, _ = _pair(rows)
  base = select(rows, arm='base', dataset='in')
  greedy = lambda some: tested(some, 'greedy')
  d = difference(greedy(soft), greedy(hard))
  sampled = difference(passed(soft, 1), passed(hard, 1))
  fuzzy, *_ = _pair(rows, 'fuzzy')
  control = select(rows, arm='hard, shuffled', dataset='in')[-1:]
  return Verdict(
    f'greedy {shown(estimate(greedy(soft)))} against hard '
    f'{shown(estimate(greedy(hard)))} (base '
    f'{shown(estimate(greedy(base)))}): {shown(d, signed=True)}; sampled '
    f'{shown(sampled, signed=True)}; {_counted(d)}',
    f'rewards of other problems {greedy(control).mean():.3f}; fuzzy '
    f'{greedy(fuzzy).mean():.3f}',
    _decided(d.low >= -MARGIN, d.high < -MARGIN, _learned(rows, hard)),
  )


def pass_at_32_verdict(rows: Sequence[Row]) -> Verdict:
  """Claim 8."""
  soft, hard, matched = _pair(rows)
  d = difference(passed(soft, 32), passed(hard, 32))
  as_early = difference(passed(soft, 32), passed(matched, 32))
  base = difference(
    passed(hard, 32), passed(select(rows, arm='base', dataset='in'), 32)
  )
  seen, held = (_where_held_back(rows, _pair(rows), x) for x in (False, True))
  return Verdict(
    f'{shown(estimate(passed(soft, 32)))} against hard '
    f'{shown(estimate(passed(hard, 32)))}: {shown(d, signed=True)} (facts of '
    f'RL {seen:+.3f}, facts held back {held:+.3f}); hard less its base '
    f'{shown(base, signed=True)}; {_counted(d)}',
    f'at equal greedy accuracy soft - hard {shown(as_early, signed=True)}',
    _decided(
      d.low > 0 and as_early.low > 0,
      d.high < GAIN or as_early.high < GAIN,
      _learned(rows, hard),
    ),
  )


def _where_held_back(rows, pair, is_held_back: bool) -> float:
  """soft - hard at pass@32 on the problems that meet a fact that RL never met,
  or on the others."""
  soft, hard, _ = pair
  seeds = tuple(row['seed'] for row in soft)
  held = tested(select(rows, arm='teacher', seed=seeds), 'held_back')
  gain = passed(soft, 32) - passed(hard, 32)
  return float(gain[held == is_held_back].mean())


def best_pair_verdict(rows: Sequence[Row]) -> Verdict:
  """Claim 9."""
  ours, kinds = 'soft', {'greedy': grades, 'sample': lambda x: pass_at_k(x, 32)}
  text, may_exceed, exceeds = [], False, []
  for kind, of in kinds.items():
    mine = of(cell(rows, ours, f'hard {kind}'))
    others = {}
    for model, thinking in product(MODELS[1:], THINKING):
      if (model, thinking) != (ours, 'hard'):
        theirs = of(cell(rows, model, f'{thinking} {kind}'))
        seeds = min(len(mine), len(theirs))
        others[f'{model}, {thinking}'] = difference(
          theirs[:seeds], mine[:seeds]
        )
    name, d = max(others.items(), key=lambda x: x[1].mean)
    may_exceed |= any(x.high > MARGIN for x in others.values())
    exceeds += [x for x, y in others.items() if y.low > 0]
    metric = 'greedy pass@1' if kind == 'greedy' else 'sampled pass@32'
    text.append(
      f'{metric} {shown(estimate(mine))}, the best other pair ({name}) '
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
    f'better pairs: {", ".join(dict.fromkeys(exceeds))}' if exceeds else '',
  )


def cell(
  rows: Sequence[Row], model: str, mode: str, control: str = ''
) -> list[Row]:
  """The rows of a model in an inference mode."""
  named = [
    row | {'inference': row['evaluated'].split('/')[1]}
    for row in rows
    if 'evaluated' in row
  ]
  return select(named, arm=model, inference=mode, control=control)


def outside_verdict(rows: Sequence[Row]) -> Verdict:
  """Claim 10."""
  soft, hard, matched = _pair(rows)
  of = lambda some, name: outside(rows, some, name)
  accuracy = difference(of(soft, 'greedy'), of(hard, 'greedy'))
  nats = difference(of(soft, 'nats'), of(hard, 'nats'))
  as_early = difference(of(soft, 'nats'), of(matched, 'nats'))
  base = select(rows, arm='base', dataset='in')
  control = select(rows, arm='hard, shuffled', dataset='in')[-1:]
  columns = [
    f'{name} {of(some, "greedy").mean():.3f} and {of(some, "nats").mean():.3f}'
    for name, some in (('base', base), ('hard', hard), ('soft', soft))
  ]
  return Verdict(
    f'accuracy and nats per token: {", ".join(columns)}; soft - hard '
    f'{shown(accuracy, signed=True)} and {shown(nats, signed=True)}; '
    f'{_counted(nats)}',
    f'at equal greedy accuracy in domain nats {shown(as_early, signed=True)}'
    f'; rewards of other problems {of(control, "nats").mean():.3f}',
    _decided(
      accuracy.low >= -MARGIN and nats.high < 0 and as_early.high < 0,
      nats.low > -NATS or as_early.low > -NATS or accuracy.high < -MARGIN,
      _learned(rows, hard),
    ),
  )


def overhead_verdict(rows: Sequence[Row]) -> Verdict:
  """Claim 11."""
  (row,) = select(rows, dataset='overhead')
  ratio = row['soft'] / row['hard']
  return Verdict(
    f'{ratio:.2f} times the seconds of a rollout with {row["latents"]} tokens, '
    'three layers of width 96, two CPU cores',
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
  for model in (*MODELS, 'hard, shuffled', 'soft, long'):
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
      found = [
        of(pass_at_k(cell(rows, model, f'{x} {kind}'), k)) for x in THINKING
      ]
      line[f'{kind} pass@{k}: hard / soft / fuzzy'] = ' / '.join(found)
    lines.append(line)
  return lines


def figure(rows: Sequence[Row], folder: Path) -> None:
  """pass@k of hard thinking, by training."""
  series = {}
  for model in ('teacher', *MODELS):
    try:
      chosen = best(rows, model) if model != 'teacher' else None
    except MissingRowsError:
      continue
    chosen = chosen or select(rows, arm=model)
    found = [estimate(passed(chosen, k)) for k in KS]
    columns = [np.array(x, float) for x in zip(*found, strict=True)][:3]
    series[model] = Points(np.array(KS, float), *columns)
  chart = Chart(
    'soft_tokens',
    'pass@k of hard thinking',
    'share of problems · 95 % interval over seeds and problems',
    series,
    kind='line',
    x='k',
    log2=True,
  )
  write_figures(folder, [chart])
