"""GRPO on GSM8K as HRPO's baseline: the same run with plain tokens. GRPO: arXiv
2402.03300; Dr. GRPO: arXiv 2503.20783; GSPO: arXiv 2507.18071; CISPO: arXiv
2506.13585; SAPO: arXiv 2511.20347.

    python -m experiments.grpo --workdir=runs/grpo \
        --config=grpo_gsm8k:Qwen/Qwen2.5-1.5B-Instruct

The argument is MODEL[,matched|official][,LOSS][,smoke], with the loss grpo,
dr_grpo, gspo, cispo or sapo: `matched` is hrpo_gsm8k.py without the feedback
and its parameters; `official` has TRL's defaults of GRPO (rl.py, full
fine-tuning), with HRPO's prompt and reward, so that answers are parsed the same
way. Dr. GRPO divides by neither length nor standard deviation. GSPO, CISPO and
SAPO differ in what they do with the ratio, which is 1 in the first update of a
rollout: write --config.num_mini_batches=4.
Paper (matched, GRPO): 1.5B 0.711 accuracy, 3B 0.834. Not run at that size here.
"""

from ml_collections import ConfigDict

from . import hrpo_gsm8k, rl

LOSSES = {
  'grpo': {},
  'dr_grpo': dict(aggregation='constant'),
  'gspo': dict(
    aggregation='sequence', level='sequence', clip_range=(3e-4, 4e-4)
  ),
  'cispo': dict(aggregation='token', surrogate='cispo', clip_range=(1.0, 4.0)),
  'sapo': dict(
    aggregation='sequence',
    surrogate='sapo',
    clip_range=None,
    temperatures=(1.0, 1.05),
  ),
}


def get_config(argument: str = 'Qwen/Qwen2.5-1.5B-Instruct') -> ConfigDict:
  source, (preset, loss), smoke = rl.parse_arg(
    argument, ['matched', 'official'], list(LOSSES)
  )
  config = hrpo_gsm8k.get_config(source).unlock()
  default = rl.defaults(source)
  config.feedback = default.feedback
  config.optimizer.groups = dict(lora=config.optimizer.groups.lora)
  if preset == 'official':
    for name in ('objective', 'advantage', 'optimizer', 'rollout'):
      config[name] = default[name]
    rl.full_finetune(config, lr=1e-6)
  config.objective.kwargs.update(LOSSES[loss])
  if loss == 'dr_grpo':
    config.objective.kwargs.length = float(config.rollout.max_completion_length)
    config.advantage.kwargs.scale = 'none'
  return rl.finalize(config, smoke)
