"""A small record of an evaluation, without a model."""

from pathlib import Path

import numpy as np

from experiments.evaluation.record import record_line

CONTROLS = '', 'other_problem', 'pause', 'dropped'


def write_record(
  folder: Path,
  problems: int = 6,
  samples: int = 4,
  tokens: int = 30,
  text: str = ' x',
  datasets: tuple[str, ...] = ('gsm8k',),
) -> None:
  """Three arms: one without latents, and two with latents, whose controls are
  worse; `text` is each question, answer, completion and token."""
  rng, rows, times, given = np.random.default_rng(0), [], [], []
  arms = [('base', 0.0, ''), *(('hrpo', 0.1, c) for c in CONTROLS),
          *(('hyrea', 0.5, c) for c in CONTROLS)]  # fmt: skip
  for model, latent, control in arms:
    arm = f'{model}/{control}'.rstrip('/')
    for dataset in datasets:
      chance = 0.5 + latent / 2 - 0.2 * bool(control)
      for prompt in range(problems):
        for sample in range(samples):
          count = int(tokens * (1 - latent / 2)) + int(rng.integers(5))
          share = np.where(_places(model, count), latent, 0.0)
          where = dict(arm=arm, dataset=dataset, prompt=prompt, sample=sample)
          correct = float(rng.random() < chance)
          row = _sample(text, share, rng.exponential(size=count), correct)
          about = dict(model=model, feedback=model, control=control)
          rows.append(where | about | row)
      times.append(_times(arm, dataset, problems, samples, tokens))
    given += [
      _given(rng, arm, i, text) for i in range(problems * (not control))
    ]
  folder.mkdir(parents=True, exist_ok=True)
  for name, found in ('samples', rows), ('times', times), ('given', given):
    lines = ''.join(map(record_line, found))
    (folder / f'{name}.jsonl').write_text(lines, 'utf-8')


def _places(model: str, count: int) -> np.ndarray:
  at = np.arange(count)
  return at < 2 * count // 3 if model == 'hrpo' else at % 10 > 6


def _sample(text, share, entropy, correct) -> dict:
  count, latent = len(share), [bool(x) for x in share]
  return {
    **{'mode': 'chain_of_thought', 'budget': None, 'sampling': 'sample'},
    **{'question': text, 'answer': text, 'completion': text * count},
    **{
      'parsed': text if correct else 'other',
      'rewards': {'accuracy': correct},
    },
    **{'reward': correct, 'correct': correct, 'ungraded': False},
    **{'terminated': True, 'truncated': False, 'forced_tokens': 0},
    **{'num_tokens': count, 'num_tokens_without_marks': count},
    'thinking_tokens': 2 * count // 3,
    'switches': int((np.diff([False, *latent]) > 0).sum()),
    **{'first_position': 9, 'ids': [1] * count, 'tokens': [text] * count},
    **{'entropy': entropy.tolist(), 'log_prob': (-entropy).tolist()},
    **{'latent_share': share.tolist(), 'latent': latent, 'marks': []},
    'near': [[[text, 0.9]] if x else None for x in latent],
  }


def _times(arm, dataset, problems, samples, tokens) -> dict:
  return {
    **{'arm': arm, 'dataset': dataset, 'prompts': problems},
    **{'completions': problems * samples, 'tokens': tokens, 'seconds': 3.0},
    **{'seconds_per_question': 3.0 / problems, 'tokens_per_second': 40.0},
    'peak_memory_bytes': None,
  }


def _given(rng, arm, prompt, text) -> dict:
  return {
    **{'arm': arm, 'dataset': 'arc', 'prompt': prompt, 'question': text},
    **{'choices': [text, 'b', 'c'], 'answer': int(rng.integers(3))},
    'log_probs': (-rng.exponential(size=(3, 4))).tolist(),
  }
