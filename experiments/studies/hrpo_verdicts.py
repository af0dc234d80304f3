"""The verdicts of the study of HRPO; hrpo.py has their criteria in words."""

from collections.abc import Sequence
from contextlib import suppress

import numpy as np
from jaxtyping import Float

from hybrid_latent.feedback.gated import C

from .hrpo_arms import ARMS
from .outcomes import difference, estimate, grades, shown
from .study import MissingRowsError, Row, Verdict, select

DECAYS = ('', ', no decay')
SHUFFLED = ', shuffled rewards'
PAPER = 0.009  # HRPO less GRPO, GSM8K
BLOCK = 10  # steps per point of the figure
SOME_HUNDRED = 300  # steps, after which the paper has interpolation collapse


def beats_grpo(rows: Sequence[Row]) -> Verdict:
  """Claim 1."""
  rows = of_common_seeds(rows, 'HRPO', 'GRPO')
  found = {name: final(rows, name) for name in ('HRPO', 'GRPO')}
  to_grpo = difference(found['HRPO'], found['GRPO'])
  with suppress(MissingRowsError):
    found['PPO'] = final(rows, 'PPO')
  # PPO has the first seed only.
  to_ppo = (
    difference(found['HRPO'][:1], found['PPO']) if 'PPO' in found else None
  )
  # Seeds for a power of 0.8: the square of (1.96 + 0.84) standard errors over
  # the paper's difference, with the deviation between seeds of these runs.
  deviation = (found['HRPO'] - found['GRPO']).mean(1).std(ddof=1)
  seeds = np.ceil((2.8 * deviation / PAPER) ** 2)
  if to_grpo.low > 0 and to_ppo and to_ppo.low > 0:
    verdict, why = 'shown', ''
  elif to_grpo.high < PAPER:
    verdict, why = 'refuted', f'the interval excludes +{PAPER} over GRPO'
  else:
    verdict = 'out of reach here'
    why = (
      f'the difference to GRPO has a deviation of {deviation:.3f} between '
      f'seeds: to tell +{PAPER} from 0 takes {seeds:.0f} seeds'
    )
  dropped, other = (
    shown(estimate(final(rows, 'HRPO', control)))
    for control in ('dropped', 'other_problem')
  )
  return Verdict(
    ', '.join(f'{x} {shown(estimate(y))}' for x, y in found.items())
    + f'; HRPO less GRPO {shown(to_grpo, signed=True)}; {to_grpo.seeds} seeds, '
    f'{to_grpo.problems} problems; less PPO '
    + (f'{shown(to_ppo, signed=True)}, 1 seed' if to_ppo else 'not run'),
    f'HRPO without its latent part {dropped}, with that of another problem '
    f'{other}',
    verdict,
    why,
  )


def direct_collapses(rows: Sequence[Row]) -> Verdict:
  """Claim 2."""
  direct, base = (estimate(final(rows, x)) for x in ('direct', 'worked base'))
  verdict = 'out of reach here'
  if direct.high < base.mean / 2:
    verdict = 'shown'
  elif direct.low > base.mean / 2:
    verdict = 'refuted'
  reward = blocks(curves_of(rows, 'direct', 'reward'))[0]
  grpo = estimate(final(rows, 'GRPO, worked base'))
  return Verdict(
    f'direct {shown(direct)} after {ARMS["direct"].steps} steps, its base '
    f'{shown(base)}; reward {reward[0]:.2f} at the start, at most '
    f'{reward.max():.2f}, {reward[-1]:.2f} at the end; 1 seed, '
    f'{direct.problems} problems',
    f'GRPO from the same base {shown(grpo)}',
    verdict,
    '' if verdict == 'shown' else 'RL recovers from the unknown inputs',
  )


def interpolated_collapses(rows: Sequence[Row]) -> Verdict:
  """Claim 3."""
  reward, grpo = (
    blocks(curves_of(rows, name, 'reward'))[0]
    for name in ('interpolated', 'GRPO, worked base')
  )
  steps = ARMS['interpolated'].steps
  peak, rises = reward.max(), reward.max() > grpo.max() - 0.1
  verdict = 'out of reach here'
  if rises and reward[-1] < peak / 2:
    verdict = 'shown'
  elif rises and reward[-1] > 0.9 * peak and steps >= SOME_HUNDRED:
    verdict = 'refuted'
  return Verdict(
    f'reward {reward[0]:.2f} at the start, peak {peak:.2f}, {reward[-1]:.2f} '
    f'after {steps} steps; greedy accuracy '
    f'{shown(estimate(final(rows, "interpolated")))}; 1 seed',
    f'GRPO from the same base: reward {grpo[0]:.2f}, peak {grpo.max():.2f}, '
    f'{grpo[-1]:.2f} at the end',
    verdict,
    {
      'shown': '',
      'refuted': 'no collapse within these steps',
      'out of reach here': f'{SOME_HUNDRED} steps or more',
    }[verdict],
  )


