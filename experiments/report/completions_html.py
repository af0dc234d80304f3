"""Completions as HTML, each token shaded by the latent share of its input."""

import html
import itertools
from collections.abc import Iterable, Mapping

import numpy as np

_TOKENS = 8_000  # of all completions on a page
_PROMPT = 1_000  # characters of a prompt
_MANY = 6  # more runs than these have one completion each
_TICKS = 0, 0.01, 0.05, 0.1, 0.25, 0.5, 1  # of the scale


def completions_html(samples: Mapping[str, list[dict]]) -> str:
  """Completions of the first, middle and last sampled step of each run; of the
  last one alone where there are many runs.

  Args:
    samples: label of a run -> the rows of its completions.jsonl.
  """
  many = len(samples) > _MANY
  chosen = {
    (name, step): [r for r in rows if r['step'] == step][: 1 if many else 4]
    for name, rows in samples.items()
    for step in _first_middle_last({row['step'] for row in rows})[-many:]
  }
  tokens = _TOKENS // max(sum(map(len, chosen.values())), 1)
  parts, last = [], {name: step for name, step in chosen}
  for name, step in chosen:
    groups = itertools.groupby(chosen[name, step], lambda row: row['prompt'])
    articles = ''.join(
      f'<article><blockquote>{html.escape(prompt[:_PROMPT])}</blockquote>'
      f'{"".join(_completion(row, tokens) for row in group)}</article>'
      for prompt, group in groups
    )
    state = ' open' if step == last[name] else ''
    parts.append(
      f'<details{state}><summary>{html.escape(name)}, step {step}</summary>'
      f'{articles}</details>'
    )
  return ''.join(parts)


def _first_middle_last(steps: Iterable[int]) -> list[int]:
  ordered = sorted(steps)
  places = sorted({0, len(ordered) // 2, len(ordered) - 1})
  return [ordered[i] for i in places if ordered]


def latent_scale_html() -> str:
  """The scale of the shades, the same on every page."""
  ticks = ''.join(_token(f' {x:.0%} ', x) for x in _TICKS)
  return f'<div class="scale tokens">latent share {ticks}</div>'


def _completion(row: Mapping, most: int) -> str:
  reward = row.get('reward')
  reward = '–' if reward is None else f'{reward:.3g}'
  known = [latent for latent in row['latent'] if latent is not None]
  share = np.mean(known) if known else 0.0
  pairs = zip(row['tokens'][:most], row['latent'][:most], strict=True)
  tokens = ''.join(_token(text, latent) for text, latent in pairs)
  if (left := len(row['tokens']) - most) > 0:
    tokens += f' <b>… and {left} more</b>'
  return (
    f'<header><span>reward <b>{reward}</b></span>'
    f'<span>answer <b>{html.escape(str(row.get("answer")))}</b></span>'
    f'<span>{len(row["tokens"])} tokens</span>'
    f'<span>latent {share:.1%}</span></header>'
    f'<div class="tokens">{tokens}</div>'
  )


def _token(text: str, latent: float | None) -> str:
  """Shaded by the square root of its share, which makes a few percent
  visible."""
  shade = min(max(latent or 0.0, 0.0), 1.0) ** 0.5
  share = '–' if latent is None else f'{latent:.3f}'
  return (
    f'<i style="--l:{shade:.2f}" data-tip="latent {share}">{_visible(text)}</i>'
  )


def _visible(token: str) -> str:
  """The text of a token; a middle dot for an empty one."""
  return html.escape(token) if token else '·'
