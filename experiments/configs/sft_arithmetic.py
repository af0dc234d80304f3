"""Any curriculum on arithmetic word problems, small enough for two CPU cores.

    python -m experiments.sft --workdir=runs/sft \
        --config=sft_arithmetic:FOLDER[,METHOD]

`mixed`, the default, is the start of an RL run, part of `make quickstart`: half
of the solutions have steps and half the answer alone, as in mixed data; the
model learns both, and RL raises the share of the one with higher reward. The
others train on worked solutions alone: `cot` and `no_cot` on text, `hyrea`,
`random` and `coconut` with steps as latents, `codi` by self-distillation into
three, `pccot` the same with two parallel passes (with three they would be
CODI's), `kava` these with keys and values of the teacher as targets, `sim_cot`
with Coconut's latents and a decoder that explains them, `colar` with two tokens
of the steps per latent. About a minute on two CPU cores, more with latents.
Numbers to expect: RESULTS.md.

`thinking` learns long reasoning: between `<think>`, with which its prompts end,
and `</think>` the solutions repeat their steps, about a hundred tokens; one in
five ends the thinking at once, so that the model also answers after the prefill
`<think></think>`. About six minutes. FOLDER is made with
`--tokenizer=arithmetic:thinking_tokenizer`.
"""

from ml_collections import ConfigDict

from hybrid_latent.data.arithmetic import THINKING_TOKENS

from . import (
  coconut_gsm8k,
  codi_gsm8k,
  colar_gsm8k,
  hyrea_sft_math,
  kava_gsm8k,
  pccot_gsm8k,
  rl_arithmetic,
  sft,
  sft_gsm8k,
  sim_cot_gsm8k,
)

METHODS = {
  'mixed': (sft_gsm8k.get_config, ''),
  'cot': (sft_gsm8k.get_config, ''),
  'no_cot': (sft_gsm8k.get_config, ',no_cot'),
  'hyrea': (hyrea_sft_math.get_config, ''),
  'random': (hyrea_sft_math.get_config, ',random'),
  'coconut': (coconut_gsm8k.get_config, ''),
  'codi': (codi_gsm8k.get_config, ''),
  'pccot': (pccot_gsm8k.get_config, ''),
  'kava': (kava_gsm8k.get_config, ''),
  'sim_cot': (sim_cot_gsm8k.get_config, ''),
  'colar': (colar_gsm8k.get_config, ''),
  'thinking': (sft_gsm8k.get_config, ''),
}
SELF_DISTILLED = 'codi', 'pccot', 'kava'
STARTS = {
  'hyrea': (0, 100, 200),
  'random': (0, 100, 200),
  'coconut': (0, 1, 100, 200, 300),
  'sim_cot': (0, 1, 100, 200, 300),
}


def get_config(argument: str) -> ConfigDict:
  folder, _, method = argument.partition(',')
  method = method or 'mixed'
  if method not in METHODS:
    raise ValueError(
      f"config argument {argument!r}: write 'FOLDER[,{'|'.join(METHODS)}]'"
    )
  published, words = METHODS[method]
  config = published(folder + words).unlock()
  config.seed = 0
  config.batch_size = 12 if method == 'mixed' else 24
  config.gradient_accumulation_steps = 1
  config.max_length, config.packing, config.buckets = 128, True, 1
  config.lora.rank = 0
  config.model.update(dtype='float32', param_dtype='float32', remat='none')
  sampled = rl_arithmetic.get_config(f'{folder},grpo').unlock()
  for name in sft.ROLLOUT_ONLY:
    del sampled.rollout[name]
  config.update(rollout=sampled.rollout, rewards=sampled.rewards)
  config.data = sampled.data
  config.data.step_entropy_dir = ''
  config.data.kwargs.worked = 0.5 if method == 'mixed' else 1.0
  config.eval = sampled.eval
  config.eval.num_prompts = 0 if method == 'mixed' else 512
  config.eval.every = 1000  # and at the end of every stage
  from_scratch = method not in STARTS  # others start from a trained model
  config.max_steps, config.stages.starts = 400, STARTS.get(method, (0,))
  config.stages.data_fraction = (1.0,) * len(config.stages.starts)
  groups = dict(model=r'^model\.')
  if method in ('coconut', 'sim_cot', *SELF_DISTILLED):
    config.model.new_tokens = sft.SPAN_TOKENS  # which are trained
    config.feedback.init_kwargs.num_latents = 3
  if method in ('colar', *SELF_DISTILLED):
    config.packing, config.batch_size, config.max_length = False, 32, 112
  if method in SELF_DISTILLED:
    groups['projector'] = r'^feedback\.inner\.'
    config.curriculum.kwargs.update(num_latents=3, cue=' ####')
    config.feedback.inner.init_kwargs.width = 0
    config.objective.get('inner', config.objective).kwargs.weight = 1.0
  if method in ('pccot', 'kava'):
    config.latent_passes = config.feedback.kwargs.passes = 2
  if method == 'kava':
    config.objective.kwargs.num_latents = 3
  if method == 'colar':
    groups['head'] = r'^feedback\.(?!scale)'
    config.max_length, config.curriculum.kwargs.compression = 64, 2
    config.feedback.init_kwargs.width = 0
  if method == 'sim_cot':
    config.max_length = 160
    groups['decoder'] = r'^objective\.'
    config.curriculum.kwargs.max_latent_stage = 3
  config.optimizer = dict(
    groups={
      name: dict(pattern=pattern, lr=3e-3 if from_scratch else 1e-3,
                 weight_decay=0.01)
      for name, pattern in groups.items()
    },
    schedule='cosine',
    warmup_ratio=0.1,
    b1=0.9,
    b2=0.99,
    max_grad_norm=1.0,
  )  # fmt: skip
  if method in ('hyrea', 'random'):  # the rewards here ask for no tags
    config.curriculum.kwargs.thinking_tags = ('', '')
  if method in ('coconut', 'sim_cot'):
    config.curriculum.kwargs.c_thought = 1
  if method == 'thinking':
    config.model.new_tokens = THINKING_TOKENS
    config.data.kwargs.update(steps=(3, 4), checks=2, worked=0.8)
    config.data.prefill = '<think>'
    config.max_length, config.batch_size, config.max_steps = 256, 16, 600
    config.rollout.update(
      max_prompt_length=48,
      max_completion_length=192,
      end_of_thinking='</think>',
    )
  config.checkpoint.every = 1000
  config.grader.timeout_s = 60.0
  return config.lock()
