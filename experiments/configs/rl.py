"""Every field of experiments/grpo.py, with GRPO as TRL has it by default.

    python -m experiments.grpo --workdir=runs/rl \
        --config=experiments/configs/rl.py:Qwen/Qwen2.5-0.5B-Instruct

The configs beside it begin here and say what their paper changes. The argument
of each is MODEL[,WORD...]: a preset (smollm2-135m), a .gguf file, a Hugging
Face folder or a name on its hub, then the words that the config knows; `smoke`
cuts any of them to a minute or two on two CPU cores. Any Qwen2.5, Qwen3, Llama
3.x or SmolLM2 is a MODEL, from 135M to 32B; ../../PAPERS.md says whence each
number of each config comes.
"""

from collections.abc import Sequence
from typing import NamedTuple

from ml_collections import ConfigDict


class Argument(NamedTuple):
  """What stands behind the colon of --config=FILE.py:ARGUMENT."""

  source: str  # the model
  words: tuple[str, ...]  # one of each choice, its first by default
  smoke: bool


def parsed(argument: str, *choices: Sequence[str]) -> Argument:
  """'MODEL[,WORD...]' where each of `choices` lists words, of which one may be
  given; 'smoke' is known everywhere."""
  source, *given = argument.split(',')
  smoke = 'smoke' in given
  words = [word for word in given if word != 'smoke']
  chosen = tuple(
    next((word for word in words if word in some), some[0]) for some in choices
  )
  if sorted(words) != sorted(set(words) & set(chosen)):
    known = ''.join(f'[,{"|".join(some)}]' for some in [*choices, ['smoke']])
    raise ValueError(f"config argument {argument!r}: write 'MODEL{known}'")
  return Argument(source, chosen, smoke)


def get_config(argument: str = 'Qwen/Qwen2.5-0.5B-Instruct') -> ConfigDict:
  source, _, smoke = parsed(argument)
  return finished(defaults(source), smoke)


