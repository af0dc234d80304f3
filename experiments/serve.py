r"""Answers questions, each in the way that it asks for.

    python -m experiments.serve --requests=FILE.jsonl --out=FILE.jsonl \
        --config=experiments/configs/lrt.py:MODEL,rl \
        --config.feedback.initial.source=runs/lrt_rl/reasoner

A request is a line {"question": ..., "mode": ...}. Asked in the mode `explicit`
a model thinks in words before it answers; in `latent` it reads the latents of
config.feedback instead; in `neither` its prompt ends with the text
config.rollout.closing.neither, which closes the thinking (NoThinking, arXiv
2504.09858). A request without a mode has that of config.rollout.mode; where it
is '', too, latent if config.feedback makes latents, else explicit. Requests of
all modes are decoded together.

Writes an answer a line in the order of the requests, whole or not at all:
question, mode, reasoning (the words before config.rollout.delimiter), response
and tokens, the number of all that were decoded. They are drawn as in an
evaluation (config.eval.sampling), by config.seed and the number of the line.
"""

from .fields.accepted import Folder
from .training import cli


def _parser() -> cli.Parser:
  parser = cli.config_parser('serve', __doc__, workdir=False)
  for name, what in ('requests', 'to read'), ('out', 'to write'):
    parser.add_argument(
      f'--{name}',
      required=True,
      type=cli.value(Folder),
      help=f'FILE.jsonl {what}',
    )
  return parser


if __name__ == '__main__':  # before the imports: --help takes a second
  cli.parse(_parser())

import json
from collections.abc import Mapping, Sequence
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from absl import logging
from etils import epath

from hybrid_latent import sharding
from hybrid_latent.data.prompts import Encode, eval_batches
from hybrid_latent.formats.parsed import parsed_json
from hybrid_latent.ops.sampling import sampling

from .generate import check_delimiter, split
from .training import resumable_shards
from .training.actor import Actor, feedback_of, rollout_mesh
from .training.cli import Config
from .training.compilation_cache import keep_compiled
from .training.dataset_sampling import decoding_actor
from .training.prompts import mode_of, prompt_ids
from .training.sampler import Sampler, prefill_and_decode

FIELDS = 'question', 'mode'


class RequestError(ValueError):
  """A request that cannot be answered."""


class Server(NamedTuple):
  """A model that is ready to answer; what it has compiled stays with it."""

  config: Config
  actor: Actor
  sampler: Sampler
  encoders: dict[str, Encode]  # by the modes that there are
  default: str  # the mode of a request that has none


def server(config: Config) -> Server:
  """Of config.model, with the latents of config.feedback if it has some."""
  mode_of(config.rollout.mode)
  feedback = feedback_of(config.feedback)
  if feedback.prefix and not config.feedback.initial.get('source'):
    raise ValueError(
      "config.feedback.initial.source is '': write the folder of a reasoner, "
      'which experiments.lrt writes to WORKDIR/reasoner'
    )
  mesh = rollout_mesh(config.rollout, sharding.mesh(**config.mesh))
  actor = decoding_actor(config, mesh)
  check_delimiter(config.rollout.delimiter, actor)
  nobody: Any = None  # grades
  functions = prefill_and_decode(config.rollout, feedback)
  return Server(
    config,
    actor,
    Sampler(config.rollout, config.data, mesh, actor, *functions, nobody),
    encoders(config, actor.tokenizer),
    config.rollout.mode or ('latent' if feedback.prefix else 'explicit'),
  )


def encoders(config: Config, tokenizer: Any) -> dict[str, Encode]:
  """The modes that a prompt can be answered in, and what makes its ids. All end
  where the thinking begins, as config.data has it, but those of `neither`."""
  closing = config.rollout.closing.neither
  data = {'explicit': config.data}
  if feedback_of(config.feedback).prefix:
    data['latent'] = config.data
  if closing:
    data['neither'] = config.data.copy_and_resolve_references()
    data['neither'].prefill += closing
  return {mode: partial(prompt_ids, tokenizer, x) for mode, x in data.items()}


