r"""Answers questions from a file, each in the mode that it names, or over HTTP.

    python -m experiments.serve --requests=FILE.jsonl --out=FILE.jsonl \
        --config=lrt:MODEL,rl \
        --config.feedback.init_kwargs.source=runs/lrt_rl/reasoner
    python -m experiments.serve --port=8000 --config=hrpo_gsm8k:MODEL

A request is a line {"question": ..., "mode": ...}. In the mode
`chain_of_thought` the model writes a chain of thought before its answer; in
`latent` it reads the latents of config.feedback instead; in `no_thinking` its
prompt ends with the text config.rollout.forced_text.no_thinking, which closes
the thinking (NoThinking, arXiv 2504.09858). The default mode is
config.rollout.mode; where that is '', it is latent if config.feedback makes
latents, else chain_of_thought. Requests of all modes are decoded in the same
batches.

Writes one answer per line in the order of the requests, the file whole or not
at all: question, mode, reasoning (the text before the delimiter
config.rollout.end_of_thinking), response and tokens, the number of decoded
tokens. Sampling is that of an evaluation (config.eval.sampling), by config.seed
and the number of the line.

With --port it answers requests in the shape of OpenAI's API until it is ended,
which docs/serving.md describes.
"""

import argparse
from collections.abc import Sequence
from typing import Annotated, Any

from hybrid_latent.ranges import PositiveInt, Range

from .fields.accepted import Folder, Text
from .training import cli


def _parser() -> cli.Parser:
  parser = cli.config_parser('serve', __doc__, workdir=False)

  def add(name: str, annotation: Any, about: str, default: Any = None) -> None:
    kind = cli.value(annotation)
    parser.add_argument(name, type=kind, help=about, default=default)

  add('--requests', Folder, 'FILE.jsonl to read')
  add('--out', Folder, 'FILE.jsonl to write')
  add('--port', Annotated[int, Range(ge=0, lt=2**16)], 'of HTTP; 0: a free one')
  add('--host', Text, 'address to listen on', '127.0.0.1')
  add('--queue', PositiveInt, 'completions that may wait', 64)
  return parser


def _check(flags: argparse.Namespace) -> Sequence[str]:
  """ValueError unless either a file or a port is to be answered."""
  files = flags.requests, flags.out
  if any(files) != all(files) or all(files) == (flags.port is not None):
    raise ValueError(
      f'--requests={flags.requests}, --out={flags.out}, --port={flags.port}: '
      'write --requests=FILE.jsonl and --out=FILE.jsonl, or --port=8000'
    )
  return ()


if __name__ == '__main__':  # before the imports: --help takes a second
  cli.parse(_parser(), completed=_check)

import json
from collections.abc import Mapping
from functools import partial
from operator import itemgetter
from pathlib import Path

import jax
import numpy as np
from absl import logging
from etils import epath

from hybrid_latent import sharding
from hybrid_latent.data.prompts import eval_batches
from hybrid_latent.formats.parsed import parsed_json

from .serving.http_server import serve
from .serving.loading import Server, encoders, is_unicode, load_server
from .training.compilation_cache import keep_compiled
from .training.dataset_sampling import split_thinking
from .training.prompts import mode_of
from .training.resumable_shards import write_lines
from .training.sampler import eval_sampling

__all__ = ['Server', 'encoders', 'load_server']
FIELDS = 'question', 'mode'


class RequestError(ValueError):
  """A request that cannot be answered."""


def answers(server: Server, requests: Sequence[Mapping]) -> list[dict]:
  """The answers to requests, each with the fields of a line of the file.
  RequestError, before anything is decoded, for a request that is not accepted;
  the first is 'line 1'."""
  rows = [
    validate_request(server, i, request)
    for i, request in enumerate(requests, 1)
  ]
  if not rows:
    return []
  config, actor, sampler = server.config, server.actor, server.sampler
  rollout, found = config.rollout, []
  sampling_params = eval_sampling(rollout, config.eval)
  key = jax.random.key(config.seed)
  # A power of two, so that calls of any size share a handful of programs.
  padded = 1 << (len(rows) - 1).bit_length()
  for batch in eval_batches(
    rows,
    itemgetter('ids'),
    batch=min(rollout.prompts_per_step * rollout.num_generations, padded),
    length=rollout.max_prompt_length,
    pad=actor.pad_id,
  ):
    batch['mode'] = np.array([mode_of(row['mode']) for row in batch['rows']])
    prompt, ready = sampler.prefill(actor.policy, batch)
    out = sampler.sample(actor.policy, prompt, ready, key, sampling_params, 1)
    out = sharding.to_host((out.tokens, out.mask, out.thinking_mask))
    found += [
      answer_fields(server, row, tokens[mask].tolist(), int(thinking.sum()))
      for row, tokens, mask, thinking in zip(batch['rows'], *out, strict=True)
    ]
  return found[: len(rows)]  # without the rows that fill up the last batch


