"""OpenAI's own client talks to the server."""

import pytest

openai = pytest.importorskip('openai', reason='pip install openai')

QUESTION = [{'role': 'user', 'content': '1 + 2?'}]


@pytest.fixture
def client(http):
  address = f'http://127.0.0.1:{http.server_port}/v1'
  with openai.OpenAI(base_url=address, api_key='none', max_retries=0) as client:
    yield client


def test_completions(client):
  (model,) = client.models.list()
  fields = {'model': model.id, 'prompt': ['1 +', '2 +'], 'temperature': 0}
  whole = client.completions.create(max_tokens=8, **fields)
  assert [choice.index for choice in whole.choices] == [0, 1]
  assert whole.usage.completion_tokens <= 16
  found = ['', '']
  for chunk in client.completions.create(max_tokens=8, stream=True, **fields):
    for choice in chunk.choices:
      found[choice.index] += choice.text
  assert found == [choice.text for choice in whole.choices]


@pytest.mark.parametrize('mode', ['chain_of_thought', 'latent', 'no_thinking'])
def test_chat(client, mode):
  fields = {'model': 'tiny', 'messages': QUESTION, 'temperature': 0}
  fields['extra_body'] = {'mode': mode, 'latents': True}
  whole = client.chat.completions.create(logprobs=True, **fields)
  (choice,) = whole.choices
  assert choice.message.role == 'assistant'
  tokens = choice.logprobs.content
  assert len(tokens) == whole.usage.completion_tokens
  prefix = choice.latents.get('prefix', [])
  assert len(prefix) == (3 if mode == 'latent' else 0)
  chunks = [*client.chat.completions.create(stream=True, **fields)]
  text = ''.join(x.choices[0].delta.content for x in chunks)
  assert text == choice.message.content
  assert chunks[-1].choices[0].finish_reason == choice.finish_reason


def test_errors_have_the_classes_of_the_client(client):
  fields = {'model': 'tiny', 'prompt': '1 +'}
  with pytest.raises(openai.BadRequestError) as error:
    client.completions.create(**fields, temperature=-1)
  assert error.value.param == 'temperature'
  with pytest.raises(openai.NotFoundError) as error:
    client.completions.create(model='gpt-5', prompt='1 +')
  assert error.value.code == 'model_not_found'
