"""Small records for the page of traces."""

import random

from experiments.evaluation.record import Sample

TEXT = (
  'first we add the apples that she bought , so there are 12 left and then '
  'half of them is 6 . the answer is #### 6'
)
WORDS = TEXT.split()
QUESTIONS = (
  'A farmer has 48 apples. He sells half of them and gives 12 to his '
  'neighbour. How many apples are left?',
  'Ana reads 15 pages per day. How many days does a book of 180 pages take?',
  'A train covers 60 km in 45 minutes. What is its speed in km per hour?',
)
START, END = '<start-latent>', '<end-latent>'
# Each sets window.ran where a page runs it.
HOSTILE = [
  '<script>window.ran = 1</script><img src=x onerror="window.ran = 1">',
  '</script></textarea></style><script>window.ran = 1</script>',
  '<!-- <script> ]]> --!> &lt;b&gt; &#60; $index ${ran} `',
  '\ud800 lone \udfff, \x00\x1b[31m\x07\x7f\x9b, \u2028\u2029\ufeff',
  'left \u202eright to left override\u2066 \u200f \u202a',
  'שלום עולם 12 مرحبا',
  'a\u200bb\u00ad' + 'x' * 20_000,
  '"\'\\\r\n\t%s{0}\U0001f9ee\U000e0041',
]


def record(prompts: int = 6, samples: int = 1, length: int = 60, seed: int = 0):
  """Rows of a base model, HRPO, its control, HyRea and LRT."""
  arms = 'base', 'hrpo', 'hrpo/other_problem', 'hyrea', 'lrt'
  return [
    sample_row(arm, prompt, sample, length, seed)
    for arm in arms
    for prompt in range(prompts)
    for sample in range(samples)
  ]


def hostile_record() -> list[Sample]:
  """A row per hostile text, which is in all its fields."""
  rows = []
  for prompt, text in enumerate(HOSTILE):
    row = sample_row('hyrea', prompt) | sample_row('lrt', prompt)
    row |= {
      name: text for name in ('arm', 'model', 'feedback', 'dataset', 'question')
    }
    row |= {'answer': [text, '__proto__'], 'completion': text, 'parsed': text}
    row['rewards'] = {'__proto__': 1.0, 'constructor': None, text: 0.5}
    row['tokens'] = [text] * row['num_tokens']
    row['latent'] = [True] * row['num_tokens']
    row['near'] = [[(text, 0.5), ('__proto__', 0.25)]] * row['num_tokens']
    row['prefix_near'] = [[(text, 0.5)]] * 2
    rows.append(row)
  return rows


def sample_row(
  arm: str, prompt: int = 0, sample: int = 0, length: int = 60, seed: int = 0
) -> Sample:
  """One row; the texts of its tokens begin with a space."""
  rng = random.Random(f'{arm}, {prompt}, {sample}, {seed}')
  tokens, shares = [], []
  while len(tokens) < length:
    if arm == 'hyrea' and rng.random() < 0.08:
      count = rng.randint(1, 6)
      tokens += [START, *rng.choices(WORDS, k=count), END]
      shares += [0.0, *[1.0] * count, 0.0]
    else:
      tokens.append(rng.choice(WORDS))
      shares.append(rng.betavariate(1, 6) if arm.startswith('hrpo') else 0.0)
  tokens, shares = tokens[:length], [*shares[: length - 1], 0.0]
  tokens = [x if x in (START, END) else f' {x}' for x in tokens]
  marks = [t for t, text in enumerate(tokens) if text in (START, END)]
  correct = rng.choice([1.0, 1.0, 0.0, None])
  truncated = rng.random() < 0.15

  def near():
    weights = sorted((rng.expovariate(1) for _ in range(9)), reverse=True)
    pairs = zip(rng.sample(WORDS, 5), weights, strict=False)
    return [(f' {text}', round(w / sum(weights), 4)) for text, w in pairs]

  name, _, control = arm.partition('/')
  row: Sample = {
    'arm': arm,
    'model': 'tiny',
    'feedback': {'hrpo': 'gated', 'hyrea': 'switching', 'lrt': 'prefix'}.get(
      name, 'discrete'
    ),
    'mode': 'latent' if arm == 'lrt' else 'chain_of_thought',
    'control': 'other_problem' if control else '',
    'budget': 512,
    'sampling': 'sample',
    'dataset': ('gsm8k', 'svamp')[prompt % 2],
    'prompt': prompt,
    'sample': sample,
    'question': QUESTIONS[prompt % len(QUESTIONS)],
    'answer': '12',
    'completion': ''.join(tokens),
    'parsed': None if correct is None else '12' if correct else '6',
    'rewards': {'accuracy': correct, 'format': 0.5},
    'reward': None if correct is None else correct + 0.5,
    'correct': correct,
    'ungraded': correct is None,
    'terminated': not truncated,
    'truncated': truncated,
    'forced_tokens': 4 if truncated else 0,
    'num_tokens': length,
    'num_tokens_without_marks': length - len(marks),
    'thinking_tokens': length // 2,
    'switches': len(marks) // 2,
    'first_position': 40,
    'ids': [hash_of(text) for text in tokens],
    'tokens': tokens,
    'entropy': [rng.expovariate(1.5) for _ in tokens],
    'log_prob': [-rng.expovariate(2) for _ in tokens],
    'latent_share': shares,
    'latent': [share > 0 for share in shares],
    'marks': marks,
    'near': [near() if share > 0 else None for share in shares],
  }
  if arm == 'lrt':
    row['prefix_latents'] = 8
    row['prefix_near'] = [near() for _ in range(8)]
  return row


def hash_of(text: str) -> int:
  """A token id: the same in every process."""
  return sum(i * ord(letter) for i, letter in enumerate(text, 1)) % 49_152
