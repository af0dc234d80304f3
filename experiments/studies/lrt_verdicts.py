"""What the rows of the study of LRT say: verdicts.

A verdict is on differences, paired by seed and problem, with 95 % intervals:
shown where all exceed 0, refuted where one is below 0.02 over three seeds at
least, and else out of reach with so few seeds and problems. An arm that was not
run leaves a claim on it out of reach.

  22  SFT+RL over NoThinking, ShorterBetter, LC-R1 and the thinking itself at
      the lowest budget, and over the latents of another problem
  23  its pass@4 over that of NoThinking, and of the latents of another problem
  24  after SFT 8 latents over 2 and over 32
  25  SFT+RL over SFT, and over SFT with as many more answers

21 is shown where half of the tokens deleted costs at most 0.05, 26 where no
token of the base differs in a batch of both modes.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from ..configs.running_sums import BUDGETS
from .lrt_arms import LATENTS
from .outcomes import Difference, difference, estimate, pass_at_k, shown
from .study import MissingRowsError, Row, Verdict, common, select

COUNTS = 2, 8, 32  # of latents
NEGLIGIBLE, ENOUGH = 0.02, 3  # a difference, seeds for a refutation
WORDS = 'NoThinking', 'ShorterBetter', 'LC-R1', 'thinking'


def of_arm(
  rows: Sequence[Row],
  arm: str,
  latents: int | None = None,
  control: str = '',
  budget: int = BUDGETS[0],
) -> list[Row]:
  """The rows of an arm, by seed."""
  if latents is None:
    latents = 0 if arm in WORDS else LATENTS
  return select(rows, arm=arm, latents=latents, control=control, budget=budget)


def is_run(rows: Sequence[Row], **values: Any) -> bool:
  """Whether there are rows with these values."""
  try:
    return bool(select(rows, **values))
  except MissingRowsError:
    return False


def accuracy(rows: Sequence[Row], k: int = 1) -> str:
  """pass@k with its interval, as text."""
  return shown(estimate(pass_at_k(rows, k)))


def _mean(rows: Sequence[Row], k: int = 1) -> str:
  return f'{pass_at_k(rows, k).mean():.3f}'


def _minus(a: Sequence[Row], b: Sequence[Row], k: int = 1) -> Difference:
  """Of pass@k, paired, over the seeds that both have."""
  return difference(*(pass_at_k(rows, k) for rows in common(a, b)))


def _over(difference: Difference) -> str:
  return shown(difference, signed=True)


def _judged(
  *differences: Difference | None,
) -> Literal['shown', 'refuted', 'out of reach here']:
  if all(x and x.low > 0 for x in differences):
    return 'shown'
  refuted = any(
    x and x.high < NEGLIGIBLE and x.seeds >= ENOUGH for x in differences
  )
  return 'refuted' if refuted else 'out of reach here'


def _extent(rows: Sequence[Row]) -> str:
  seeds = len(rows)
  return f'{seeds} seed{"s" * (seeds > 1)}, {rows[0]["problems"]} problems'


def fragments(rows: Sequence[Row]) -> Verdict:
  """Claim 21."""
  found = select(rows, arm='fragments')
  at = {(row['kind'], row['share']): row for row in found}
  costs = {
    kind: at[kind, 0.0]['accuracy'] - at[kind, 0.5]['accuracy']
    for kind in ('token', 'step')
  }
  whole, half = at['token', 0.0], at['token', 0.5]
  return Verdict(
    f'half of the tokens deleted: {whole["accuracy"]:.3f} to '
    f'{half["accuracy"]:.3f} (standard error {half["standard_error"]:.3f}, 1 '
    f'seed, {half["n"]} thinkings)',
    f'all deleted: {at["token", 1.0]["accuracy"]:.3f}',
    'shown' if costs['token'] <= 0.05 else 'refuted',
    f'half of the lines deleted costs {costs["step"]:.3f}: the redundancy is '
    'that of lines that repeat, and a line needs each of its tokens',
  )


def equal_budgets(rows: Sequence[Row]) -> Verdict:
  """Claim 22."""
  own = of_arm(rows, 'SFT+RL')
  over = {arm: _minus(own, of_arm(rows, arm)) for arm in WORDS}
  other = of_arm(rows, 'SFT+RL', control='other_problem')
  pause = of_arm(rows, 'SFT+RL', control='pause')
  content = _minus(own, other)
  larger = '; '.join(
    f'at {budget} tokens '
    + ', '.join(
      f'{arm} {_mean(of_arm(rows, arm, budget=budget))}'
      for arm in WORDS[1:]
      if is_run(rows, arm=arm, budget=budget)
    )
    for budget in BUDGETS[1:]
  )
  return Verdict(
    f'at {BUDGETS[0]} tokens {LATENTS} latents {accuracy(own)}, over '
    + ', '.join(f'{arm} {_over(x)}' for arm, x in over.items())
    + f' ({_extent(own)})',
    f'latents of another problem {_mean(other)}, pause tokens {_mean(pause)}',
    _judged(*over.values(), content),
    f'the other arms with more tokens: {larger}',
  )


def at_four(rows: Sequence[Row]) -> Verdict:
  """Claim 23."""
  own, without = of_arm(rows, 'SFT+RL'), of_arm(rows, 'NoThinking')
  other = of_arm(rows, 'SFT+RL', control='other_problem')
  before = of_arm(rows, 'SFT')
  gain, content = _minus(own, without, k=4), _minus(own, other, k=4)
  return Verdict(
    f'pass@4 {accuracy(own, k=4)}, NoThinking {accuracy(without, k=4)}: '
    f'{_over(gain)} ({_extent(own)})',
    f'latents of another problem {_mean(other, k=4)}',
    _judged(gain, content),
    f'after SFT alone pass@4 is {_mean(before, k=4)}',
  )


def counts(rows: Sequence[Row]) -> Verdict:
  """Claim 24."""
  fewest, some, most = COUNTS
  select(rows, arm='SFT', latents=some)
  run = [x for x in COUNTS if is_run(rows, arm='SFT', latents=x)]
  arms = common(*(of_arm(rows, 'SFT', latents=count) for count in run))
  values = dict(zip(run, arms, strict=True))
  over = {
    end: _minus(values[some], values[end]) if end in values else None
    for end in (fewest, most)
  }
  others = {
    count: of_arm(rows, 'SFT', latents=count, control='other_problem')
    for count in run
  }
  listed = ', '.join(f'{c}: {_mean(x)}' for c, x in others.items())
  return Verdict(
    'after SFT '
    + ', '.join(f'{count}: {accuracy(x)}' for count, x in values.items())
    + f'; {some} over '
    + ', '.join(f'{end} {_over(x)}' for end, x in over.items() if x)
    + f' ({_extent(values[some])})',
    f'latents of another problem, {listed}',
    _judged(*over.values()),
    'all have the same updates and answers'
    + ''.join(f'; {x} latents were not run' for x in COUNTS if x not in run),
  )


def second_stage(rows: Sequence[Row]) -> Verdict:
  """Claim 25."""
  rl, sft = of_arm(rows, 'SFT+RL'), of_arm(rows, 'SFT')
  more = {
    arm: of_arm(rows, arm) if is_run(rows, arm=arm, latents=LATENTS) else None
    for arm in ('SFT+SFT', 'SFT+RL, shuffled rewards')
  }
  given = more['SFT+SFT']
  over = {
    'SFT': _minus(rl, sft),
    'SFT+SFT': None if given is None else _minus(rl, given),
  }
  other = of_arm(rows, 'SFT+RL', control='other_problem')
  forms = {
    stage: select(rows, arm=stage, latents=LATENTS, control='')
    for stage in ('SFT', 'SFT+RL')
  }
  mean = lambda stage, name: np.mean([row[name] for row in forms[stage]])
  return Verdict(
    f'SFT+RL {accuracy(rl)}, over '
    + ', '.join(f'{name} {_over(x)}' for name, x in over.items() if x)
    + f' ({_extent(rl)})',
    ', '.join(
      f'{arm} {"not run" if x is None else _mean(x)}' for arm, x in more.items()
    )
    + f', latents of another problem {_mean(other)}',
    _judged(*over.values()),
    'RL has something to choose only where one form is right more often: '
    f'worked answers are {mean("SFT", "worked"):.2f} of all after SFT and '
    f'{mean("SFT+RL", "worked"):.2f} after RL; right are '
    f'{mean("SFT", "accuracy_worked"):.3f} of these and '
    f'{mean("SFT", "accuracy_bare"):.3f} of the bare ones after SFT',
  )


def modes(rows: Sequence[Row]) -> Verdict:
  """Claim 26."""
  (row,) = select(rows, arm='modes')
  same = row['equal'] == row['completions']
  return Verdict(
    f'{row["equal"]} of {row["completions"]} completions of the base, sampled '
    'beside completions after latents, have the tokens of the base without a '
    f'reasoner; log-probs differ by {row["log_prob_difference"]:.1g} at most',
    f'{row["latent_equal"]} of {row["latent_completions"]} of those after '
    'latents',
    'shown' if same else 'refuted',
  )


VERDICTS: Mapping = {
  21: fragments,
  22: equal_budgets,
  23: at_four,
  24: counts,
  25: second_stage,
  26: modes,
}
