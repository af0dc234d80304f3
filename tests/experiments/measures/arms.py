"""The rows of small arms."""

from tests.measures.rows import row


def arm(name, grades, dataset='gsm8k', trace='....', **fields):
  """The rows of an arm: per problem a text with a grade per sample."""
  grade = {'1': 1.0, '0': 0.0, '?': None}
  fields = {'model': name, 'thinking_tokens': 2} | fields
  return [
    row(
      trace,
      arm=name,
      dataset=dataset,
      prompt=prompt,
      sample=sample,
      correct=grade[x],
      parsed=None if x == '?' else x,
      **fields,
    )
    for prompt, text in enumerate(grades)
    for sample, x in enumerate(text)
  ]


def times(name, dataset='gsm8k', **fields):
  found = dict(arm=name, dataset=dataset, prompts=4, completions=8, tokens=80)
  costs = dict(seconds=16.0, seconds_per_question=4.0, tokens_per_second=5.0)
  return {**found, **costs, 'peak_memory_bytes': None, **fields}


def given(name, *log_probs):
  return [
    {
      **{'arm': name, 'dataset': 'arc', 'prompt': i, 'question': 'Why?'},
      **{'choices': ['a', 'b'], 'answer': 0, 'log_probs': [[x], [-1.0]]},
    }
    for i, x in enumerate(log_probs)
  ]


BASE = arm('base', ['11', '10', '0?', '00'])
HYREA = arm('hyrea', ['11', '11', '10', '??'], trace='.<LL>.<L>.')
