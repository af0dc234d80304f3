"""Coconut on GSM8K: "Training Large Language Models to Reason in a Continuous
Latent Space", arXiv 2412.06769, section 4 and the released gsm_coconut.yaml.

    python -m experiments.sft --workdir=runs/coconut \
        --config=coconut_gsm8k:runs/cot/model

The argument is MODEL[,latents|no_thoughts][,smoke], a model that sft_gsm8k.py
has trained on text. The steps are GSM8K's own `<<...>>` marks: seven thousand
problems; the paper has 385 thousand of the same form, made by GPT-4: for those
write --config.data.kwargs.task=gsm8k_aug and more steps.
Paper, GPT-2: 0.341, without thoughts 0.216, CoT 0.429. Not run at that size
here; for what was run see experiments/results/RESULTS.md.
"""

from ml_collections import ConfigDict

from . import rl, sft

EPOCH = 58  # steps: 7473 problems, 128 per step


def get_config(argument: str) -> ConfigDict:
  source, (thoughts,), smoke = rl.parse_arg(
    argument, ['latents', 'no_thoughts']
  )
  config = sft.defaults(source)
  config.data.kwargs.task = 'gsm8k_symbolic'
  config.batch_size, config.gradient_accumulation_steps = 128, 16
  config.optimizer.groups.model.update(lr=1e-4, weight_decay=0.01)
  # Stages 1 to 3 replace as many steps, the last all; stage 0 is MODEL.
  config.max_steps = 22 * EPOCH
  config.stages = dict(
    starts=(0, 1, 3 * EPOCH, 6 * EPOCH, 9 * EPOCH),
    data_fraction=(1.0,) * 5,
    reset_optimizer=True,
  )
  latent = thoughts == 'latents'
  if latent:
    sft.use_latent_spans(config, num_latents=2 * 3, opening=True)
  config.model.new_tokens = tuple(f'{token}=<<' for token in sft.SPAN_TOKENS)
  config.curriculum = dict(
    function='coconut:coconut',
    kwargs=dict(
      c_thought=2 if latent else 0, max_latent_stage=3, delimiters=latent
    ),
  )
  return sft.finalize(config, smoke)
