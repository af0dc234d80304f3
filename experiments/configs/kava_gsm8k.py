"""KaVa on GSM8K: "Latent Reasoning via Compressed KV-Cache Distillation",
arXiv 2510.02312.

    python -m experiments.sft --workdir=runs/kava \
        --config=kava_gsm8k:meta-llama/Llama-3.2-1B-Instruct

The argument is MODEL[,smoke]. PCCoT (pccot_gsm8k.py), whose latents are also
trained towards the keys and values of a part of the teacher's solution. No code
is released: the values are those of table 6 for Llama-3.2-1B on GSM8K-Aug, as
theodorewang0731-hash/kava has them. For that data write
--config.data.kwargs.task=gsm8k_aug. Not run at that size here.
"""

from ml_collections import ConfigDict

from . import pccot_gsm8k


def get_config(
  argument: str = 'meta-llama/Llama-3.2-1B-Instruct',
) -> ConfigDict:
  config = pccot_gsm8k.get_config(argument).unlock()
  codi = config.objective
  config.objective = dict(
    function='kava:kava',
    kwargs=dict(
      num_latents=pccot_gsm8k.NUM_LATENTS,
      weight=1.0,
      importance=0.1,
      loss_type='smooth_l1',
      div_std=True,
    ),
    init='',
    init_kwargs={},
    inner=dict(function=codi.function, kwargs=dict(codi.kwargs, weight=10.0)),
  )
  return config.lock()
