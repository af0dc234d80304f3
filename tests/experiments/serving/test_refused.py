"""Requests that are refused, by name, before anything is decoded."""

import pytest

from tests.experiments.serving.live import request

CHAT, TEXT = '/v1/chat/completions', '/v1/completions'
PROMPT = {'prompt': '1 +'}
USER = {'messages': [{'role': 'user', 'content': '1 +'}]}
LONGEST = 'accepted is at most 24 (config.rollout.max_completion_length)'
FIELDS = [
  (TEXT, {}, 'prompt', 'prompt is missing'),
  (TEXT, [], None, 'the body of a request is a JSON object'),
  (TEXT, PROMPT | {'maxtokens': 3}, 'maxtokens', "no field 'maxtokens'"),
  (TEXT, PROMPT | {'max_tokens': '3'}, 'max_tokens', 'an integer >= 0'),
  (TEXT, PROMPT | {'max_tokens': True}, 'max_tokens', 'an integer >= 0'),
  (TEXT, PROMPT | {'max_tokens': 25}, 'max_tokens', LONGEST),
  (TEXT, PROMPT | {'max_tokens': -1}, 'max_tokens', 'max_tokens is -1'),
  (TEXT, PROMPT | {'temperature': -1}, 'temperature', 'from 0 (greedy)'),
  (TEXT, PROMPT | {'temperature': 'hot'}, 'temperature', "is 'hot'"),
  (TEXT, PROMPT | {'top_p': 0}, 'top_p', 'a number > 0 and <= 1'),
  (TEXT, PROMPT | {'top_k': -2}, 'top_k', 'or -1 (all)'),
  (TEXT, PROMPT | {'top_k': 10**30}, 'top_k', 'or -1 (all)'),
  (TEXT, PROMPT | {'min_p': 1}, 'min_p', '< 1'),
  (TEXT, PROMPT | {'n': 0}, 'n', 'an integer >= 1'),
  (TEXT, PROMPT | {'n': 65}, 'n', 'at most 64 completions per request'),
  (TEXT, {'prompt': ['1'] * 65}, 'n', 'at most 64 completions'),
  (TEXT, PROMPT | {'seed': 1.5}, 'seed', 'an integer of 64 bits'),
  (TEXT, PROMPT | {'stop': ''}, 'stop', 'none of them empty'),
  (TEXT, PROMPT | {'stop': [['a']]}, 'stop', 'a list of texts'),
  (TEXT, PROMPT | {'stop': ['a'] * 17}, 'stop', 'at most 16 texts'),
  (TEXT, PROMPT | {'stream': 1}, 'stream', 'true or false'),
  (TEXT, PROMPT | {'logprobs': 6}, 'logprobs', 'from 0 to 5'),
  (TEXT, PROMPT | {'mode': 'loud'}, 'mode', "'no_thinking'"),
  (TEXT, PROMPT | {'mode': ['latent']}, 'mode', 'the name of a mode'),
  (TEXT, PROMPT | {'best_of': 2}, 'best_of', '1, or no such field'),
  (TEXT, PROMPT | {'logit_bias': {'5': 9}}, 'logit_bias', '{}, or no'),
  (TEXT, {'prompt': [1, 'a']}, 'prompt', 'a list of token ids'),
  (TEXT, {'prompt': [384]}, 'prompt', '[384]: accepted is a list of ids'),
  (TEXT, {'prompt': [-1]}, 'prompt', 'ids from 0 to 383'),
  (TEXT, {'prompt': [[]]}, 'prompt', 'the prompt has 0 tokens'),
  (TEXT, {'prompt': '\ud800'}, 'prompt', 'text without surrogates'),
  (TEXT, {'prompt': '1 ' * 99}, 'prompt', 'accepted are 1 to 40'),
  (TEXT, {'prompt': {'text': '1'}}, 'prompt', 'a text, a list of token ids'),
  (TEXT, {'prompt': ''}, 'prompt', "is '': accepted is a text"),
  (TEXT, {}, 'prompt', 'prompt is missing'),
  (CHAT, {'messages': []}, 'messages', 'is []: accepted is a list of'),
  (CHAT, {'messages': ['hi']}, 'messages', 'a list of messages'),
  (CHAT, {'messages': [{'role': 'tool', 'content': '1'}]},
   'messages[].role', "'developer'"),
  (CHAT, {'messages': [{'role': 'user', 'content': 5}]},
   'messages[].content', '5: accepted is a text'),
  (CHAT, {'messages': [{'role': 'user', 'content': [{'image': 'x'}]}]},
   'messages[].content', 'accepted is a text'),
  (CHAT, {'messages': [{'role': 'assistant', 'content': '1'}]},
   'messages', 'a user last'),
  (CHAT, USER | {'top_logprobs': 3}, 'top_logprobs', '0'),
  (CHAT, USER | {'tools': [{'type': 'function'}]}, 'tools', '[], or no such'),
]  # fmt: skip


