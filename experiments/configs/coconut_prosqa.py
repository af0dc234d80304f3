r"""Coconut on ProsQA: "Training Large Language Models to Reason in a Continuous
Latent Space", arXiv 2412.06769, section 4 and the released prosqa_coconut.yaml.

    python -m experiments.sft --workdir=runs/prosqa \
        --config=coconut_prosqa:MODEL \
        --config.data.path=FOLDER

FOLDER has prosqa_valid.json and prosqa_test.json of facebookresearch/coconut;
without it the test questions are generated. Training questions always are: as
many as the published ones, of the same distribution, and none of them
(hybrid_latent/data/prosqa.py).

The argument is MODEL[,latents|no_thoughts|cot|no_cot][,whole|small][,smoke].
`small` has graphs of a quarter of the size, for a model that is trained from
scratch on one CPU core, about twenty minutes for latents (0.83 at seed 0):

    python -m experiments.new_model --to=runs/start --width=64 \
        --heads=4 --kv_heads=4 --head_dim=16 --mlp=128 \
        --tokenizer=prosqa:tokenizer

Paper, GPT-2: 0.970, without thoughts 0.955, CoT 0.775, no CoT 0.767. Not run at
that size here; for what was run see experiments/results/RESULTS.md. The paper
resets the optimizer every epoch, this config every stage.
"""

from ml_collections import ConfigDict

from . import rl, sft

EPOCH = 140  # steps: 17886 questions, 128 per step
DEFAULT = 'HuggingFaceTB/SmolLM2-135M-Instruct'  # GPT-2's size
MODES = 'latents', 'no_thoughts', 'cot', 'no_cot'


def get_config(argument: str = DEFAULT) -> ConfigDict:
  source, (mode, size), smoke = rl.parse_arg(
    argument, MODES, ['whole', 'small']
  )
  config = sft.defaults(source)
  config.seed = 0
  config.data.update(
    function='prosqa_benchmark:problems', prompt_template='{question}\n'
  )
  config.data.kwargs = dict(count=17886, nodes=28, steps=(3, 6))
  config.model.update(dtype='float32', remat='none')
  config.batch_size, config.gradient_accumulation_steps = 128, 8
  config.optimizer.groups.model.update(lr=1e-4, weight_decay=0.01)
  config.rollout.update(
    prompts_per_step=100, max_prompt_length=768, max_completion_length=128
  )
  config.rollout.end_of_thinking = '###'
  config.rewards.accuracy.function = 'hybrid_latent.rewards.answers:exact'
  config.rewards.accuracy.kwargs = dict(marker='###')
  # Stage s replaces s steps; the sixth replaces all.
  begin = tuple(5 * EPOCH * stage for stage in range(7))
  config.max_steps = 50 * EPOCH
  config.eval.update(num_prompts=500, every=EPOCH)
  config.checkpoint.every = EPOCH
  if size == 'small':
    begin = _small(config)
  if mode in ('cot', 'no_cot'):
    config.curriculum.kwargs.steps = mode == 'cot'
    return sft.finalize(config, smoke)
  config.stages = dict(
    starts=begin, data_fraction=(1.0,) * len(begin), reset_optimizer=True
  )
  latent, most = mode == 'latents', len(begin) - 1
  if latent:
    sft.use_latent_spans(config, num_latents=most, opening=True)
  config.curriculum = dict(
    function='coconut:coconut',
    kwargs=dict(
      c_thought=int(latent), max_latent_stage=most, delimiters=latent
    ),
  )
  return sft.finalize(config, smoke)


def _small(config: ConfigDict) -> tuple[int, ...]:
  """Sets shorter questions, few of them twice; returns the stage starts."""
  config.data.kwargs.update(count=1_000_000, nodes=7, steps=(2, 2))
  config.batch_size, config.gradient_accumulation_steps = 32, 1
  config.max_length, config.buckets = 80, 1
  config.optimizer.update(warmup_ratio=0.05, b2=0.99)
  config.optimizer.groups.model.lr = 3e-3
  config.rollout.update(
    max_prompt_length=80, max_completion_length=32, buckets=1
  )
  config.max_steps, config.eval.num_prompts, config.eval.every = 1400, 300, 100
  config.checkpoint.every = 100
  return 0, 600, 900