def defaults(source: str) -> ConfigDict:
  """GRPO on GSM8K with plain tokens; unlocked."""
  small = source == 'smollm2-135m'
  config = ConfigDict()
  config.seed = 42
  config.steps = 934  # one epoch of GSM8K: 7473 prompts, 8 a step
  config.epochs = 1  # times that a rollout is trained on
  config.mini_batches = 1  # updates of each of them
  config.micro_batches = 4  # slices of an update, which change nothing

  config.model = dict(
    source=source,
    dtype='float32' if small else 'bfloat16',  # of the computation
    param_dtype='float32' if small else 'bfloat16',  # of the frozen weights
    remat='none' if small else 'full',
    # Tokens that the method needs, added once. 'TOKEN=OTHER' begins with the
    # embedding of another token, 'TOKEN' with the mean of all.
    new_tokens=(),
  )
  config.lora = dict(rank=32, alpha=64.0)  # rank 0: all parameters
  config.critic = dict(enabled=False)
  config.mesh = dict(data=-1, fsdp=1, tensor=1, sequence=1)

  config.data = dict(
    source='jsonl:problems',
    of=dict(task='gsm8k'),
    # The folder of train.jsonl and test.jsonl (or .json, .csv), or one file to
    # train on; '': download.
    path='',
    # Where they have our fields: 'question=problem,answer=result.value'; '': as
    # the task says, or as data sets usually call them.
    fields='',
    train='train',
    test='test',
    system='',
    template='',  # plain text with {question}; '': the model's chat template
    prefill='',  # what every answer begins with
    enable_thinking=True,  # told to chat templates that ask, as Qwen3's does
  )
  config.rollout = dict(
    prompts=8,
    group=8,
    prompt_length=512,
    max_tokens=512,
    # Another arrangement of the same devices to sample on; 0: as config.mesh.
    mesh=dict(data=0, fsdp=0, tensor=0, sequence=0),
    buckets=3,  # lengths are rounded up to 1/4, 1/2 or all of these
    stages=1,
    chunk=128,  # positions whose logits exist at a time
    delimiter='####',  # the thinking ends with it
    thinking=0,  # tokens of thinking, then it is cut; 0: max_tokens
    # What is then written; `late` where an answer has not ended in time.
    # `neither` ends the prompts of the mode neither: it closes the thinking.
    closing=dict(ended='', cut='', late='', neither=''),
    answer=0,  # tokens of the answer; 0: max_tokens
    reserved=0,  # of max_tokens, for an answer that is forced where none came
    mode='',  # explicit, latent or neither; '': the feedback's own
    attempts=1,  # batches sampled until enough groups have uneven rewards
    mask_truncated=False,  # whether completions that were cut train nothing
    source='',  # a folder of rollouts to train on, instead of sampling
    sampling=dict(
      temperature=1.0,
      top_k=0,
      top_p=1.0,
      min_p=0.0,
      greedy=False,
      greedy_answer=False,
      score_temperature=1.0,
    ),
  )
  config.dump_every = 0  # steps between rollouts written to WORKDIR/rollouts
  config.feedback = dict(
    function='discrete:discrete', kwargs={}, parameters='', initial={}
  )
  config.objective = dict(
    function='policy_gradient:policy_gradient',
    kwargs=dict(aggregation='token', clip=(0.2, 0.2), beta=0.0),
  )
  config.advantage = dict(
    function='advantages:group_relative',
    kwargs=dict(scale='group', ddof=1, eps=1e-4),
  )
  config.reward_kl = dict(beta=0.0, estimator='k1')
  config.reference = dict(sync_every=0, mix=0.6)  # steps; 0: never
  config.rewards = dict(
    accuracy=dict(
      function='hybrid_latent.rewards.hrpo:correct',
      weight=1.0,
      kwargs=dict(parser='fixed'),
    ),
  )
  config.grader = dict(workers=2, timeout_s=20.0)
  config.optimizer = dict(
    groups=dict(
      # Ten times TRL's rate, which is for all parameters.
      lora=dict(pattern=r'^model\..*\.lora\.', lr=1e-5, weight_decay=0.0)
    ),
    schedule='constant',
    warmup=0.0,
    b1=0.9,
    b2=0.999,
    clip=1.0,
  )
  config.eval = dict(
    prompts=0 if small else 256,
    every=100,
    samples=1,  # of each prompt; more give pass@k
    thinking=0,  # tokens of thinking; 0: as in training
    sampling=dict(greedy=True),  # in place of the rollout's
  )
  config.checkpoint = dict(
    every=1 if small else 250,
    keep=2,  # the last ones
    best='',  # and the one of the highest eval/...
  )
  config.completions = 8  # written down each step
  # An update whose loss or gradient is not finite, or that would make
  # parameters so: stop, skip (leave it out) or rollback (restore the last
  # checkpoint, go on with the next data).
  config.nonfinite = dict(action='stop', limit=3)  # skips in a row; rollbacks
  config.alarms = dict(
    window=20,  # steps in a row for which its condition holds
    stop=(),  # names of those that end the run
    # What each compares with; 0 or None: off.
    flat_groups=1.0,  # least share of groups of one reward
    entropy_collapse=0.01,  # nats per token, least
    length_explosion=0.95,  # share of max_tokens, or of cut completions
    kl_blowup=5.0,  # nats per token, most
    latent_collapse=0.01,  # share of latents; norm of latents over embeddings'
    gate_saturation=None,  # mean distance of the gate's share from 0 and 1
  )
  # Of experiments.generate, which samples data.train.
  config.generate = dict(
    samples=1,  # of each prompt
    prompts=0,  # the first of the data; 0: all
    rows_per_part=256,  # prompts between two files
    least=1.0,  # rewards below are not kept; -inf keeps what is cut, too
  )
  # Of experiments.evaluate, which makes a table.
  config.evaluate = dict(
    ways=('explicit', 'neither', 'latent'),  # of asking; latent: `reasoners`
    models=(),  # 'NAME=FOLDER' of each that is asked beside config.model
    reasoners=(),  # 'NAME=FOLDER' of each that makes latents for config.model
    budgets=(512, 1024),  # tokens that a completion may have
    reserved=32,  # the last of them, for an answer that is forced
  )
  config.export = False  # whether to end with a Hugging Face folder
  if small:  # two CPU cores
    config.micro_batches = 2
    config.rollout.update(prompts=4, group=4, prompt_length=256, max_tokens=128)
  return config


def finished(config: ConfigDict, smoke: bool = False) -> ConfigDict:
  """The config, locked; cut to two steps of eight short completions if it is
  a smoke test."""
  if smoke:
    rollout, group = config.rollout, min(config.rollout.group, 4)
    config.steps = min(config.steps, 2)  # 0 stays an evaluation
    config.epochs = min(config.epochs, 2)
    config.mini_batches = min(config.mini_batches, 2)
    config.micro_batches = 1
    longest = min(rollout.prompt_length, 1024)
    rollout.update(
      prompts=8 // group, group=group, prompt_length=longest, max_tokens=32
    )
    if rollout.thinking:
      rollout.update(thinking=16, answer=8)
      config.eval.thinking = 0
    config.eval.prompts = 0 if config.steps else 8
    config.checkpoint.every = 1
    config.generate.prompts = 8
    config.evaluate.update(budgets=(32,), reserved=16)
  return config.lock()


def trained_whole(config: ConfigDict, lr: float, weight_decay: float = 0.0):
  """Full fine-tuning: no adapters, the whole model in one group."""
  config.lora.rank = 0
  config.model.param_dtype = 'float32'
  group = dict(pattern=r'^model\.', lr=lr, weight_decay=weight_decay)
  config.optimizer.groups = dict(model=group)
