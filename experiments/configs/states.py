r"""Coconut and CODI on chains of moves between states, a minute on a CPU core.

    python -m experiments.new_model --to=runs/start --width=64 --layers=1 \
        --heads=2 --kv_heads=2 --mlp=256 --tokenizer=states:tokenizer
    python -m experiments.sft --workdir=runs/words --config=states:runs/start
    python -m experiments.sft --workdir=runs/coconut \
        --config=states:runs/words/model,coconut

The argument is FOLDER[,METHOD][,MOVES][,small|text]. `words`, the default,
trains a new model on the states in words. From there `coconut` turns one more
state into a latent per stage, until all are; `pause` has pause tokens in their
place and `dropped` nothing, at the same steps and rates. `codi` has as many
steps with all states as latents at once, `pccot` computes these by three
parallel passes, and `sim_cot` is `coconut` with a decoder that says each state
from its latent. `no_cot` learns the answers alone from a new model. `small` has
half of the letters, and fewer steps: `make quickstart`; `text` as many, each in
two wordings.

Start and end tokens around the latents would shift the distance from a state to
its letter, which one layer cannot follow: Coconut has none here.
Numbers to expect: RESULTS.md.
"""

from ml_collections import ConfigDict

from . import rl, sft

METHODS = ('words', 'coconut', 'pause', 'dropped', 'codi', 'no_cot', 'sim_cot',
           'pccot')  # fmt: skip
SIZES = {  # letters, steps in words, steps per stage
  **{'whole': (8, 400, 60), 'small': (4, 150, 50), 'text': (4, 400, 60)},
}


def get_config(argument: str) -> ConfigDict:
  source, (method, count, size), _ = rl.parse_arg(
    argument, METHODS, '548', [*SIZES]
  )
  moves, text = int(count), size == 'text'
  letters, words, stage = SIZES[size]
  config = sft.defaults(source)
  config.seed = 0
  config.model.update(dtype='float32', param_dtype='float32', remat='none')
  config.data.update(function='states:problems', prompt_template='{question}')
  config.data.kwargs = dict(
    count=1_000_000,
    states=10,
    letters=letters,
    steps=(moves, moves),
    text=text,
  )
  config.batch_size, config.gradient_accumulation_steps = 64, 1
  # Question, states, ' ####', answer and end: all rows are equally long.
  config.max_length, config.buckets = 2 * moves + 6 + 3 * text, 1
  config.rollout.update(
    prompts_per_step=512,
    num_generations=1,
    max_prompt_length=moves + 3 + 3 * text,
    max_completion_length=moves + 5,
    buckets=1,
  )
  config.rewards.accuracy.function = 'hybrid_latent.rewards.answers:exact'
  config.rewards.accuracy.kwargs = {}
  config.eval.update(num_prompts=512, every=10_000)
  config.checkpoint.every = 10_000
  config.grader.timeout_s = 60.0
  config.optimizer.groups.model.update(lr=3e-3, weight_decay=0.01)
  config.optimizer.update(
    schedule='constant', warmup_ratio=0.05, b1=0.9, b2=0.99, max_grad_norm=1.0
  )
  if method in ('words', 'no_cot'):
    config.max_steps = words if method == 'words' else words + stage * moves
    config.curriculum.kwargs.steps = method == 'words'
    return config.lock()
  config.max_steps = 1 + stage * moves
  if method in ('codi', 'pccot'):
    _self_distillation(config, moves)
    if method == 'pccot':
      _parallel(config, moves)
    return config.lock()
  config.stages.update(
    starts=(0, *range(1, config.max_steps, stage)),
    data_fraction=(1.0,) * (moves + 1),
  )
  config.curriculum = dict(
    function='coconut:coconut',
    kwargs=dict(
      c_thought=int(method != 'dropped'),
      max_latent_stage=moves,
      # Earlier stages are mixed in, and all stages have one program.
      uniform_prob=0.1,
      delimiters=False,
      pause=method == 'pause',
    ),
  )
  if method == 'sim_cot':
    _decoder(config, moves)
  if method != 'dropped':
    sft.use_latent_spans(config, moves, opening=True, delimiters=False)
  if method == 'pause':
    config.feedback.inner = dict(
      function='discrete:discrete', kwargs={}, init='', init_kwargs={}
    )
  return config.lock()


def _self_distillation(config: ConfigDict, moves: int) -> None:
  """Sets CODI's two sequences, projector and loss."""
  sft.use_latent_spans(config, moves, opening=True)
  config.feedback.inner = dict(
    function='projected:projected',
    kwargs={},
    init='projected:projector',
    init_kwargs=dict(width=0, norm=True),
  )
  config.curriculum = dict(
    function='codi:codi', kwargs=dict(num_latents=moves, cue=' ####')
  )
  config.objective.update(
    function='codi:self_distillation',
    kwargs=dict(weight=1.0, loss_type='smooth_l1', div_std=True),
  )
  config.optimizer.groups.projector = dict(
    pattern=r'^feedback\.inner\.', lr=3e-3, weight_decay=0.01
  )
  config.max_length = 4 * moves + 19


def _parallel(config: ConfigDict, moves: int) -> None:
  """Sets PCCoT's latents, in training and in decoding."""
  config.latent_passes = 3
  config.feedback.update(
    function='jacobi:jacobi',
    kwargs=dict(passes=3),
    init='jacobi:parallel_latents',
  )
  config.feedback.init_kwargs = dict(num_latents=moves)


def _decoder(config: ConfigDict, moves: int) -> None:
  """Sets SIM-CoT's decoder, and room for its texts: a latent, a state and the
  end per move."""
  config.curriculum.function = 'sim_cot:coconut'
  config.objective.update(
    function='sim_cot:sim_cot',
    kwargs=dict(weight=1.0),
    init='sim_cot:decoder',
  )
  config.objective.init_kwargs = dict(layers=0)
  config.optimizer.groups.decoder = dict(
    pattern=r'^objective\.', lr=3e-3, weight_decay=0.01
  )
  config.max_length += 3 * moves
