"""A step gone through on shapes, on eight CPU devices."""

import dataclasses

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict

from experiments.aot import __main__ as aot
from experiments.aot.abstract_model import abstract_model, model_config, prefix
from experiments.aot.forecast import (
  device_bytes,
  fingerprint_and_peak,
  forecast,
)
from experiments.aot.targets import CHIPS, Target, target
from experiments.configs import sft_arithmetic
from hybrid_latent import sharding
from hybrid_latent.data import arithmetic
from hybrid_latent.formats.export import write_json
from hybrid_latent.formats.parsed import read_json
from hybrid_latent.models.families import to_huggingface
from hybrid_latent.models.transformer import Transformer
from hybrid_latent.policy import Policy
from tests.experiments import lrt_tiny, rl_tiny
from tests.experiments.conftest import MODEL
from tests.experiments.runs import quick_compiler

pytestmark = pytest.mark.filterwarnings('ignore:the load_module')
PROGRAMS = ['optimizer', 'rollout_weights', 'prefill', 'decode',
            'ref_log_probs', 'advantages', 'update']  # fmt: skip


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  """A model that is a config.json and nothing else."""
  folder = tmp_path_factory.mktemp('sizes')
  write_json(folder / 'config.json', to_huggingface(MODEL))
  return folder


@pytest.fixture(scope='module')
def config(folder):
  return rl_tiny.get_config(f'{folder},hrpo')


@pytest.fixture(scope='module')
def programs(config):
  return forecast(config, 'grpo', jax.devices())


@pytest.fixture(scope='module', autouse=True)
def quick():
  with quick_compiler():
    yield


def edited(config, **fields) -> ConfigDict:
  config = config.copy_and_resolve_references()
  config.update_from_flattened_dict(
    {name.replace('__', '.'): value for name, value in fields.items()}
  )
  return config


def test_all_programs_of_a_step_are_compiled(programs):
  assert [program.name for program in programs] == PROGRAMS
  assert not any(program.oom_error for program in programs)


@pytest.mark.slow
def test_a_supervised_step_is_gone_through_with_its_latents(folder):
  config = sft_arithmetic.get_config(f'{folder},coconut')
  optimizer, update = forecast(config, 'sft', jax.devices())
  assert (optimizer.name, update.name) == ('optimizer', 'update')
  assert not optimizer.oom_error and not update.oom_error
  config = edited(config, curriculum__kwargs__c_thought=0)
  _, words = forecast(config, 'sft', jax.devices())
  passes = 3  # of all that is read, where a step in words has one
  assert (
    0.8 * (1 + passes) < update.cost.flops / words.cost.flops < 1 + 2 * passes
  )


@pytest.mark.parametrize(
  'stage', ['sft', pytest.param('rl', marks=pytest.mark.slow)]
)
def test_a_reasoner_is_trained_without_a_file_of_its_backbone(stage, folder):
  """It and its state are the smaller part: the base has neither."""
  config = lrt_tiny.get_config(f'{folder},{stage},{folder}')
  programs = {p.name: p for p in forecast(config, 'lrt', jax.devices())}
  sampled = [*PROGRAMS[1:4], 'advantages'] if stage == 'rl' else []
  assert [*programs] == ['optimizer', *sampled, 'update']
  assert not any(program.oom_error for program in programs.values())
  assert {p.name for p in programs.values() if p.cost.unknown} <= {'decode'}
  whole = device_bytes(
    abstract_model(config.model, sharding.mesh(**config.mesh)).model
  )
  held = programs['update'].bytes
  trained = held['parameters'] - whole
  assert trained < whole  # a layer as wide, twice, without its vocabulary
  assert held['optimizer'] == pytest.approx(2 * trained, abs=200)
  assert ('reference' in held) == (stage == 'rl')


@pytest.mark.slow
def test_activations_of_both_networks_are_made_again(folder):
  """With remat, the update computes more."""
  flops = {}
  for remat in 'none', 'full':
    config = lrt_tiny.get_config(f'{folder},sft,{folder}')
    config = edited(config, model__remat=remat)
    *_, update = forecast(config, 'lrt', jax.devices())
    flops[remat] = update.cost.flops
  assert 1.15 < flops['full'] / flops['none'] < 1.5


def test_a_reasoner_that_is_there_is_known_by_its_folder(folder, tmp_path):
  fields = to_huggingface(dataclasses.replace(MODEL, width=24))
  write_json(
    tmp_path / 'config.json',
    {
      'model_type': 'latent_reasoner',
      'backbone': fields,
      'width': MODEL.width,
      'latents': 5,
      'closing': 1,
      'reads': 'prompt',
    },
  )
  initial = {'source': str(tmp_path), 'backbone': 'unknown', 'latents': 9}
  policy = Policy(Transformer(MODEL, jax.random.key(0)))
  found = jax.eval_shape(
    lambda key: prefix(key, policy, arithmetic.tokenizer(), **initial,
                       closing='</think>'), jax.random.key(0)
  )  # fmt: skip
  assert found.reasoner.r.shape == (5, 24)
  assert found.reasoner.f_out.weight.shape == (MODEL.width, 24)
  with pytest.raises(ValueError, match="size 'unknown'"):
    prefix(None, policy, None, source='not/there', backbone='unknown')


def test_bytes_are_those_of_the_shards(config, programs):
  mesh = sharding.mesh(**config.mesh)
  model = abstract_model(config.model, mesh).model
  for program in programs:
    # The adapters and the gate come on top of the model.
    more = program.bytes['parameters'] - device_bytes(model)
    assert 0 < more < device_bytes(model)
  update = programs[-1]
  assert update.bytes['optimizer'] > 0 and update.bytes['batch'] > 0
  assert update.total == sum(update.bytes.values())


