"""Requests of all modes in one batch, and requests that nobody should send."""

import json
import re
import sys

import jax
import pytest

from experiments import serve
from experiments.serve import RequestError, answers
from hybrid_latent.data import arithmetic
from tests.experiments import ways_tiny
from tests.experiments.runs import COMPILED, lines, quick_compiler

MODES = 'chain_of_thought', 'latent', 'no_thinking'
QUESTIONS = [x['question'] for x in arithmetic.problems('test', count=7)]


def requests(*modes):
  every = (modes * len(QUESTIONS))[: len(QUESTIONS)]
  return [{'question': q, 'mode': m}
          for q, m in zip(QUESTIONS, every, strict=True)]  # fmt: skip


@pytest.fixture(scope='module')
def config(model_folder, tmp_path_factory):
  """On a mesh of 2 x 2 x 2."""
  config = ways_tiny.get_config(str(model_folder))
  config.mesh.update(fsdp=2, tensor=2)
  folder = tmp_path_factory.mktemp('reasoners') / 'one'
  config.feedback.init_kwargs.source = ways_tiny.new_reasoner(
    folder, model_folder, 1
  )
  return config


@pytest.fixture(scope='module')
def server(config):
  return serve.load_server(config)


@pytest.fixture(scope='module')
def mixed(server):
  """Answers to requests of all modes, and what they compiled."""
  compiled = []

  def listen(event, seconds, **details):
    if event == COMPILED:
      compiled.append(details['fun_name'])

  jax.monitoring.register_event_duration_secs_listener(listen)
  found = answered(server, requests(*MODES))
  jax.monitoring.unregister_event_duration_listener(listen)
  return found, compiled


def answered(server, some):
  with quick_compiler():
    return answers(server, some)


def test_one_program_answers_all_modes(mixed):
  _, compiled = mixed
  for name in 'prefill', 'decode':
    assert sum(name in x for x in compiled) == 1, compiled


@pytest.mark.parametrize('mode', MODES)
def test_a_row_says_what_it_says_among_its_own(mode, mixed, server):
  found, _ = mixed
  alone = answered(server, requests(mode))
  rows = [i for i, row in enumerate(found) if row['mode'] == mode]
  assert len(rows) >= 2
  assert [found[i] for i in rows] == [alone[i] for i in rows]
  others = [x['response'] for x in alone]
  assert [x['response'] for x in found] != others


def test_without_latents_it_is_the_base_that_speaks(mixed, config):
  """A server that never saw a reasoner."""
  config = config.copy_and_resolve_references()
  with config.unlocked():
    config.feedback = ways_tiny.rl_tiny.get_config('x,grpo').feedback
  base = serve.load_server(config)
  assert [*base.encoders] == ['chain_of_thought', 'no_thinking']
  assert base.default_mode == 'chain_of_thought'
  found, _ = mixed
  alone = answered(
    base, requests('chain_of_thought', 'no_thinking', 'no_thinking')
  )
  for i, (row, same) in enumerate(zip(found, alone, strict=True)):
    if row['mode'] != 'latent':
      assert row == same, i
  with pytest.raises(RequestError, match=r"line 1: mode = 'latent': accepted"):
    answers(base, [{'question': 'Why?', 'mode': 'latent'}])


def test_only_who_thinks_in_words_has_a_reasoning(mixed, server):
  found, _ = mixed
  assert [row['question'] for row in found] == QUESTIONS
  thought = answered(server, requests('chain_of_thought'))
  assert any(row['reasoning'] for row in thought)
  for row in [*found, *thought]:
    assert [*row] == ['question', 'mode', 'reasoning', 'response', 'tokens']
    assert 'e' not in row['reasoning']
    assert row['mode'] == 'chain_of_thought' or row['reasoning'] == ''
    assert 1 <= row['tokens'] <= 24
  # One whose thinking was cut: the delimiter that was then written is no part.
  cut = [row for row in thought if row['response'].startswith('So')]
  assert cut
  assert any(not row['response'].startswith('So') for row in thought)


def test_other_requests_change_no_answer(mixed, server):
  found, _ = mixed
  few = answered(server, requests(*MODES)[:3])
  assert few == found[:3]
  assert answers(server, []) == []


def test_a_request_without_a_mode(mixed, server, config):
  plain = [{'question': question} for question in QUESTIONS]
  assert server.default_mode == 'latent'
  latent = [row['mode'] for row in answered(server, plain)]
  assert latent == ['latent'] * len(plain)
  given = server._replace(default_mode='no_thinking')
  assert answered(given, plain) == answered(server, requests('no_thinking'))


def test_qwen3_is_told_not_to_think_as_its_template_does():
  config = ways_tiny.lrt.defaults('Qwen/Qwen3-1.7B', 'rl')
  tokenizer = arithmetic.tokenizer()
  tokenizer.chat_template += (  # the end of Qwen3's
    '{%- if enable_thinking is defined and enable_thinking is false %}'
    "{{- '<think>\\n\\n</think>\\n\\n' }}{%- endif %}"
  )
  row, made = {'question': QUESTIONS[0]}, ways_tiny.encoders(config, tokenizer)
  explicit, neither = made['chain_of_thought'](row), made['no_thinking'](row)
  assert made['latent'](row) == explicit != neither
  config.data.update(enable_thinking=False, prefill='')
  assert (
    ways_tiny.encoders(config, tokenizer)['chain_of_thought'](row) == neither
  )
  assert tokenizer.decode(neither).endswith('<think>\n\n</think>\n\n')
  assert tokenizer.decode(explicit).endswith('<think>\n')


