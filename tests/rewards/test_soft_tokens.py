import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybrid_latent.rewards import soft_tokens


@pytest.mark.parametrize(
  ('completion', 'gold', 'reward'),
  [
    (r'The final answer is: \boxed{14}', '14', 100),
    (r'The final answer is: \boxed{28/2}.', '14', 100),
    (r'The final answer is: \boxed{15}', '14', 10),
    (r'The final answer is: \boxed{East}', '14', 10),
    (r'The final answer is: \boxed{}', '14', 0),
    (r'The final answer is: \boxed{14', '14', 0),
    (r'The final answer is: 14', '14', 0),
    (r'\boxed{14}, no, \boxed{15}', '14', 10),
    (r'The final answer is: \boxed{14}', '', None),
    ('nothing', '', None),
  ],
)
def test_hundred_if_right_ten_if_boxed(completion, gold, reward):
  assert soft_tokens.soft_tokens([completion], answer=[gold]) == [reward]


@pytest.mark.parametrize(
  ('completion', 'reward'),
  [
    ('12+7=19 19-5=14 #### 14', 1),
    ('#### 14 apples', 1),
    ('#### 15', 0.5),
    ('#### a lot', 0.5),
    ('####', 0),
    (r'14 \boxed{14}', 0),
  ],
)
def test_a_task_without_boxes_has_a_marker(completion, reward):
  kwargs = {'marker': '####', 'right': 1.0, 'boxed': 0.5}
  rewards = soft_tokens.soft_tokens([completion], answer=['14'], **kwargs)
  assert rewards == [reward]


_PIECES = [r'\boxed{', '{', '}', '14', '15', '####', '$', r'\frac', 'East']


@settings(deadline=None)  # the first call of sympy takes its time
@given(st.lists(st.sampled_from([*_PIECES, ' '])).map(''.join))
def test_there_are_three_rewards(text):
  for marker in (r'\boxed', '####'):
    rewards = soft_tokens.soft_tokens([text], answer=['14'], marker=marker)
    assert rewards[0] in (100, 10, 0)


def test_a_completion_can_be_written_as_the_prompt_asks():
  question = 'What is {1, 2}?'
  prompt = soft_tokens.PROMPT.replace('{question}', question)
  assert prompt.endswith(f"[answer]}}.' User: {question} Assistant:")
  assert 'final answer in \\boxed{}. The assistant must' in prompt
  ended, cut = soft_tokens.CLOSING
  for text in (f'1+1 {soft_tokens.STOP}{ended}2}}', f'1+1 {cut}2}}'):
    assert text == r'1+1 The final answer is: \boxed{2}'
    assert soft_tokens.soft_tokens([text], answer=['2']) == [100]