def test_only_the_loop_of_the_decoder_has_no_known_end(programs):
  assert {p.name for p in programs if p.cost.unknown} == {'decode'}


def test_decoding_counts_each_token(config, programs):
  """At least two operations a parameter and token; the rest is attention,
  which reads every slot of the cache, and what small heads repeat."""
  (decode,) = [p for p in programs if p.name == 'decode']
  rollout = config.rollout
  tokens = (
    rollout.prompts_per_step
    * rollout.num_generations
    * rollout.max_completion_length
  )
  model = jax.tree.leaves(abstract_model(config.model, sharding.mesh()).model)
  weights = sum(np.prod(leaf.shape) for leaf in model if leaf.ndim > 1)
  least = 2 * weights * tokens / jax.device_count()
  assert least <= decode.cost.flops < 2 * least


@pytest.mark.slow
def test_a_plan_knows_what_compiles_the_same(config):
  of = lambda **fields: fingerprint_and_peak(
    edited(config, **fields), 'grpo', jax.devices()
  )
  fingerprint, held = of()
  assert held == max(p.total for p in forecast(config, 'grpo', jax.devices()))
  traced = of(
    seed=7,
    rollout__sampling__temperature=0.3,
    feedback__init_kwargs__r_min=0.5,
  )
  assert traced == (fingerprint, held)
  assert of(gradient_accumulation_steps=2)[0] != fingerprint


def test_the_command_writes_what_it_found(folder, capsys, tmp_path):
  out = tmp_path / 'found.json'
  words = [f'--config=tests/experiments/rl_tiny.py:{folder},hrpo',
           '--target=cpu:8', f'--out={out}']  # fmt: skip
  assert aot.main(words) == 0
  shown = capsys.readouterr().out
  assert 'parameters, GiB' in shown and 'fits: ' in shown
  found = read_json(out)
  assert found['fits'] is True and found['suggestion'] is None
  assert [program['name'] for program in found['programs']] == PROGRAMS
  for program in found['programs']:
    assert program['total_bytes'] == sum(program['bytes'].values())


def test_what_does_not_fit_is_told_with_the_cheapest_remedy(
  config, programs, capsys
):
  worst = max(program.total for program in programs)
  small = CHIPS['cpu']._replace(memory=worst - 1)
  machine = Target('cpu:8', jax.devices(), small)
  assert not aot.fits(programs, machine)
  assert 'DOES NOT FIT' in aot.cost_table(programs, machine)
  found = aot.find_change(config, 'grpo', machine, programs)
  options = dict(word.removeprefix('--config.').split('=') for word in found)
  assert options
  changed = config.copy_and_resolve_references()
  with changed.unlocked():
    changed.update_from_flattened_dict(
      {name: int(value) for name, value in options.items()}
    )
  assert aot.fits(forecast(changed, 'grpo', jax.devices()), machine)


def test_exit_code_one_where_it_does_not_fit(folder):
  words = [f'--config=tests/experiments/rl_tiny.py:{folder},hrpo',
           '--target=cpu:8', '--memory=1e-4', '--no-suggest']  # fmt: skip
  assert aot.main(words) == 1


@pytest.mark.parametrize(
  ('text', 'says'),
  [
    ('v5', 'write NAME:TOPOLOGY'),
    ('v99:2x2', "'v5e', 'v5p'"),
    ('v5e:two', 'v5e:4x4'),
    ('h100:8', 'partitions x hosts x GPUs'),
    ('cpu:9', 'xla_force_host_platform_device_count=9'),
  ],
)
def test_an_unknown_machine_is_told_what_there_is(text, says):
  with pytest.raises(ValueError, match=says):
    target(text)


def test_an_unknown_trainer_is_told_what_there_is(config):
  with pytest.raises(ValueError, match=r"trainer=ppo: .*'grpo'"):
    forecast(config, 'ppo', jax.devices())


@pytest.mark.parametrize(
  ('name', 'width', 'layers'),
  [
    ('Qwen/Qwen2.5-7B-Instruct', 3584, 28),
    ('Qwen/Qwen3-8B-Base', 4096, 36),
    ('meta-llama/Meta-Llama-3.1-8B', 4096, 32),
    ('deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B', 1536, 28),
    ('smollm2-135m', 576, 30),
  ],
)
def test_a_released_model_is_known_by_its_name(name, width, layers):
  found = model_config(name)
  assert (found.width, found.layers) == (width, layers)


def test_the_stand_in_has_shapes_and_a_tokenizer(folder):
  model = ConfigDict(
    dict(source=str(folder), dtype='bfloat16', param_dtype='bfloat16',
         remat='full', attention=None, new_tokens=('<latent>=x', '</latent>'))
  )  # fmt: skip
  source = abstract_model(model, sharding.mesh(fsdp=8, data=1))
  leaves = jax.tree.leaves(source.model)
  assert all(isinstance(leaf, jax.ShapeDtypeStruct) for leaf in leaves)
  assert {str(leaf.dtype) for leaf in leaves} == {'bfloat16'}
  whole = sum(np.prod(leaf.shape) for leaf in leaves) * 2
  assert device_bytes(source.model) < whole / 6
  tokenizer = source.tokenizer
  assert tokenizer is not None
  ids = tokenizer('a<latent>b</latent>', add_special_tokens=False)['input_ids']
  assert len(ids) == 4