def test_r1_reads_the_words_of_no_thinking():
  config = ways_tiny.lrt.defaults('deepseek-ai/DeepSeek-R1', 'sft')
  tokenizer = arithmetic.tokenizer()
  tokenizer.chat_template += "{{- '<think>\\n' }}"
  made = ways_tiny.encoders(config, tokenizer)['no_thinking'](
    {'question': 'Why?'}
  )
  assert tokenizer.decode(made).endswith(
    '<think>\nOkay, I think I have finished thinking.\n</think>\n\n'
  )


REFUSED = {
  '{"mode": "latent"}': 'no field question: accepted is an object that has one',
  '["Why?"]': "['Why?']: accepted is an object with a question and a mode",
  '{"question": "Why?", "mod": "latent"}': (
    "field 'mod': accepted is one of ['question', 'mode']"
  ),
  '{"question": 5}': 'question = 5: accepted is a text that is not empty',
  '{"question": " "}': "question = ' ': accepted is a text that is not empty",
  '{"question": "\\ud800"}': 'accepted is text without surrogates',
  '{"question": "Why?", "mode": "loud"}': (
    "mode = 'loud': accepted is one of ['chain_of_thought', 'latent', "
    "'no_thinking']"
  ),
  '{"question": "Why?", "mode": null}': 'mode = None: accepted is one of',
  '{"question": "Why?", "mode": ["latent"]}': "mode = ['latent']: accepted is",
  json.dumps({'question': 'Why? ' * 99}): (
    'tokens: accepted is one of at most config.rollout.max_prompt_length=40'
  ),
  '{"question": "Why?"': 'b\'{"question": "Why?"\': accepted is a JSON object',
  '': "b'': accepted is a JSON object with a question and a mode, in UTF-8",
  '[' * 100_000: 'accepted is a JSON object with a question and a mode',
  '9' * 5000: 'accepted is a JSON object with a question and a mode',
}


@pytest.mark.parametrize('text', REFUSED, ids=lambda text: text[:40])
def test_a_request_that_cannot_be_answered(text, server, tmp_path):
  path = tmp_path / 'requests.jsonl'
  path.write_text(f'{{"question": "Why?"}}\n{text}\n')
  message = REFUSED[text]
  with pytest.raises(RequestError, match=re.escape(message)) as error:
    answers(server, serve.read_requests(path))
  assert str(error.value).startswith('line 2: ')
  assert len(str(error.value)) < 400


def test_a_request_that_is_no_utf8(tmp_path):
  path = tmp_path / 'requests.jsonl'
  path.write_bytes(b'{"question": "Why?"}\n{"question": "\xff"}\n')
  with pytest.raises(RequestError, match=r'line 2: .*in UTF-8'):
    serve.read_requests(path)
  with pytest.raises(FileNotFoundError, match='write a file of requests'):
    serve.read_requests(tmp_path / 'absent.jsonl')


def test_a_reasoner_has_to_be_named(config):
  config = config.copy_and_resolve_references()
  config.feedback.init_kwargs.source = ''
  with pytest.raises(
    ValueError, match=r"config.feedback.init_kwargs.source is ''"
  ):
    serve.load_server(config)


@pytest.mark.filterwarnings('ignore:the load_module')  # ml_collections'
def test_the_command_writes_all_answers_or_none(
  config, server, mixed, tmp_path, monkeypatch, capsys
):
  path, out = tmp_path / 'requests.jsonl', tmp_path / 'new' / 'answers.jsonl'
  command = [
    'serve',
    f'--config={ways_tiny.__file__}:{config.model.source}',
    f'--config.feedback.init_kwargs.source={config.feedback.init_kwargs.source}',
    f'--requests={path}',
    f'--out={out}',
    '--config.mesh.fsdp=2',
    '--config.mesh.tensor=2',
  ]
  monkeypatch.setattr(sys, 'argv', command)
  given = []  # configs; what they would make is there
  monkeypatch.setattr(serve, 'load_server', lambda x: given.append(x) or server)
  rows = [json.dumps(request) + '\n' for request in requests(*MODES)]
  for bad, words in (
    ('{"question": "Why?", "mode": "loud"}', "mode = 'loud': accepted"),
    ('{"question"', 'b\'{"question"\': accepted is a JSON object'),
  ):
    path.write_text(''.join([*rows, f'{bad}\n']))
    with pytest.raises(SystemExit) as end:
      serve.main()
    assert end.value.code == 2
    assert f'{path}, line 8: {words}' in capsys.readouterr().err
    assert not out.parent.exists()
  path.write_text(''.join(rows))
  serve.main()
  assert [x.to_json() for x in given] == [config.to_json()] * 2
  assert lines(out) == mixed[0]
  assert [x.name for x in out.parent.iterdir()] == ['answers.jsonl']
