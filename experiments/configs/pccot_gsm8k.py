r"""PCCoT on GSM8K: "Parallel Continuous Chain-of-Thought with Jacobi
Iteration", arXiv 2506.18582.

    python -m experiments.sft --workdir=runs/pccot \
        --config=pccot_gsm8k:openai-community/gpt2

The argument is MODEL[,smoke]. CODI's training (codi_gsm8k.py), whose latents
are computed by three parallel passes instead of one after the other, in
training and in decoding. As in the README of the public code (whyNLP/PCCoT) 24
latents; its template has rate 3e-3 and 40 epochs for GPT-2, CODI's weight 1 of
the distillation and no division by the standard deviation. Half of the time of
continuous chain of thought, by the abstract. Not run at that size here.
"""

from ml_collections import ConfigDict

from . import codi_gsm8k

NUM_LATENTS, PASSES = 24, 3


def get_config(
  argument: str = 'meta-llama/Llama-3.2-1B-Instruct',
) -> ConfigDict:
  config = codi_gsm8k.get_config(argument).unlock()
  config.latent_passes = PASSES
  config.feedback.update(
    function='jacobi:jacobi',
    kwargs=dict(passes=PASSES),
    init='jacobi:parallel_latents',
  )
  config.feedback.init_kwargs = dict(num_latents=NUM_LATENTS)
  config.curriculum.kwargs.num_latents = NUM_LATENTS
  config.objective.kwargs.update(weight=1.0, div_std=False)
  return config.lock()