def validate_request(server: Server, line: int, request: Mapping) -> dict:
  """The request with its mode and the ids of its prompt."""

  def error(what: str, accepted: str) -> RequestError:
    return RequestError(f'line {line}: {what}: accepted is {accepted}')

  if not isinstance(request, Mapping):
    raise error(f'{request!r:.80}', 'an object with a question and a mode')
  for field in request:
    if field not in FIELDS:
      raise error(f'field {field!r:.80}', f'one of {[*FIELDS]}')
  if 'question' not in request:
    raise error('no field question', 'an object that has one')
  question, mode = request['question'], request.get('mode', server.default_mode)
  if not isinstance(question, str) or not question.strip():
    raise error(f'question = {question!r:.80}', 'a text that is not empty')
  if not is_unicode(question):
    raise error(f'question = {question!r:.80}', 'text without surrogates')
  if mode not in [*server.encoders]:
    raise error(
      f'mode = {mode!r:.80}',
      f'one of {[*server.encoders]}; latent needs latents in config.feedback, '
      'and neither a text in config.rollout.forced_text.no_thinking',
    )
  ids = server.encoders[mode]({'question': question})
  max_length = server.config.rollout.max_prompt_length
  if len(ids) > max_length:
    raise error(
      f'question = {question!r:.80} has a prompt of {len(ids)} tokens',
      f'one of at most config.rollout.max_prompt_length={max_length}',
    )
  return {'question': question, 'mode': mode, 'ids': ids}


def answer_fields(
  server: Server, row: Mapping, tokens: list[int], thinking: int
) -> dict:
  """The fields of an answer, from its decoded tokens, the first `thinking` of
  which are the thinking."""
  delimiter = server.config.rollout.end_of_thinking
  tokenizer: Any = server.actor.tokenizer
  decode = partial(tokenizer.decode, skip_special_tokens=True)
  reasoning, response = '', decode(tokens)
  if row['mode'] == 'chain_of_thought':
    reasoning, response, _ = split_thinking(tokens, thinking, delimiter, decode)
    # After a thinking that a limit ended, the response begins with the text
    # that was forced there.
    response = response.lstrip().removeprefix(delimiter)
  return {
    'question': row['question'],
    'mode': row['mode'],
    'reasoning': reasoning,
    'response': response.lstrip(),
    'tokens': len(tokens),
  }


def read_requests(path: Path) -> list[Any]:
  """The requests of a file. RequestError for a line that is not JSON."""
  found = []
  for number, line in enumerate(path.read_bytes().splitlines(), 1):
    try:
      found.append(parsed_json(line.decode()))
    except ValueError as error:
      raise RequestError(
        f'line {number}: {line[:80]!r}: accepted is a JSON object with a '
        f'question and a mode, in UTF-8 ({str(error)[:80]})'
      ) from None
  return found


@cli.report_errors()
def main(argv: Sequence[str] | None = None) -> None:
  """The command; see the top of this file."""
  config, flags = cli.parse(_parser(), argv, _check)
  logging.set_verbosity(logging.WARNING)
  keep_compiled()
  if flags.port is not None:
    serve(load_server(config), flags.host, flags.port, flags.queue)
    return
  try:
    requests = read_requests(Path(flags.requests))
    found = answers(load_server(config), requests)
  except RequestError as error:
    raise RequestError(f'{flags.requests}, {error}') from None
  lines = (json.dumps(x, ensure_ascii=False) + '\n' for x in found)
  count = write_lines(epath.Path(flags.out), lines)
  print(f'wrote {count} answers to {flags.out}')


if __name__ == '__main__':
  main()
