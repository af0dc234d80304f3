"""Word problems whose steps somebody has scored: the later, the surer."""

from hybrid_latent.curricula.steps import split_solution
from hybrid_latent.data import arithmetic


def problems(split, *, count, **settings):
  """Rows of the word problems with an entropy for each step."""
  rows = arithmetic.problems(split, count=count, **settings)
  return [scored(rows[number]) for number in range(count)]


def scored(row):
  steps, ending = split_solution(row)
  entropies = [1 / (1 + i) for i in range(len(steps))]
  return row | {'steps': steps, 'ending': ending, 'entropies': entropies}
