r"""A custom reward, with TRL's signature.

A trainer imports it from the folder in which it is started, or from any
installed package:

    python -m experiments.grpo --workdir=runs/mine --config=hrpo_gsm8k:MODEL \
        --config.rewards.gsm8k.weight=0 \
        --config.rewards.mine.function=custom_reward:right_and_short \
        --config.rewards.mine.weight=1 \
        --config.rewards.mine.kwargs.penalty=0.002
"""


# --- docs: begin
def right_and_short(
  completions, *, answer, completion_ids, penalty=0.001, **columns
):
  """1 where the last word is the answer, minus `penalty` per token; None, which
  excludes the completion from training, where the row has no answer.

  Called with the completions of one prompt. `answer` and the other columns of
  the data hold the prompt's value once per completion.
  """
  return [
    None if gold is None else (text.split()[-1:] == [gold]) - penalty * len(ids)
    for text, gold, ids in zip(completions, answer, completion_ids, strict=True)
  ]


# --- docs: end
