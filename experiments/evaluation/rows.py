"""The rows of a record, from the arrays of a batch."""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from hybrid_latent.feedback.observed import Near
from hybrid_latent.feedback.switching import Spans
from hybrid_latent.measures.spans import spans_of
from hybrid_latent.rewards.grader import total
from hybrid_latent.types import StoppingRule, Trajectory


class SampledBatch(NamedTuple):
  """Completions of all hosts, as numpy: `samples` rows per prompt."""

  prompts: Int[np.ndarray, 'b']  # index in the data set
  valid: Bool[np.ndarray, 'b']  # False for rows that only fill the batch
  first_position: Int[np.ndarray, 'b']
  out: Trajectory  # without record and steps
  entropy: Float[np.ndarray, 'b t']
  near: Near  # [b t top]
  prefix_near: Near | None  # [b j top]
  grades: Mapping[str, Float[np.ndarray, 'b']]


class RowFormat(NamedTuple):
  """What the rows of an arm on a data set have in common."""

  fields: Mapping[str, Any]  # arm, model, dataset and so on
  data: Sequence[dict]  # the rows of the data set
  samples: int
  weights: Mapping[str, float]  # of the rewards
  parse: Callable[[str], str | None]
  texts: Callable[[Sequence[Sequence[int]]], list[str]]
  decode: Callable[[int], str]  # the text of a token
  stop: StoppingRule
  thinks: bool  # completions begin with the thinking
  marks: Sequence[int]  # ids of tokens that only delimit spans


def record_rows(batch: SampledBatch, form: RowFormat) -> list[dict[str, Any]]:
  """The rows of `record.Sample`, by prompt and sample."""
  out, decode = batch.out, cache(form.decode)
  mask, lengths = np.asarray(out.mask), np.asarray(out.lengths)
  reward = total(batch.grades, form.weights, form.samples)
  correct = correctness(batch.grades, reward, form.fields['dataset'])
  forced, by_limit = forced_tokens(out, form.stop, form.thinks, form.marks)
  latent = (out.latent_share > 0) & mask
  latent &= (
    np.arange(mask.shape[1]) < lengths[:, None] - 1
  )  # the last: no input
  ids = [row[keep].tolist() for row, keep in zip(out.tokens, mask, strict=True)]
  texts = form.texts(ids)

  def near_of(near: Near, *at: int) -> list[tuple[str, float]]:
    return [(decode(token), share) for token, share in near.listed(*at)]

  def row(b: int) -> dict[str, Any]:
    n, data = len(ids[b]), form.data[batch.prompts[b]]
    marks = [t for t, token in enumerate(ids[b]) if token in form.marks]
    column = lambda values: values[b, :n].tolist()
    fields = {
      **form.fields,
      'prompt': int(batch.prompts[b]),
      'sample': b % form.samples,
      'question': data['question'],
      'answer': data['answer'],
      'completion': texts[b],
      'parsed': form.parse(texts[b]),
      'rewards': {name: float(x[b]) for name, x in batch.grades.items()},
      'reward': float(reward[b]),
      'correct': float(correct[b]),
      'ungraded': bool(np.isnan(correct[b])),
      'terminated': bool(out.terminated[b]),
      'truncated': bool(by_limit[b] or not out.terminated[b]),
      'forced_tokens': int(forced[b].sum()),
      'num_tokens': n,
      'num_tokens_without_marks': n - len(marks),
      'thinking_tokens': int(out.thinking_mask[b].sum()),
      'switches': len(spans_of({'latent': latent[b]})),
      'first_position': int(batch.first_position[b]),
      'ids': ids[b],
      'tokens': [*map(decode, ids[b])],
      'entropy': column(batch.entropy),
      'log_prob': column(out.log_probs),
      'latent_share': column(out.latent_share),
      'latent': column(latent),
      'marks': marks,
      'near': [near_of(batch.near, b, t) if latent[b, t] else None
               for t in range(n)],
    }  # fmt: skip
    if batch.prefix_near is not None:
      latents = range(batch.prefix_near.ids.shape[1])
      fields['prefix_latents'] = len(latents)
      fields['prefix_near'] = [near_of(batch.prefix_near, b, j)
                               for j in latents]  # fmt: skip
    return fields

  # Stable: the completions of a prompt are adjacent on its host.
  order = np.argsort(batch.prompts, kind='stable')
  return [row(b) for b in order.tolist() if batch.valid[b]]


def correctness(
  grades: Mapping[str, Float[np.ndarray, 'b']],
  reward: Float[np.ndarray, 'b'],
  dataset: str,
) -> Float[np.ndarray, 'b']:
  """`correct` of each row: the reward `accuracy`, or `reward`, the sum, where
  there is none. ValueError where one is not 0 to 1."""
  correct = grades.get('accuracy', reward)
  if (wrong := correct[np.abs(correct - 0.5) > 0.5 + 1e-6]).size:
    what = 'the reward accuracy' if 'accuracy' in grades else 'config.rewards'
    raise ValueError(
      f'{what} gives {wrong[0]:.6g} on {dataset!r}: accepted as the accuracy '
      'is 0 to 1: write a config.rewards.accuracy that gives this, of weight 0 '
      'if need be'
    )
  return correct


def forced_tokens(
  out: Any, stop: StoppingRule, thinks: bool, marks: Sequence[int] = ()
) -> tuple[Bool[np.ndarray, 'b t'], Bool[np.ndarray, 'b']]:
  """The tokens that the stopping rule has forced, and the rows where it did so
  because of a limit: not only after a thinking that ended naturally, or after
  none. `out` is a Trajectory of numpy arrays."""
  # Not those that a feedback forces: within the thinking, and in spans.
  of_feedback = (out.latent_share > 0) | np.isin(out.tokens, marks)
  end = out.thinking_mask.sum(-1, keepdims=True)
  at = np.arange(out.mask.shape[1])
  # A feedback also ends the thinking itself: Soft Thinking's delimiter.
  of_limits = np.isin(out.tokens, np.asarray(stop.forced_tokens)[1:, 0])
  of_feedback |= thinks & (at == end) & ~of_limits
  num_forced = (np.asarray(stop.forced_tokens[0]) >= 0).sum()
  # After a natural end stop.forced_tokens[0] is forced, which begins after the
  # delimiter's last token.
  first = end + thinks
  natural = (at >= first) & (at < first + num_forced)
  forced = out.mask & ~out.policy_mask & (at >= end) & ~of_feedback
  # Where it forces nothing, an answer follows a thinking that has all tokens.
  limit = np.minimum(stop.max_thinking_tokens, stop.budget)
  cut = thinks & (end[:, 0] >= limit) & (end[:, 0] < out.mask.sum(-1))
  return forced, np.any(forced & ~natural, axis=-1) | cut


def mark_ids(feedback: Any) -> tuple[int, ...]:
  """The ids of the tokens that delimit spans; none for other feedbacks.

  Args:
    feedback: the parameters of the policy's feedback.
  """
  if not isinstance(feedback, Spans):
    return ()
  return int(feedback.start), int(feedback.end)
