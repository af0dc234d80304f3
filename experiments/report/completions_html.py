"""Completions as HTML, each token shaded by the latent share of its input."""

import html
import itertools
from collections.abc import Mapping

import numpy as np

_SAMPLES = 4  # completions shown per step
_TICKS = 0, 0.01, 0.05, 0.1, 0.25, 0.5, 1  # of the scale


def completions_html(name: str, rows: list[dict]) -> str:
  """The completions of the first, middle and last sampled step of a run.

  Args:
    name: the label of the run.
    rows: those of its completions.jsonl.
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


def latent_scale_html() -> str:
  """The scale of the shades, the same on every page."""
  ticks = ''.join(_token(f' {x:.0%} ', x) for x in _TICKS)
  return f'<div class="scale tokens">latent share {ticks}</div>'


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
