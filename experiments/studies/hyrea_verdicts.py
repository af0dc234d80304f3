"""What the rows of the study of HyRea say about its claims.

The criteria were fixed before the runs. Each verdict can come out either way;
intervals are of 95 % over seeds and problems (outcomes.py).
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..report.charts import Chart, Points
from ..report.figures import write_picture
from .outcomes import Difference, difference, estimate, grades, shown
from .study import MissingRowsError, Row, Verdict, select

UPDATES, EARLY, MORE = 1500, 600, 750  # of a cold start; MORE: as many as RL
_SPANS = ('1', '2', '3', '4')  # per completion, which training has
_FEW = 50  # completions


def rows_of(rows: Sequence[Row], arm: str, **values: Any) -> list[Row]:
  """The rows of an arm by seed, greedy and without control by default."""
  usual: dict[str, Any] = dict(
    control='', sampling='greedy', updates=UPDATES, weight=4.0, c=1
  )
  if arm in ('base', 'soft_thinking'):
    usual = dict(control='', sampling='greedy')
  if arm.startswith('grpo'):
    usual['updates'] = EARLY
  return select(rows, arm=arm, **usual | values)


def compared(a: Sequence[Row], b: Sequence[Row]) -> Difference:
  """a - b on the seeds that both have."""
  seeds = {row['seed'] for row in a} & {row['seed'] for row in b}
  if not seeds:
    raise MissingRowsError('no seed has both arms')
  of = lambda rows: grades([row for row in rows if row['seed'] in seeds])
  return difference(of(a), of(b))


def accuracy(rows: Sequence[Row]) -> str:
  """Its mean and interval, as text."""
  return shown(estimate(grades(rows)))


def mean(rows: Sequence[Row], name: str) -> float:
  """The mean of a number of the rows."""
  return float(np.mean([row[name] for row in rows]))


def counted(rows: Sequence[Row]) -> str:
  """How many seeds and problems there are, as text."""
  return f'{len(rows)} seeds, {rows[0]["problems"]} problems'


# ------------------------------------------------------------------ verdicts
def half_of_the_tokens(rows: Sequence[Row]) -> Verdict:
  """Shown where the accuracy is at most 0.05 below that of words with as many
  updates (lower end), tokens are at most 0.55 of theirs, and another problem's
  latents halve the accuracy at least."""
  ours, base = rows_of(rows, 'entropy'), rows_of(rows, 'none')
  other = rows_of(rows, 'entropy', control='other_problem')
  pause = rows_of(rows, 'pause')
  drop = rows_of(rows, 'drop')
  gap, saved = compared(ours, base), mean(ours, 'tokens') / mean(base, 'tokens')
  carried = grades(other).mean() < grades(ours).mean() / 2
  holds = gap.low > -0.05 and saved <= 0.55 and carried
  return Verdict(
    f'{accuracy(ours)} with {mean(ours, "tokens"):.1f} tokens '
    f'({mean(ours, "tokens_with_marks"):.1f} with marks), in words '
    f'{accuracy(base)} with {mean(base, "tokens"):.1f}; difference '
    f'{shown(gap, signed=True)}; {counted(ours)}',
    f"another problem's latents {accuracy(other)}; trained with pause tokens "
    f'{accuracy(pause)}; the same steps dropped {accuracy(drop)} with '
    f'{mean(drop, "tokens"):.1f} tokens',
    'shown' if holds else 'refuted',
    '' if holds else f'tokens are {saved:.2f} of those in words',
  )


def exceeds(rows: Sequence[Row], other: str, text: str) -> Verdict:
  """Shown where the difference is above 0 (lower end)."""
  ours, theirs = rows_of(rows, 'entropy'), rows_of(rows, other)
  gap = compared(ours, theirs)
  swapped = rows_of(rows, 'entropy', control='other_problem')
  return Verdict(
    f'{accuracy(ours)} with {mean(ours, "tokens"):.1f} tokens, {text} '
    f'{accuracy(theirs)} with {mean(theirs, "tokens"):.1f}; difference '
    f'{shown(gap, signed=True)}; {gap.seeds} seeds, {gap.problems} problems',
    f"another problem's latents {accuracy(swapped)}",
    'shown' if gap.low > 0 else 'refuted',
    '' if gap.low > 0 else f'{text} is as good at equal updates',
  )


def entropy_over_random(rows: Sequence[Row]) -> Verdict:
  """Shown where, at equal numbers of spans (hence equal tokens), completions
  sampled from the arm of lowest entropy are more accurate than those of the
  random arm: mean over 1 to 4 spans, both weights and both numbers of updates,
  lower end above 0. Greedy decoding is not compared: with weight 4 it opens
  spans wherever one is likelier than 0.2, so that random has more spans than in
  training."""
  a, b = (_by_spans(rows, arm) for arm in ('entropy', 'random'))
  common = sorted(a.keys() & b.keys())
  seeds = sorted({seed for seed, *_ in common})
  places = set.intersection(
    *({key[1:] for key in common if key[0] == seed} for seed in seeds)
  )
  if not places:
    raise MissingRowsError('no number of spans is in all seeds of both arms')
  table = lambda found: np.array(
    [[found[seed, *place] for place in sorted(places)] for seed in seeds]
  )
  gap = difference(table(a), table(b))
  greedy = {arm: rows_of(rows, arm) for arm in ('entropy', 'random')}
  greedy_text = ', '.join(
    f'{arm} {accuracy(x)} with {mean(x, "tokens"):.1f} tokens'
    for arm, x in greedy.items()
  )
  swapped = rows_of(rows, 'random', control='other_problem')
  per_spans = ', '.join(
    f'{n}: {_mean_at(a, n):.3f} / {_mean_at(b, n):.3f}' for n in _SPANS
  )
  return Verdict(
    f'entropy minus random at equal spans {shown(gap, signed=True)}, '
    f'{len(seeds)} seeds; accuracy per number of spans, entropy / random: '
    f'{per_spans}',
    f'greedy: {greedy_text}; random with the latents of another problem '
    f'{accuracy(swapped)}',
    'shown' if gap.low > 0 else 'refuted',
    '' if gap.low > 0 else 'at equal tokens random steps are as accurate',
  )


def _by_spans(rows: Sequence[Row], arm: str) -> dict[tuple, float]:
  """(seed, spans, updates, weight) -> accuracy of sampled completions."""
  found = {}
  for row in rows_of(
    rows, arm, sampling='sample', weight=(1.0, 4.0), updates=(EARLY, UPDATES)
  ):
    for spans, (count, correct, _) in row['by_switches'].items():
      if spans in _SPANS and count >= _FEW:
        key = row['seed'], spans, row['updates'], row['weight']
        found[key] = correct / count
  return found


def _mean_at(found: Mapping[tuple, float], spans: str) -> float:
  return float(np.mean([x for key, x in found.items() if key[1] == spans]))


def many_latents(rows: Sequence[Row]) -> Verdict:
  """Shown where eight latents per span are at least 0.1 below one (upper end of
  the difference) and completions have more words, after 750 updates each."""
  of = partial(rows_of, rows, 'entropy', updates=MORE)
  arms = {c: of(c=c) for c in (1, 2, 4, 8)}
  gap = compared(arms[8], arms[1])
  written = {
    c: mean(x, 'tokens') - c * mean(x, 'switches') for c, x in arms.items()
  }
  swapped = of(c=8, control='other_problem')
  collapses = gap.high < -0.1 and written[8] > written[1]
  text = ', '.join(
    f'c={c}: {accuracy(x)}, {written[c]:.1f} words' for c, x in arms.items()
  )
  return Verdict(
    f'{text}; c=8 minus c=1 {shown(gap, signed=True)}; seed 0, '
    f'{gap.problems} problems',
    f"c=8 with another problem's latents {accuracy(swapped)}",
    'shown' if collapses else 'refuted',
    '' if collapses else 'with equal updates more latents do not collapse here',
  )


def rl_helps(rows: Sequence[Row]) -> Verdict:
  """Shown where GRPO from an early cold start is above as many more supervised
  updates (lower end above 0)."""
  after, more = rows_of(rows, 'grpo'), rows_of(rows, 'entropy', updates=MORE)
  before, longest = (
    rows_of(rows, 'entropy', updates=EARLY),
    rows_of(rows, 'entropy'),
  )
  gap, gained = compared(after, more), compared(after, before)
  swapped = rows_of(rows, 'grpo', control='other_problem')
  drop, drop_more = (
    rows_of(rows, 'grpo_drop'),
    rows_of(rows, 'drop', updates=MORE),
  )
  return Verdict(
    f'cold start {accuracy(before)}, GRPO {accuracy(after)} with '
    f'{mean(after, "tokens"):.1f} tokens (gain {shown(gained, signed=True)}), '
    f'150 more supervised updates {accuracy(more)}, 900 more '
    f'{accuracy(longest)}; GRPO minus 150 more {shown(gap, signed=True)}; '
    f'{counted(after)}',
    f"GRPO with another problem's latents {accuracy(swapped)}; GRPO of dropped "
    f'steps {accuracy(drop)}, more updates {accuracy(drop_more)}',
    'shown' if gap.low > 0 else 'refuted',
    '' if gap.low > 0 else 'supervised updates do as much as RL',
  )


def places_of_spans(rows: Sequence[Row]) -> Verdict:
  """Shown where greedy completions have three to five spans, fewer than a sixth
  of them in place of choices (a third would be chance), and two thirds of them
  begin in the first or the last third."""
  ours, random = rows_of(rows, 'entropy'), rows_of(rows, 'random')
  spans, choices, ends = _places(ours)
  checks = {
    f'{spans:.2f} spans': 3 <= spans <= 5,
    f'{choices:.3f} of them are choices': choices < 1 / 6,
    f'{ends:.2f} begin in the first or last third': ends >= 2 / 3,
  }
  failed = [text for text, holds in checks.items() if not holds]
  blocks = np.mean([row['spans'].get('token_correlation', np.nan)
                    for row in ours])  # fmt: skip
  other = _places(random)
  return Verdict(
    f'{"; ".join(checks)}; correlation of a start with the entropy at its '
    f'token {blocks:+.2f}; {counted(ours)}',
    f'random arm: {other[0]:.2f} spans, {other[1]:.3f} choices, {other[2]:.2f} '
    'in the first or last third',
    'refuted' if failed else 'shown',
    f'not as in the paper: {"; ".join(failed)}' if failed else '',
  )


def _places(rows: Sequence[Row]) -> tuple[float, float, float]:
  """Spans per completion, the share of them that are choices, and the share in
  the first or last third."""
  replaced = [row['replaced'] for row in rows]
  kinds = sum(x[kind] for x in replaced for kind in ('choice', 'work', 'check'))
  positions = np.concatenate([row['spans']['positions'] for row in rows])
  return (
    mean(rows, 'switches'),
    sum(x['choice'] for x in replaced) / max(kinds, 1e-9),
    float(np.mean(np.abs(positions - 0.5) > 1 / 6)) if positions.size else 0.0,
  )


def switch_weight(rows: Sequence[Row]) -> Verdict:
  """Shown where weight 4 is above weight 1 in accuracy (lower end), or equal
  (within 0.02) with fewer tokens."""
  four, one = rows_of(rows, 'entropy'), rows_of(rows, 'entropy', weight=1.0)
  gap = compared(four, one)
  fewer = mean(four, 'tokens') < mean(one, 'tokens')
  helps = gap.low > 0 or (gap.low > -0.02 and fewer)
  sampled = [
    rows_of(rows, 'entropy', weight=w, sampling='sample') for w in (4.0, 1.0)
  ]
  return Verdict(
    f'weight 4 {accuracy(four)} with {mean(four, "tokens"):.1f} tokens, weight '
    f'1 {accuracy(one)} with {mean(one, "tokens"):.1f}; difference '
    f'{shown(gap, signed=True)}; {gap.seeds} seeds, {gap.problems} problems',
    f'sampled: {accuracy(sampled[0])} with {mean(sampled[0], "switches"):.2f} '
    f'spans, {accuracy(sampled[1])} with {mean(sampled[1], "switches"):.2f}',
    'shown' if helps else 'refuted',
    '' if helps else 'it opens more spans, and accuracy does not gain',
  )


VERDICTS = {
  12: half_of_the_tokens,
  13: lambda rows: exceeds(rows, 'coconut', 'Coconut'),
  14: lambda rows: exceeds(rows, 'soft_thinking', 'Soft Thinking'),
  15: entropy_over_random,
  16: many_latents,
  17: rl_helps,
  18: places_of_spans,
  20: switch_weight,
}


# ---------------------------------------------------------- table and figure
def table(rows: Sequence[Row]) -> list[dict]:
  """A row per arm, over seeds; controls in columns."""
  groups: dict[tuple, dict[str, list[Row]]] = defaultdict(
    lambda: defaultdict(list)
  )
  for row in rows:
    key = (
      *(row['arm'], row.get('c'), row.get('weight')),
      *(row['updates'], row['sampling']),
    )
    groups[key][row['control']].append(row)
  found = []
  for (arm, c, weight, updates, sampling), by_control in groups.items():
    own = by_control['']
    value = lambda name, by=by_control: (
      round(float(grades(by[name]).mean()), 3) if by[name] else None
    )
    found.append(
      {
        'arm': arm,
        'c': c,
        'weight': weight,
        'updates': updates,
        'decoding': sampling,
        'seeds': len(own),
        'accuracy': accuracy(own),
        "another problem's": value('other_problem'),
        'pause': value('pause'),
        'dropped': value('dropped'),
        'tokens': round(mean(own, 'tokens'), 1),
        'with marks': round(mean(own, 'tokens_with_marks'), 1),
        'spans': round(mean(own, 'switches'), 2),
      }
    )
  return found


def figure(rows: Sequence[Row], folder: Path) -> None:
  """Accuracy over updates, and against tokens; with controls."""
  arms = 'none', 'entropy', 'random', 'drop', 'pause'
  swapped = "entropy, another problem's latents"
  curves, fronts = {}, {}
  for arm in arms:
    try:
      curves[arm] = _curve(rows_of(rows, arm))
      fronts[arm] = _front(
        rows_of(rows, arm, sampling='sample', weight=(1.0, 4.0))
      )
    except MissingRowsError:
      curves.setdefault(arm, _NONE)
      fronts[arm] = _NONE
  controls = rows_of(
    rows, 'entropy', control='other_problem', updates=(EARLY, UPDATES)
  )
  xs = sorted({row['updates'] for row in controls})
  at = lambda x: grades([row for row in controls if row['updates'] == x]).mean()
  curves[swapped] = Points(np.array(xs, float), np.array([at(x) for x in xs]))
  fronts[swapped] = Points(
    np.array([mean(controls, 'tokens')]), np.array([at(max(xs))])
  )
  charts = [
    Chart('hyrea-updates', 'Accuracy over updates', 'greedy', curves, 'line',
          'updates'),
    Chart('hyrea-tokens', 'Accuracy against tokens', 'sampled, by spans',
          fronts, 'line', 'tokens'),
  ]  # fmt: skip
  write_picture(folder / 'hyrea.png', charts)


_NONE = Points(np.zeros(0), np.zeros(0))


def _curve(rows: Sequence[Row]) -> Points:
  """The mean accuracy over seeds at the steps that all have."""
  curves = [{step: y for step, y, *_ in row['curve']} for row in rows]
  steps = sorted(set.intersection(*map(set, curves)))
  means = [np.mean([curve[step] for curve in curves]) for step in steps]
  return Points(np.array(steps, float), np.array(means))


def _front(rows: Sequence[Row]) -> Points:
  """Mean tokens and accuracy of completions with equal numbers of spans."""
  total: dict[str, np.ndarray] = defaultdict(lambda: np.zeros(3))
  for row in rows:
    for spans, counts in row['by_switches'].items():
      total[spans] += counts
  kept = [x for x in total.values() if x[0] >= _FEW * len(rows)]
  kept.sort(key=lambda x: x[2] / x[0])
  return Points(
    np.array([x[2] / x[0] for x in kept]), np.array([x[1] / x[0] for x in kept])
  )
