"""Rows of a record, small enough to check by hand."""


def row(latent='', **fields):
  """A row whose tokens are: . a word, L a latent, < and > the marks of a span;
  of `share` where it is latent, of entropy 0.1 times its index."""
  count = len(latent)
  return {
    'arm': 'a',
    'model': 'm',
    'feedback': 'f',
    'mode': 'chain_of_thought',
    'control': '',
    'budget': None,
    'sampling': 'sample',
    'dataset': 'd',
    'prompt': 0,
    'sample': 0,
    'question': 'How many?',
    'answer': '1',
    'completion': '',
    'parsed': '1',
    'rewards': {},
    'reward': 1.0,
    'correct': 1.0,
    'ungraded': fields.get('correct', 1.0) is None,
    'terminated': True,
    'truncated': False,
    'forced_tokens': 0,
    'num_tokens': count,
    'num_tokens_without_marks': count - latent.count('<') - latent.count('>'),
    'thinking_tokens': count,
    'switches': latent.count('<'),
    'first_position': 4,
    'ids': [0] * count,
    'tokens': ['x'] * count,
    'entropy': [i / 10 for i in range(count)],
    'log_prob': [-1.0] * count,
    'latent_share': [float(x == 'L') for x in latent],
    'latent': [x == 'L' for x in latent],
    'marks': [i for i, x in enumerate(latent) if x in '<>'],
    'near': [None] * count,
  } | fields
