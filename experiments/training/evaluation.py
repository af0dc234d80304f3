"""Metrics of an evaluation with forced text and several samples per prompt."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from hybrid_latent import metrics
from hybrid_latent.types import StoppingRule, Trajectory


class Evaluation(NamedTuple):
  """The completions of all test prompts."""

  lengths: Int[np.ndarray, 'b']
  forced: Bool[np.ndarray, 'b']  # the text before the answer was forced
  correct: Float[np.ndarray, 'u samples']
  seconds: float  # of prefill and decoding
  too_long: int  # prompts that were left out


def table_metrics(evaluation: Evaluation) -> dict[str, float]:
  """Accuracy with its standard error over prompts, lengths and seconds.
  Ungraded completions are excluded from the accuracy and counted
  separately."""
  correct, lengths = evaluation.correct, evaluation.lengths
  graded = correct[~np.isnan(correct).all(1)]
  if not len(graded):
    raise ValueError('config.rewards could not grade a single completion')
  means = np.nanmean(graded, axis=1)
  (n,), (prompts, samples) = means.shape, correct.shape
  error = np.std(means, ddof=1) / n**0.5 if n > 1 else 0.0
  counts = metrics.evaluation_metrics(correct, evaluation.too_long)
  counts['too_long'] = evaluation.too_long
  table = {'prompts': prompts, 'accuracy': means.mean()}
  table['standard_error'] = error
  names = 'judged', 'ungraded', 'too_long', 'of_all', f'pass@{samples}'
  table |= {name: counts[name] for name in names if name in counts}
  table |= {
    'tokens': lengths.mean(),
    'forced': evaluation.forced.mean(),
    'seconds': evaluation.seconds / len(lengths),
    'tokens_per_second': lengths.sum() / evaluation.seconds,
  }
  return {name: np.asarray(x).item() for name, x in table.items()}


def forced_rows(
  out: Trajectory, stop: StoppingRule, thinks: bool
) -> Bool[np.ndarray, 'b']:
  """The rows with forced text because of a limit: not only the text after a
  thinking that ended naturally, or after none."""
  # Tokens that a feedback forces within the thinking do not count.
  end = out.thinking_mask.sum(-1, keepdims=True)
  at = np.arange(out.mask.shape[1])
  num_forced = (np.asarray(stop.forced_tokens[0]) >= 0).sum()
  # After a natural end stop.forced_tokens[0] is forced, which begins after the
  # delimiter's last token.
  first = end + thinks
  natural = (at >= first) & (at < first + num_forced)
  return np.any(out.mask & ~out.policy_mask & (at >= end) & ~natural, axis=-1)
