"""Completions as HTML, every token shaded by how latent its input was."""

import html
import itertools
from collections.abc import Mapping

import numpy as np

_SAMPLES = 4  # completions shown of one step
_MARKS = 0, 0.01, 0.05, 0.1, 0.25, 0.5, 1  # of the scale


def samples_html(name: str, rows: list[dict]) -> str:
  """The completions of a run's first, middle and last sampled step.

  Args:
    name: the run.
    rows: of its completions.jsonl.
  """
  steps = sorted({row['step'] for row in rows})
  chosen = {steps[i] for i in (0, len(steps) // 2, -1)} if steps else ()
  parts = [f'<h3>{html.escape(name)}</h3>'] if steps else []
  for step in sorted(chosen):
    shown = [row for row in rows if row['step'] == step][:_SAMPLES]
    groups = itertools.groupby(shown, lambda row: row['prompt'])
    articles = ''.join(
      f'<article><blockquote>{html.escape(prompt)}</blockquote>'
      f'{"".join(_completion(row) for row in group)}</article>'
      for prompt, group in groups
    )
    state = ' open' if step == steps[-1] else ''
    parts.append(
      f'<details{state}><summary>Step {step}</summary>{articles}</details>'
    )
  return ''.join(parts)


def scale_html() -> str:
  """What the shades mean: the same on every page."""
  marks = ''.join(_token(f' {x:.0%} ', x) for x in _MARKS)
  return f'<div class="scale tokens">latent share {marks}</div>'


def _completion(row: Mapping) -> str:
  reward = row.get('reward')
  reward = '–' if reward is None else f'{reward:.3g}'
  known = [latent for latent in row['latent'] if latent is not None]
  share = np.mean(known) if known else 0.0
  pairs = zip(row['tokens'], row['latent'], strict=True)
  tokens = ''.join(_token(text, latent) for text, latent in pairs)
  return (
    f'<header><span>reward <b>{reward}</b></span>'
    f'<span>answer <b>{html.escape(str(row.get("answer")))}</b></span>'
    f'<span>{len(row["tokens"])} tokens</span>'
    f'<span>latent {share:.1%}</span></header>'
    f'<div class="tokens">{tokens}</div>'
  )


def _token(text: str, latent: float | None) -> str:
  """Shaded by the root of its share: a few hundredths are to be seen."""
  shade = min(max(latent or 0.0, 0.0), 1.0) ** 0.5
  told = '–' if latent is None else f'{latent:.3f}'
  return (
    f'<i style="--l:{shade:.2f}" data-tip="latent {told}">{_visible(text)}</i>'
  )


def _visible(token: str) -> str:
  """A token's text; one that would take no room becomes a middle dot."""
  return html.escape(token) if token else '·'
