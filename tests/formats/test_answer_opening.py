"""What is put into a model's mouth, by released chat templates (shortened)."""

import pytest

from hybrid_latent.data import arithmetic
from hybrid_latent.formats.tokenizer import answer_opening

QWEN3 = """
{%- set last = messages|length - 1 %}
{%- for m in messages %}
  {%- if m.role == 'assistant' and loop.index0 == last %}
    {{- '<|im_start|>assistant\n<think>\n\n</think>\n\n' + m.content }}
  {%- else %}
    {{- '<|im_start|>' + m.role + '\n' + m.content }}
  {%- endif %}
  {{- '<|im_end|>\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
  {{- '<|im_start|>assistant\n' }}
  {%- if enable_thinking is defined and enable_thinking is false %}
    {{- '<think>\n\n</think>\n\n' }}
  {%- endif %}
{%- endif %}"""
R1_DISTILL = """
{%- for m in messages %}
  {%- if m.role == 'system' %}{{ m.content }}
  {%- elif m.role == 'user' %}{{ '<｜User｜>' + m.content }}
  {%- else %}
    {{- '<｜Assistant｜>' + m.content.split('</think>')[-1] }}
    {{- '<｜end▁of▁sentence｜>' }}
  {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<｜Assistant｜><think>\n' }}{% endif %}"""
DEEPSEEK_V31 = """
{%- for m in messages %}
  {%- if m.role == 'user' %}{{ '<｜User｜>' + m.content }}
  {%- else %}{{ '<｜Assistant｜></think>' + m.content }}{% endif %}
{%- endfor %}
{%- if add_generation_prompt %}
  {{- '<｜Assistant｜>' + ('<think>' if enable_thinking else '</think>') }}
{%- endif %}"""
GEMMA = """
{%- for m in messages %}
  {%- if m.role == 'system' %}{{ raise_exception('System role') }}{% endif %}
  {%- set role = 'model' if m.role == 'assistant' else m.role %}
  {{- '<start_of_turn>' + role + '\n' + m.content | trim + '<end_of_turn>\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"""
HARMONY = """
{%- for m in messages %}
  {%- if m.role == 'assistant' %}
    {{- '<|start|>assistant<|channel|>final<|message|>' + m.content }}
  {%- else %}{{ '<|start|>' + m.role + '<|message|>' + m.content }}{% endif %}
  {{- '<|end|>' }}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|start|>assistant' }}{% endif %}"""
NO_ANSWERS = """
{%- for m in messages %}
  {%- if m.role == 'assistant' %}{{ raise_exception('users only') }}{% endif %}
  {{- '[INST]' + m.content + '[/INST]' }}
{%- endfor %}
{%- if add_generation_prompt %}{{ ' <thought>' }}{% endif %}"""
ALWAYS = """
{%- for m in messages %}{{ '<' + m.role + '>' + m.content }}{% endfor %}
{{- '<assistant><think>\\n' }}"""
SURE = """
{%- for m in messages %}{{ '<' + m.role + '>' + m.content }}{% endfor %}
{%- if add_generation_prompt %}{{ '<assistant>Sure: ' }}{% endif %}"""


@pytest.fixture(scope='module')
def tokenizer():
  return arithmetic.tokenizer()


@pytest.mark.parametrize('system', ['', 'Reason first.'])
@pytest.mark.parametrize(
  ('template', 'thinks', 'begun'),
  [
    (QWEN3, False, '<think>\n\n</think>\n\n'),
    (QWEN3, True, ''),
    (R1_DISTILL, True, '<think>\n'),
    (DEEPSEEK_V31, True, '<think>'),
    (DEEPSEEK_V31, False, '</think>'),
    (HARMONY, True, ''),
    (NO_ANSWERS, True, '<thought>'),
    (SURE, True, 'Sure: '),
    (ALWAYS, True, '<think>\n'),
  ],
)
def test_the_header_of_an_answer_is_no_part_of_it(
  tokenizer, template, thinks, begun, system
):
  tokenizer.chat_template = template
  found = answer_opening(tokenizer, system=system, enable_thinking=thinks)
  assert found == begun
  found = answer_opening(tokenizer, prefill='So', enable_thinking=thinks)
  assert found == f'{begun}So'


def test_a_template_without_thinking_puts_nothing_in_its_mouth(tokenizer):
  tokenizer.chat_template = GEMMA
  assert answer_opening(tokenizer) == ''


@pytest.mark.parametrize(
  ('template', 'begun'),
  [
    ('Question: {question}\nAnswer: ', ''),
    ('<think> and </think>, please. {question} Answer:', ''),
    ('<|user|>{question}<|assistant|><think>\n', '<think>\n'),
    ('[INST]{question}[/INST][THINK]', '[THINK]'),
    ('{question}◁think▷', '◁think▷'),
    ('{question} <think>\n\n</think>\n\n', '<think>\n\n</think>\n\n'),
  ],
)
def test_of_a_plain_template_it_is_the_tags_at_its_end(
  tokenizer, template, begun
):
  assert answer_opening(tokenizer, template=template) == begun
  found = answer_opening(tokenizer, template=template, prefill='So')
  assert found == f'{begun}So'


def test_special_tokens_are_in_no_completion(tokenizer):
  tokenizer.chat_template = SURE
  found = answer_opening(tokenizer, prefill='<|user|>Well')
  assert found == 'Sure: Well'
