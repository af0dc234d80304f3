"""SIM-CoT on GSM8K: "SIM-CoT: Supervised Implicit Chain-of-Thought", arXiv
2509.20317, and the released gsm_simcot.yaml and train_llama1b scripts.

    python -m experiments.sft --workdir=runs/sim_cot \
        --config=sim_cot_gsm8k:runs/coconut/model

The argument is MODEL[,coconut|codi][,smoke]: the method whose latents a decoder
has to explain. With `coconut` MODEL is one that coconut_gsm8k.py has trained
(in the release in five stages, the number here), with `codi` one as released.
The decoder is trained with the model, and WORKDIR/model has none. It is as
large as the model, as in the release; objective.init_kwargs.layers makes it
smaller. The steps are GSM8K's own `<<...>>` marks; for the paper's data write
--config.data.kwargs.task=gsm8k_aug and more steps.
Paper: 8.2 points above Coconut with GPT-2, 3.0 above CODI with Llama-3.1-8B.
Not run at that size here.
"""

from ml_collections import ConfigDict

from . import coconut_gsm8k, codi_gsm8k, rl, sft

EPOCH = 116  # steps: 7473 problems, 64 per step


def get_config(argument: str) -> ConfigDict:
  source, (base,), smoke = rl.parse_arg(argument, ['coconut', 'codi'])
  based_on = coconut_gsm8k if base == 'coconut' else codi_gsm8k
  config = based_on.get_config(source).unlock()
  config.curriculum.function = f'sim_cot:{base}'
  loss = dict(
    function='sim_cot:sim_cot',
    kwargs=dict(weight=1.0),
    init='sim_cot:decoder',
    init_kwargs=dict(layers=0),
  )
  if base == 'codi':
    loss['inner'] = {x: config.objective[x] for x in ('function', 'kwargs')}
    config.max_length = 1024
  config.objective = loss
  groups = config.optimizer.groups
  groups.decoder = {**next(iter(groups.values())), 'pattern': r'^objective\.'}
  if base == 'coconut':
    config.batch_size, config.gradient_accumulation_steps = 64, 8
    config.curriculum.kwargs.max_latent_stage = 5
    config.feedback.init_kwargs.num_latents = 2 * 5
    # Three epochs for each of stages 1 to 5, then all steps are latents.
    config.max_steps = 32 * EPOCH
    starts = [3 * EPOCH * stage for stage in range(1, 6)]
    config.stages.update(starts=(0, 1, *starts), data_fraction=(1.0,) * 7)
  return sft.finalize(config, smoke)