def ratio_grows(rows: Sequence[Row]) -> Verdict:
  """Claim 4."""
  names = [f'HRPO{x}' for x in DECAYS]
  rows = of_common_seeds(rows, *names, *(name + SHUFFLED for name in names))
  own = [growth(rows, name) for name in names]
  noise = [growth(rows, name + SHUFFLED) for name in names]
  zero = np.zeros((1, 1))
  grows = difference(own[0], zero)
  excess = difference((own[0] + own[1]) / 2, (noise[0] + noise[1]) / 2)
  by_decay = difference(noise[0], noise[1])
  if grows.low > 0 and excess.low > 0:
    verdict, why = 'shown', ''
  elif grows.high < 0 or excess.high < max(by_decay.mean, 0) / 2:
    verdict = 'refuted'
    why = (
      'the weight decay of Lambda lifts the ratio; without it HRPO changes it '
      f'by {shown(difference(own[1], zero), signed=True)}'
    )
  else:
    verdict, why = 'out of reach here', 'more seeds'
  steps = ARMS['HRPO'].steps
  start, end = decay_alone(steps)
  return Verdict(
    f'HRPO {shown(grows, signed=True)} in {steps} steps; beyond shuffled '
    f'rewards, over both decays, {shown(excess, signed=True)}: with decay '
    f'{shown(difference(own[0], noise[0]), signed=True)}, without '
    f'{shown(difference(own[1], noise[1]), signed=True)}; {grows.seeds} seeds',
    f'decay with shuffled rewards adds {shown(by_decay, signed=True)}, in '
    f'closed form {end - start:+.3f} (from {start:.3f}); shuffled rewards '
    f'without decay {shown(difference(noise[1], zero), signed=True)}',
    verdict,
    why,
  )


def completions_shorten(rows: Sequence[Row]) -> Verdict:
  """Claim 5."""
  names = 'HRPO', 'GRPO', f'HRPO{SHUFFLED}'
  rows = of_common_seeds(rows, *names)
  hrpo, grpo, noise = (part(rows, name, 'length', 0.5, 1) for name in names)
  found, margin = difference(hrpo, grpo), 0.02 * grpo.mean()
  verdict = 'out of reach here'
  if found.low > 0 or max(-found.low, found.high) < margin:
    verdict = 'refuted'
  elif found.high < 0:
    verdict = 'shown'
  return Verdict(
    f'{hrpo.mean():.2f} tokens, GRPO {grpo.mean():.2f}: '
    f'{shown(found, signed=True)}; {found.seeds} seeds',
    f'HRPO with shuffled rewards {noise.mean():.2f}',
    verdict,
    {
      'shown': '',
      'refuted': 'both learn to show their work, which earns the reward here',
      'out of reach here': 'more seeds',
    }[verdict],
  )


def r_min_helps(rows: Sequence[Row]) -> Verdict:
  """Claim 6."""
  arms = {0.9: 'HRPO, r_min 0.9', 0.95: 'HRPO', 0.99: 'HRPO, r_min 0.99'}
  texts = []
  for r_min, name in arms.items():
    (row,) = select(rows, arm=name, seed=0, control='')
    accuracy = shown(estimate(grades([row])))
    texts.append(f'{r_min}: ratio {row["hidden_ratio"]:.3f}, {accuracy}')
  return Verdict(
    f'arithmetic, at r_min {"; ".join(texts)}; 1 seed',
    'GRPO, which has ratio 0, '
    + shown(estimate(grades(select(rows, arm='GRPO', seed=0, control='')))),
    'out of reach here',
    'a model with knowledge and retrieved text: five benchmarks, 1.5B',
  )


def of_common_seeds(rows: Sequence[Row], *arms: str) -> list[Row]:
  """The rows of the seeds that all of the arms have. MissingRowsError for fewer
  than two, which have no interval over seeds."""
  own = [{row['seed'] for row in select(rows, arm=arm)} for arm in arms]
  seeds = set.intersection(*own)
  if len(seeds) < 2:
    raise MissingRowsError(f'{arms} have the seeds {seeds} in common')
  return [row for row in rows if row['seed'] in seeds]


def final(
  rows: Sequence[Row], arm: str, control: str = ''
) -> Float[np.ndarray, 's u']:
  """The grades of the greedy evaluation after training, per seed, of the
  problems that all seeds have: the first ones."""
  found = select(rows, arm=arm, control=control)
  count = min(len(row['correct']) for row in found)
  return grades([{**row, 'correct': row['correct'][:count]} for row in found])


def curves_of(
  rows: Sequence[Row], arm: str, metric: str
) -> Float[np.ndarray, 's t']:
  """A metric of each step, per seed."""
  found = select(rows, arm=arm, control='training')
  return np.array([row['curves'][metric] for row in found])


def part(
  rows: Sequence[Row], arm: str, metric: str, first: float, last: float
) -> Float[np.ndarray, 's 1']:
  """The mean of a metric between two shares of the steps, per seed."""
  values = curves_of(rows, arm, metric)
  begin, end = (round(x * values.shape[1]) for x in (first, last))
  return values[:, begin:end].mean(1, keepdims=True)


def growth(rows: Sequence[Row], arm: str) -> Float[np.ndarray, 's 1']:
  """The hidden ratio in the last tenth of the steps less that in the first, per
  seed."""
  of = lambda *shares: part(rows, arm, 'hidden_ratio', *shares)
  return of(0.9, 1.0) - of(0.0, 0.1)


def decay_alone(steps: int, rate: float = 1e-2 * 0.1) -> list[float]:
  """The hidden ratio before and after `steps` in which only the weight decay
  changes Lambda, by `rate` per step, at r_min 0.95 and r = 1/2, from which the
  gate starts."""
  u = np.linspace(0.95, 0.999, 1000)
  decay = -np.log(np.expm1(-np.log(u) / C))
  shrunk = decay[:, None] * [1, (1 - rate) ** steps]
  a = np.exp(-C * np.log1p(np.exp(-shrunk)) / 2)
  return np.sqrt(1 - a.mean(0) ** 2).tolist()


def blocks(curves: Float[np.ndarray, 's t']) -> Float[np.ndarray, 's n']:
  """Means over blocks of steps."""
  steps = curves.shape[1] // BLOCK * BLOCK
  return curves[:, :steps].reshape(len(curves), -1, BLOCK).mean(-1)