@pytest.mark.parametrize(('path', 'body', 'param', 'words'), FIELDS)
def test_a_field_that_is_not_accepted(path, body, param, words, http):
  status, _, found = request(http.server_port, path, body)
  assert status == 400
  error = found['error']
  assert words in error['message'] and len(error['message']) < 400
  assert error['param'] == param
  assert error['type'] == 'invalid_request_error'


def test_a_model_that_is_not_there(http):
  body = PROMPT | {'model': '../../etc/passwd'}
  status, _, found = request(http.server_port, TEXT, body)
  assert status == 404 and found['error']['code'] == 'model_not_found'


def test_a_null_is_as_no_field_and_a_newline_is_a_stop(http):
  body = PROMPT | {'seed': None, 'max_tokens': 1, 'user': 'me'}
  assert request(http.server_port, TEXT, body | {'stop': '\n'})[0] == 200


PATHS = [
  ('GET', '/', 404),
  ('GET', '/v1/../../etc/passwd', 404),
  ('POST', '/v1/embeddings', 404),
  ('GET', TEXT, 405),
  ('POST', '/health', 405),
  ('PUT', TEXT, 405),
  ('DELETE', '/v1/models/tiny', 405),
]


@pytest.mark.parametrize(('method', 'path', 'status'), PATHS)
def test_a_path_or_method_that_is_not_there(method, path, status, http):
  body = PROMPT if method != 'GET' else None
  found, _, answer = request(http.server_port, path, body, method)
  assert found == status
  assert answer['error']['type'] == 'invalid_request_error'
  assert 'passwd' not in answer['error']['message']


BODIES = [
  (b'{"prompt": "1', {}, 400, 'line 1, column 12'),
  (b'{"prompt": "1", "prompt": "2"}', {}, 400, 'occurs twice'),
  (b'{"prompt": "1", "top_p": NaN}', {}, 400, 'a finite number'),
  (b'\xff\xfe', {}, 400, 'no JSON in UTF-8'),
  (b'[' * 100_000, {}, 400, 'at most 900 levels'),
  (b'9' * 5000, {}, 400, 'no JSON'),
  (b'{}', {'Content_Type': 'text/plain'}, 415, 'application/json'),
  (b'{}', {'Content_Length': '+2'}, 400, 'Content-Length'),
  (b'{}', {'Content_Length': str(2**40)}, 413, 'more than 8388608 bytes'),
  (b'{}', {'Transfer_Encoding': 'chunked'}, 411, 'Content-Length'),
]


@pytest.mark.parametrize(('body', 'headers', 'status', 'words'), BODIES)
def test_a_body_that_is_not_accepted(body, headers, status, words, http):
  found, _, answer = request(http.server_port, TEXT, body, **headers)
  assert found == status and words in answer['error']['message']
  assert 'Traceback' not in str(answer)
