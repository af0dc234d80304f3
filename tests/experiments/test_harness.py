"""Tasks of the lm-evaluation-harness by our sampler: the numbers of its own
model of the same weights, and latents where the config has them."""

import json
from functools import partial
from operator import itemgetter
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.training import cli
from hybrid_latent import sharding
from hybrid_latent.data import arithmetic
from hybrid_latent.data.prompts import eval_batches
from hybrid_latent.formats.tokenizer import chat_ids
from hybrid_latent.ops.sampling import sampling
from hybrid_latent.rollout import rollout
from hybrid_latent.types import Prompt
from tests.experiments import rl_tiny, ways_tiny
from tests.experiments.runs import quick_compiler

pytest.importorskip('lm_eval', reason='not installed: the extra harness')

from experiments.harness.__main__ import _parser, main
from experiments.harness.language_model import LatentLM

TASKS = {
  'sums': """
output_type: generate_until
doc_to_text: "{{question}}\\n"
doc_to_target: "{{answer}}"
generation_kwargs: {until: ["####", " 4"], do_sample: false, max_gen_toks: 7}
metric_list: [{metric: exact_match}]
""",
  'choices': """
output_type: multiple_choice
doc_to_text: "{{question}}"
doc_to_choice: ["{{answer}}", "no answer", "1+1=2 so #### 2"]
doc_to_target: 0
metric_list: [{metric: acc}, {metric: acc_norm}]
""",
  'texts': """
output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: "{{solution}}"
metric_list: [{metric: word_perplexity}, {metric: bits_per_byte}]
""",
}


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  """Tasks of our own, with local data."""
  folder = tmp_path_factory.mktemp('tasks')
  rows = arithmetic.problems('test', count=6)
  (folder / 'rows.jsonl').write_text(
    ''.join(f'{json.dumps(x)}\n' for x in rows)
  )
  for name, task in TASKS.items():
    (folder / f'{name}.yaml').write_text(
      f'task: {name}\ndataset_path: json\ndataset_kwargs: {{data_files: '
      f'{{test: {folder}/rows.jsonl}}}}\ntest_split: test{task}'
    )
  return folder


def evaluated(config, folder, workdir):
  argv = ['--config=unused', f'--workdir={workdir}', f'--include_path={folder}']
  flags = _parser().parse_args([*argv, f'--tasks={",".join(TASKS)}'])
  with quick_compiler():
    results = main(cli.Options(config, flags))
  samples = {}
  for name in TASKS:
    lines = (workdir / f'samples_{name}.jsonl').read_text().splitlines()
    samples[name] = [json.loads(x)['resps'] for x in lines]
  assert json.loads((workdir / 'results.json').read_text())['results']
  return results['results'], samples


@pytest.mark.slow  # loads both models
def test_numbers_of_the_harness_s_own_model(
  folder, model_folder, tmp_path, monkeypatch
):
  from lm_eval import simple_evaluate
  from lm_eval.models.huggingface import HFLM
  from lm_eval.tasks import TaskManager

  monkeypatch.setattr('experiments.harness.language_model._STEPS', 2)
  config = rl_tiny.get_config(f'{model_folder},grpo')
  results, responses = evaluated(config, folder, tmp_path)
  theirs: Any = simple_evaluate(
    HFLM(str(model_folder), device='cpu', dtype='float32'),
    tasks=[*TASKS],
    task_manager=TaskManager(include_path=str(folder)),
  )
  own = {x: [y['resps'] for y in theirs['samples'][x]] for x in TASKS}
  assert responses['sums'] == own['sums']
  for ours, other in zip(responses['choices'], own['choices'], strict=True):
    scores, greedy = zip(*[x for (x,) in ours], strict=True)
    expected, expected_greedy = zip(*[x for (x,) in other], strict=True)
    np.testing.assert_allclose(scores, expected, atol=1e-4)
    assert greedy == expected_greedy
  np.testing.assert_allclose(responses['texts'], own['texts'], rtol=1e-5)
  for name in TASKS:
    for metric, value in theirs['results'][name].items():
      if isinstance(value, float):
        assert results[name][metric] == pytest.approx(value, rel=1e-4), metric


@pytest.mark.slow
def test_limits_and_the_chat_template(model_folder, caplog):
  config = rl_tiny.get_config(f'{model_folder},soft')
  model = LatentLM(config)
  history = [{'role': 'user', 'content': '1+1?'}]
  prompt = model.apply_chat_template(history)
  ids = chat_ids(model.tokenizer, '', '1+1?', '', enable_thinking=True)
  assert model.tok_encode(prompt) == ids
  request = lambda text, **settings: SimpleNamespace(args=(text, settings))
  with quick_compiler():
    model.generate_until([request(prompt, until=[], max_gen_toks=9)])
  assert (
    'max_completion_length=8 tokens, and the task asks for 9'
    in (caplog.messages[-1])
  )
  with pytest.raises(
    ValueError, match=r'max_prompt_length is \d+.*--num_fewshot'
  ):
    model.generate_until([request('1+' * 999, until=[])])


@pytest.mark.slow
def test_scores_after_latents_are_those_of_the_rollout(model_folder, tmp_path):
  config = ways_tiny.get_config(str(model_folder))
  config.feedback.init_kwargs.source = ways_tiny.new_reasoner(
    tmp_path / 'reasoner', model_folder, 1
  )
  model = LatentLM(config)
  rows = [
    {'ids': model.tok_encode(problem['question'])}
    for problem in arithmetic.problems('test', count=3)
  ]
  (batch,) = eval_batches(
    rows, itemgetter('ids'), batch=4, length=64, pad=model.actor.pad_id
  )
  with quick_compiler():
    arrays = Prompt(*(batch[name] for name in ('tokens', 'mask', 'ids')))
    settings = dict(feedback=model.feedback, max_steps=6)
    with jax.set_mesh(model.mesh):
      out = jax.jit(partial(rollout, **settings))(
        model.actor.policy,
        prompt=sharding.from_host(arrays, model.mesh),
        key=jax.random.key(0),
        sampling=sampling(greedy=True),
        stop=model.actor.stop._replace(max_tokens=jnp.int32(6)),
      )
    requests = [
      (None, row['ids'], out.tokens[i][out.mask[i]].tolist())
      for i, row in enumerate(rows)
    ]
    scores = model._loglikelihood_tokens(requests)
    base = LatentLM(rl_tiny.get_config(f'{model_folder},grpo'))
    without = base._loglikelihood_tokens(requests)
  log_probs, greedy = zip(*scores, strict=True)
  expected = np.where(out.mask, out.log_probs, 0).sum(-1)[:3]
  np.testing.assert_allclose(log_probs, expected, rtol=1e-4)
  assert all(greedy)
  assert all(x < y for (x, _), y in zip(without, log_probs, strict=True))