def answers(server: Server, requests: Sequence[Mapping]) -> list[dict]:
  """The answer to each request, as a line of the file has it. RequestError,
  before anything is answered, for one that cannot be: 'line 1' is the first.
  """
  rows = [checked(server, i, request) for i, request in enumerate(requests, 1)]
  if not rows:
    return []
  config, actor, sampler, *_ = server
  rollout, found = config.rollout, []
  how = sampling(**{**rollout.sampling, **config.eval.sampling})
  key = jax.random.key(config.seed)
  # A power of two, so that many calls need a handful of programs.
  few = 1 << (len(rows) - 1).bit_length()
  for batch in eval_batches(
    rows,
    itemgetter('ids'),
    batch=min(rollout.prompts * rollout.group, few),
    length=rollout.prompt_length,
    pad=int(actor.stop.pad),
  ):
    batch['mode'] = np.array([mode_of(row['mode']) for row in batch['rows']])
    prompt, ready = sampler.prefill(actor.policy, batch)
    out = sampler.sample(actor.policy, prompt, ready, key, how, 1)
    out = sharding.to_host((out.tokens, out.mask, out.thinking))
    found += [
      answer(server, row, tokens[mask].tolist(), int(thinking.sum()))
      for row, tokens, mask, thinking in zip(batch['rows'], *out, strict=True)
    ]
  return found[: len(rows)]  # the last batch may have been filled up


def checked(server: Server, line: int, request: Mapping) -> dict:
  """The request with its mode and the ids of its prompt."""

  def refused(what: str, accepted: str) -> RequestError:
    return RequestError(f'line {line}: {what}: accepted is {accepted}')

  if not isinstance(request, Mapping):
    raise refused(f'{request!r:.80}', 'an object with a question and a mode')
  for field in request:
    if field not in FIELDS:
      raise refused(f'field {field!r:.80}', f'one of {[*FIELDS]}')
  if 'question' not in request:
    raise refused('no field question', 'an object that has one')
  question, mode = request['question'], request.get('mode', server.default)
  if not isinstance(question, str) or not question.strip():
    raise refused(f'question = {question!r:.80}', 'a text that is not empty')
  if not _is_unicode(question):
    raise refused(f'question = {question!r:.80}', 'text without surrogates')
  if mode not in [*server.encoders]:
    raise refused(
      f'mode = {mode!r:.80}',
      f'one of {[*server.encoders]}; latent needs latents in config.feedback, '
      'and neither a text in config.rollout.closing.neither',
    )
  ids = server.encoders[mode]({'question': question})
  most = server.config.rollout.prompt_length
  if len(ids) > most:
    raise refused(
      f'question = {question!r:.80} has a prompt of {len(ids)} tokens',
      f'one of at most config.rollout.prompt_length={most}',
    )
  return {'question': question, 'mode': mode, 'ids': ids}


def _is_unicode(text: str) -> bool:
  """JSON can spell halves of characters, which no tokenizer reads."""
  return not any('\ud800' <= character <= '\udfff' for character in text)


def answer(
  server: Server, row: Mapping, tokens: list[int], thinking: int
) -> dict:
  """A line of the file, from the tokens of a row and how many of them think."""
  delimiter = server.config.rollout.delimiter
  tokenizer: Any = server.actor.tokenizer
  decode = partial(tokenizer.decode, skip_special_tokens=True)
  reasoning, response = '', decode(tokens)
  if row['mode'] == 'explicit':
    reasoning, response, _ = split(tokens, thinking, delimiter, decode)
    # A thinking that was cut is followed by what was written then.
    response = response.lstrip().removeprefix(delimiter)
  return {
    'question': row['question'],
    'mode': row['mode'],
    'reasoning': reasoning,
    'response': response.lstrip(),
    'tokens': len(tokens),
  }


def read_requests(path: Path) -> list[Any]:
  """What the lines of a file say. RequestError for one that is not JSON."""
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
  """The command."""
  config, flags = cli.parse(_parser(), argv)
  logging.set_verbosity(logging.WARNING)
  keep_compiled()
  requests = read_requests(Path(flags.requests))
  try:
    found = answers(server(config), requests)
  except RequestError as error:
    raise RequestError(f'{flags.requests}, {error}') from None
  lines = (json.dumps(x, ensure_ascii=False) + '\n' for x in found)
  count = resumable_shards.write(epath.Path(flags.out), lines)
  print(f'wrote {count} answers to {flags.out}')


if __name__ == '__main__':
  main()
