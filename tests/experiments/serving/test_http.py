"""The server answers as OpenAI's API does, and as experiments.serve does."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.serve import answers
from experiments.serving.query import completion_query
from experiments.training.sampler import eval_sampling
from hybrid_latent.data import arithmetic
from hybrid_latent.ops.attention import causal_mask, positions
from hybrid_latent.ops.sampling import sampling
from tests.experiments.serving.live import events, request

QUESTIONS = [x['question'] for x in arithmetic.problems('test', count=3)]
MODES = 'chain_of_thought', 'latent', 'no_thinking'
CHAT, TEXT = '/v1/chat/completions', '/v1/completions'
TOKENIZER = arithmetic.tokenizer()


def chat(question, **fields):
  return {'messages': [{'role': 'user', 'content': question}], **fields}


def text(http, **fields):
  status, _, found = request(http.server_port, TEXT, fields)
  assert status == 200, found
  return found


def texts(http, **fields):
  return [choice['text'] for choice in text(http, **fields)['choices']]


def test_greedy_keeps_the_temperature_that_mixtures_have(server):
  fields = {'prompt': '1 +', 'temperature': 0}
  row = completion_query(server, 'tiny', 64, fields).rows[0]
  config = server.config
  expected = eval_sampling(config.rollout, config.eval)
  assert expected.temperature == 1.5 and not expected.greedy
  assert sampling(**dict(row.sampling)) == expected._replace(greedy=True)


def test_greedy_answers_are_those_of_the_file(server, http):
  config = server.config.copy_and_resolve_references()
  with config.unlocked():
    config.eval.sampling.greedy = True
  asked = [{'question': q, 'mode': m} for q in QUESTIONS for m in MODES]
  for row in answers(server._replace(config=config), asked):
    body = chat(row['question'], temperature=0, mode=row['mode'])
    status, _, found = request(http.server_port, CHAT, body)
    assert status == 200
    answer = found['choices'][0]['message']['content']
    if row['mode'] == 'chain_of_thought':
      reasoning, _, answer = answer.partition('e')
      assert reasoning == row['reasoning']
    assert answer.lstrip() == row['response']
    assert found['usage']['completion_tokens'] == row['tokens']


def test_a_completion(http):
  found = text(http, prompt='1 + 2 =', max_tokens=4, seed=3)
  assert found['object'] == 'text_completion' and found['model'] == 'tiny'
  (choice,) = found['choices']
  assert choice['index'] == 0 and choice['finish_reason'] == 'length'
  assert found['usage'] == {
    'prompt_tokens': len(TOKENIZER('1 + 2 =')['input_ids']),
    'completion_tokens': 4,
    'total_tokens': len(TOKENIZER('1 + 2 =')['input_ids']) + 4,
    'completion_tokens_details': {'latent_tokens': 0, 'prefix_latents': 3},
  }


def test_prompts_as_text_and_as_ids(http):
  prompts = ['1 + 2 =', '7 -', '3 * 4 = 12. 5']
  each = [texts(http, prompt=x, temperature=0)[0] for x in prompts]
  assert len({*each}) == 3
  ids = [TOKENIZER(x)['input_ids'] for x in prompts]
  assert texts(http, prompt=prompts, temperature=0) == each
  assert texts(http, prompt=ids, temperature=0) == each
  assert texts(http, prompt=ids[1], temperature=0) == each[1:2]


def test_a_seed_gives_the_same_samples_in_any_batch(http):
  fields = {'n': 3, 'temperature': 1, 'max_tokens': 12}
  first = texts(http, prompt='1 +', seed=5, **fields)
  assert len({*first}) > 1  # choices differ
  both = texts(http, prompt=['1 +', '2 +'], seed=5, **fields)
  assert both[:3] == first
  assert texts(http, prompt='1 +', seed=6, **fields) != first
  assert texts(http, prompt='1 +', **fields) != texts(
    http, prompt='1 +', **fields
  )


def test_sampling_parameters_of_a_request(http):
  greedy = texts(http, prompt='1 +', temperature=0)
  for one in {'top_k': 1}, {'top_p': 1e-6}, {'min_p': 0.999}:
    assert texts(http, prompt='1 +', temperature=1.5, **one) == greedy


@pytest.mark.parametrize('mode', MODES)
def test_a_stream_joins_to_the_whole(mode, http):
  fields = chat(QUESTIONS[0], n=2, seed=1, temperature=1, mode=mode)
  _, _, whole = request(http.server_port, CHAT, fields)
  options = {'stream_options': {'include_usage': True}}
  *chunks, last = events(http.server_port, CHAT, fields | options)
  assert last['choices'] == [] and last['usage'] == whole['usage']
  for choice in whole['choices']:
    mine = [
      chunk['choices'][0]
      for chunk in chunks
      if chunk['choices'][0]['index'] == choice['index']
    ]
    assert len(mine) > 1
    joined = ''.join(x['delta']['content'] for x in mine)
    assert joined == choice['message']['content']
    assert [x['finish_reason'] for x in mine[:-1]] == [None] * (len(mine) - 1)
    assert mine[-1]['finish_reason'] == choice['finish_reason']
  assert {chunk['object'] for chunk in chunks} == {'chat.completion.chunk'}


def test_a_stop_text_ends_a_completion_and_is_not_in_it(http):
  (whole,) = texts(http, prompt='1 +', temperature=0, max_tokens=24)
  stop = whole[5:8]
  fields = {'prompt': '1 +', 'temperature': 0, 'max_tokens': 24}
  fields['stop'] = ['not in it', stop]
  found = text(http, **fields)
  cut = whole[: whole.index(stop)]
  assert found['choices'][0]['text'] == cut
  assert found['choices'][0]['finish_reason'] == 'stop'
  chunks = events(http.server_port, TEXT, fields)
  assert ''.join(x['choices'][0]['text'] for x in chunks) == cut


def reference(server, ids):
  """log softmax of the model over the prompt, [p v]."""

  @jax.jit
  def scored(model, ids):
    mask = jnp.ones(ids.shape, bool)
    layout = positions(mask), causal_mask(mask)
    hidden, _ = model.forward(model.embed(ids), None, *layout)
    return jax.nn.log_softmax(model.unembed(hidden))

  return np.asarray(scored(server.actor.policy.model, jnp.array([ids]))[0])


def test_the_log_probs_of_an_echo(server, http):
  """As the harness of EleutherAI reads them."""
  ids = TOKENIZER('1 + 2 = 3')['input_ids']
  fields = {'echo': True, 'logprobs': 2, 'max_tokens': 1, 'temperature': 0}
  fields['mode'] = 'chain_of_thought'
  (choice,) = text(http, prompt=[ids], **fields)['choices']
  assert choice['text'].startswith('1 + 2 = 3')
  found = choice['logprobs']
  assert found['tokens'][:-1] == [TOKENIZER.decode([i]) for i in ids]
  assert found['token_logprobs'][0] is None
  want = reference(server, ids)
  np.testing.assert_allclose(
    found['token_logprobs'][1:-1],
    [want[t, i] for t, i in enumerate(ids[1:])],
    atol=1e-5,
  )
  for t, top in enumerate(found['top_logprobs'][1:-1]):
    assert max(top.values()) == pytest.approx(want[t].max(), abs=1e-5)
    is_greedy = want[t].argmax() == ids[t + 1]
    log_prob = found['token_logprobs'][t + 1]
    assert (log_prob == max(top.values())) == is_greedy
  assert found['token_logprobs'][-1] == pytest.approx(want[-1].max(), abs=1e-5)
  spans = itertools.pairwise(found['text_offset'])
  assert [choice['text'][a:b] for a, b in spans] == found['tokens'][:-1]


def test_an_echo_alone(http):
  found = text(http, prompt='1 + 2', echo=True, logprobs=0, max_tokens=0)
  assert found['choices'][0]['text'] == '1 + 2'
  assert found['usage']['completion_tokens'] == 0


def test_what_latents_are_near(http):
  body = chat(QUESTIONS[0], mode='latent', latents=True, temperature=0)
  _, _, found = request(http.server_port, CHAT, body)
  (choice,) = found['choices']
  prefix = choice['latents']['prefix']
  assert (
    len(prefix) == found['usage']['completion_tokens_details']['prefix_latents']
  )
  for near in prefix:
    shares = [share for _, share in near]
    assert len(near) == 5 and shares == sorted(shares, reverse=True)
    assert 0 < sum(shares) <= 1
  body.update(mode='chain_of_thought')
  _, _, words = request(http.server_port, CHAT, body)
  assert words['choices'][0]['latents'] == {'tokens': []}


def test_a_conversation(http):
  body = chat('3', temperature=0)
  _, _, one = request(http.server_port, CHAT, body)
  body['messages'] = [
    {'role': 'user', 'content': '1'},
    {'role': 'assistant', 'content': [{'type': 'text', 'text': '2'}]},
    *body['messages'],
  ]
  status, _, many = request(http.server_port, CHAT, body)
  assert status == 200, many
  assert many['usage']['prompt_tokens'] > one['usage']['prompt_tokens']


def test_models_and_health(http):
  status, _, found = request(http.server_port, '/v1/models')
  assert status == 200
  assert [model['id'] for model in found['data']] == ['tiny']
  status, _, found = request(http.server_port, '/v1/models/tiny')
  assert status == 200 and found['id'] == 'tiny'
  assert request(http.server_port, '/health')[::2] == (200, {'status': 'ok'})
