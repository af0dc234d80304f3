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

STEPS, SHOWN, REPEATS = 5, 4, 1  # of hybrid_latent/data/running_sums.py
QUESTION = STEPS + 2  # tokens
THINKING = (1 + REPEATS) * (QUESTION + 1 + STEPS + 1)  # tokens, at most
ANSWER = SHOWN + 3  # tokens, at most: sums, ####, the answer, the end
RESERVE = 3  # tokens of a forced answer
COMPLETION = THINKING + 1 + ANSWER
BUDGETS = ANSWER + RESERVE, 20, 40
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
    config.max_steps = 400
    config.optimizer.groups.model.lr = 5e-3
  else:
    config = lrt_arithmetic.get_config(argument).unlock()
  config.data.function = 'running_sums:problems'
  config.data.kwargs = dict(
    count=50_000, steps=STEPS, thinks=0.9, repeats=REPEATS, shown=SHOWN
  )
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
  if method == 'rl':
    for group in config.optimizer.groups.values():
      group.lr = 3e-4
  if method in lrt_arithmetic.STAGES:
    config.evaluate.update(budgets=BUDGETS, answer_reserve=RESERVE)
    config.eval.num_generations = 4
    config.eval.sampling = dict(temperature=0.6, top_p=0.95, greedy=False)
  config.eval.num_prompts = 0
  return config.lock()
