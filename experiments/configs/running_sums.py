"""Latent Reasoning Tuning on running sums, a minute per training on one core.

    python -m experiments.lrt --workdir=runs/lrt_sft \
        --config=running_sums:BASE,sft,BACKBONE \
        --config.data.sft_answers_dir=runs/triples

The argument is FOLDER,METHOD[,BACKBONE]. `thinking` is for experiments.sft: the
base, from a new model with the tokenizer running_sums:tokenizer. All others are
those of lrt_arithmetic.py, on the base: `sft` and `rl` of a reasoner, `words`,
`shorter_better` and `lc_r1`. `python -m experiments.studies.lrt` runs all of
it. Numbers to expect: RESULTS.md.
"""

from ml_collections import ConfigDict

from . import lrt_arithmetic, sft_arithmetic

STEPS = 7  # operations
QUESTION = STEPS + 2  # tokens
THINKING = 3 * (QUESTION + 1) + 3 * (STEPS + 1)  # tokens, at most
ANSWER = 6  # tokens, at most: three sums, ####, the answer, the end
COMPLETION = THINKING + 1 + ANSWER
BUDGETS = 10, 28, 64
METHODS = 'thinking', *lrt_arithmetic.STAGES, *lrt_arithmetic.SHORTER


def get_config(argument: str) -> ConfigDict:
  folder, method, *_ = [*argument.split(','), '']
  if method not in METHODS:
    raise ValueError(
      f"config argument {argument!r}: write 'FOLDER,METHOD[,BACKBONE]', where "
      f'METHOD is one of {[*METHODS]}'
    )
  if method == 'thinking':
    config = sft_arithmetic.get_config(f'{folder},thinking').unlock()
    config.model.new_tokens = ()
    config.packing, config.batch_size = False, 48
    config.max_length = QUESTION + 3 + COMPLETION
    config.max_steps = 600
    config.optimizer.groups.model.lr = 5e-3
    config.eval.update(num_prompts=256, every=200)
  else:
    config = lrt_arithmetic.get_config(argument).unlock()
  config.data.function = 'running_sums:problems'
  config.data.kwargs = dict(count=50_000, steps=STEPS)
  # Answers are compared as text: math-verify would be most of a step.
  config.rewards.accuracy.function = 'hybrid_latent.rewards.answers:exact'
  config.rewards.accuracy.kwargs = dict(marker='####')
  if 'gsm8k' in config.rewards:
    del config.rewards.gsm8k
    config.rewards.accuracy.weight = 1.0
  if method == 'lc_r1':
    config.rewards.length.kwargs.end = '</think>'
    once = r'(?!.*</think>.*</think>).*</think>.*'
    config.rewards.format.kwargs.pattern = once
  config.rollout.max_prompt_length = QUESTION + 3  # two marks and <think>
  config.rollout.max_completion_length = COMPLETION
  if method in ('sft', 'rl'):
    config.rollout.max_completion_length = config.rollout.logits_chunk = ANSWER
  if method in lrt_arithmetic.STAGES:
    config.evaluate.update(budgets=BUDGETS, answer_reserve=3)
    config.eval.num_generations = 4
    config.eval.sampling = dict(temperature=0.6, top_p=0.95, greedy=False)
  return config.lock()
