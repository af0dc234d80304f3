r"""SWITCH's third phase, Switch-GRPO: "Demystifying Hidden-State Recurrence",
arXiv 2606.13106.

    python -m experiments.grpo --workdir=runs/switch \
        --config=switch_math:FOLDER --config.data.path=FOLDER2

The model samples where spans of latents begin and end, as with HyRea, and the
gradient of GRPO flows through the recurrence of the hidden states
(`latent_passes`), so that RL can change what a latent holds; with HyRea latents
are constants. Latent positions have no policy-gradient term, and the reward is
that of the answer. FOLDER is a model of the first two phases, such as one of
hyrea_sft_math; FOLDER2 as in hyrea_rl_math.py.

Of the paper we have its abstract and the card of its released adapter (LoRA,
Qwen3-8B): 0.793 on MATH-500 and 0.892 on GSM8K. Batch, rates and lengths are
those of hyrea_rl_math.py and of rl.py, the number of latents per span and of
passes is ours. Not run at that size here; beside HyRea's RL on turns of a dial:
experiments/studies/hyrea.py.
"""

from ml_collections import ConfigDict

from . import hyrea_rl_math, rl

NUM_LATENTS, SPANS = 4, 2  # at most, of a span and of most completions


def get_config(argument: str = 'Qwen/Qwen3-8B') -> ConfigDict:
  rl.parse_arg(argument)
  config = hyrea_rl_math.get_config(argument).unlock()
  config.lora, config.optimizer = (
    getattr(rl.get_config(argument), name) for name in ('lora', 'optimizer')
  )
  config.latent_passes = NUM_LATENTS * SPANS
  config.feedback.init_kwargs.update(num_latents=NUM_LATENTS, sampled=True)
  accuracy = config.rewards.accuracy
  accuracy.weight = 1.0
  config.rewards = dict(accuracy=accuracy)
  return config.lock()
