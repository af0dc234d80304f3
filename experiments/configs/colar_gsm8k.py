"""CoLaR on GSM8K: "Think Silently, Think Fast: Dynamic Latent Compression of
LLM Reasoning Chains", arXiv 2505.16552, its first stage, and the released
colar.yaml.

    python -m experiments.sft --workdir=runs/colar \
        --config=colar_gsm8k:runs/cot/model

The argument is MODEL[,smoke], a model that sft_gsm8k.py has trained on text,
in the release Llama-3.2-1B-Instruct. The steps are GSM8K's own `<<...>>` marks;
for the paper's data write --config.data.kwargs.task=gsm8k_aug. Its second
stage is colar_rl_gsm8k.py. Not run at that size here.
"""

from ml_collections import ConfigDict

from . import rl, sft


def get_config(argument: str) -> ConfigDict:
  source, _, smoke = rl.parse_arg(argument)
  config = sft.defaults(source)
  config.data.kwargs.task = 'gsm8k_symbolic'
  config.batch_size, config.gradient_accumulation_steps = 256, 8
  config.max_length = 512
  config.max_steps = 50 * 29  # epochs of 7473 problems
  config.lora = dict(rank=128, alpha=32.0)
  config.feedback = dict(
    function='colar:colar',
    kwargs={},
    init='colar:latent_head',
    init_kwargs=dict(width=2048),
  )
  config.curriculum = dict(
    function='colar:colar', kwargs=dict(compression=5, delimiter='####')
  )
  config.objective.update(
    function='colar:colar', kwargs=dict(weight=1.0, loss_type='mse')
  )
  config.optimizer.groups = dict(
    lora=dict(pattern=r'\.lora\.', lr=1e-4, weight_decay=0.01),
    head=dict(pattern=r'^feedback\.(?!scale)', lr=1e-4, weight_decay=0.01),
  )
  return sft.finalize(config, smoke)
