"""A row in the columns of each data set of the hub, and what it becomes."""

LETTERED = ['(A)Ann is first.', '(B)Bob is first.']
DISTRACTOR = {
  'id': '5a',
  'question': 'Who wrote it?',
  'answer': 'Ann',
  'supporting_facts': {'title': ['It'], 'sent_id': [0]},
  'context': {
    'title': ['It', 'Ann', 'Bob', 'Eve'],
    'sentences': [['It is old.', ' Ann wrote it.'], ['She is.'], ['x'], ['y']],
  },
}
GPQA = {
  'Question': 'Which particle? ',
  'Correct Answer': 'the third\n',
  'Incorrect Answer 1': 'the first',
  'Incorrect Answer 2': 'the second',
  'Incorrect Answer 3': 'the fourth',
  'Subdomain': 'Physics',
}
HUB = {
  'gsm8k': (
    {'question': 'How many?', 'answer': '1+2=<<1+2=3>>3\n#### 3'},
    {'question': 'How many?', 'answer': '3'},
  ),
  'gsm_hard': (
    {'input': 'How many?', 'code': 'def solution(): ...', 'target': -98.5},
    {'question': 'How many?', 'answer': '-98.5'},
  ),
  'svamp': (
    {
      'ID': 'chal-1',
      'Body': 'Ann has 8.0 pens',
      'Question': 'How many?',
      'Equation': '( 8.0 )',
      'Answer': '8.0',
      'Type': 'Addition',
      'question_concat': 'Ann has 8.0 pens How many?',
    },
    {'question': 'Ann has 8.0 pens. How many?', 'answer': '8'},
  ),
  'multiarith': (
    {'question': ' How many? ', 'final_ans': '7'},
    {'question': 'How many?', 'answer': '7'},
  ),
  'asdiv': (
    {
      'body': 'Ann has 9 red apples.',
      'question': 'How many?',
      'solution_type': 'Addition',
      'answer': '9 (red apples)',
      'formula': '9=9',
    },
    {'question': 'Ann has 9 red apples. How many?', 'answer': '9'},
  ),
  'math': (
    {'problem': 'What?', 'level': 'Level 1', 'solution': r'So $\boxed{\pi}$.'},
    {'question': 'What?', 'answer': r'\pi'},
  ),
  'math500': (
    {'problem': 'What?', 'solution': 'So.', 'answer': 'p - q', 'level': 4},
    {'question': 'What?', 'answer': 'p - q'},
  ),
  'aime24': (
    {'id': 60, 'problem': 'What?', 'answer': '025', 'url': ''},
    {'question': 'What?', 'answer': '25'},
  ),
  'aime25': (
    {'problem': 'What?', 'answer': '588', 'id': '1'},
    {'question': 'What?', 'answer': '588'},
  ),
  'amc23': (
    {'id': 0, 'question': 'What?', 'answer': '27.0', 'url': ''},
    {'question': 'What?', 'answer': '27'},
  ),
  'amc83': (
    {'id': 0, 'problem': 'What?', 'answer': 142.0, 'url': ''},
    {'question': 'What?', 'answer': '142'},
  ),
  'minerva_math': (
    {'question': 'What?', 'answer': '4.5e33'},
    {'question': 'What?', 'answer': '4.5e33'},
  ),
  'olympiadbench': (
    {'question': 'What?', 'final_answer': ['$2$', '$3$'], 'context': None},
    {'question': 'What?', 'answer': '$2$, $3$'},
  ),
  'mmlu': (
    {'question': 'Which?', 'subject': 's', 'choices': ['x', 'y'], 'answer': 1},
    {
      'question': 'Question: Which?\nOptions:\nA. x\nB. y',
      'stem': 'Which?',
      'choices': ['x', 'y'],
      'answer': 'B',
    },
  ),
  'arc_c': (
    {
      'id': 'MCAS_2000_4_6',
      'question': 'Which?',
      'choices': {'text': ['x', 'y', 'z'], 'label': ['1', '2', '3']},
      'answerKey': '3',
    },
    {
      'question': 'Question: Which?\nOptions:\nA. x\nB. y\nC. z',
      'stem': 'Which?',
      'choices': ['x', 'y', 'z'],
      'answer': 'C',
    },
  ),
  'gpqa_diamond': (
    GPQA,
    {
      'question': 'Question: Which particle?\nOptions:\nA. the fourth\n'
      'B. the third\nC. the first\nD. the second',
      'stem': 'Which particle?',
      'choices': ['the fourth', 'the third', 'the first', 'the second'],
      'answer': 'B',
    },
  ),
  'lsat_ar': (
    {
      'query': 'Two race. Q: Which could be? Answer Choices: (A)Ann is first. '
      '(B)Bob is first.\nA: Among A through E, the answer is',
      'choices': LETTERED,
      'gold': [1],
    },
    {
      'question': 'Two race. Q: Which could be? Answer Choices: (A)Ann is '
      'first. (B)Bob is first.',
      'stem': 'Two race. Q: Which could be?',
      'choices': ['Ann is first.', 'Bob is first.'],
      'answer': 'B',
    },
  ),
  'hellaswag': (
    {
      'ind': 4,
      'activity_label': 'Roof',
      'ctx_a': 'A man. [title] He',
      'ctx_b': 'he',
      'ctx': 'A man [title] is on a roof.  He',
      'endings': ['[substeps] sits.', 'stands.'],
      'split': 'val',
      'label': '1',
    },
    {
      'question': 'Question: Roof: A man. is on a roof. He\nOptions:\n'
      'A. sits.\nB. stands.',
      'stem': 'Roof: A man. is on a roof. He',
      'choices': ['sits.', 'stands.'],
      'answer': 'B',
    },
  ),
  'hotpotqa': (
    DISTRACTOR,
    {
      'question': 'Context (which may or may not be relevant):\n'
      'It::::It is old. Ann wrote it.\nAnn::::She is.\nBob::::x\nEve::::y\n\n'
      'Question: Who wrote it?',
      'answer': 'Ann',
    },
  ),
}
SAME = {'gpqa': 'gpqa_diamond', 'lsat_lr': 'lsat_ar', 'lsat_rc': 'lsat_ar',
        'mmlu_stem': 'mmlu', '2wiki': 'hotpotqa'}  # fmt: skip
