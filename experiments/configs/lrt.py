r"""Latent Reasoning Tuning (ICLR 2026): its two stages with its values.

    python -m experiments.lrt --workdir=runs/lrt_rl \
        --config=lrt:Qwen/Qwen3-1.7B,rl \
        --config.data.path=FOLDER \
        --config.feedback.init_kwargs.source=runs/lrt_sft/reasoner

The argument is MODEL[,sft|rl][,smoke], a model that thinks before </think>. The
paper's first stage has the verified answers of OpenR1-Math-220k, which
data.sft_answers_task=openr1_math reads from data.sft_answers_dir; the model's
own answers are those of experiments/generate.py. The second has
DeepScaleR-Preview, whose folder is `data.path`. Not stated in the paper, and
chosen here: warmup, schedule, gradient clipping and answer length of the first
stage; ratio clipping, aggregation and temperature of the second, as in TRL. The
learning rate of the first, 1e-3, is high for a pretrained backbone; where it
diverges, write 1e-4 for optimizer.groups.backbone.lr.
Paper: Qwen3-1.7B, 1024 tokens: 0.484 over five benchmarks after both stages,
0.413 after the first, 0.469 without thinking. Not run at that size here; for
what was run see experiments/results/RESULTS.md.
"""

from ml_collections import ConfigDict

from . import rl

SYSTEM = (
  'Please reason step by step, and put your final answer within \\boxed{}.'
)
FORCED = 'Final Answer: \\boxed{'
# arXiv 2504.09858; its code for R1 ends without the blank line.
NO_THINKING = 'Okay, I think I have finished thinking.\n</think>\n\n'
FIELDS = ('seed', 'max_steps', 'num_iterations', 'num_mini_batches',
          'gradient_accumulation_steps', 'model',
          'lora', 'mesh', 'data', 'rollout', 'feedback', 'objective',
          'advantage', 'rewards', 'grader', 'optimizer', 'eval', 'checkpoint',
          'num_logged_completions', 'trackers', 'profile', 'nonfinite',
          'alarms', 'generate', 'evaluate')  # fmt: skip


def get_config(
  argument: str = 'deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B',
) -> ConfigDict:
  source, (stage,), smoke = rl.parse_arg(argument, ('sft', 'rl'))
  config = defaults(source, stage)
  return rl.finalize(config, smoke)


def defaults(source: str, stage: str) -> ConfigDict:
  """The defaults of a stage; unlocked."""
  base = rl.defaults(source)
  config = ConfigDict({name: base[name] for name in FIELDS})
  for name in 'mask_truncated', 'dynamic_sampling_max_batches', 'rollout_dir':
    del config.rollout[name]
  config.data.kwargs.task = 'deepscaler'
  config.data.system_prompt = SYSTEM
  # R1's template has <think> at its end.
  qwen3 = 'qwen3' in source.lower()
  config.data.prefill = '<think>\n' if qwen3 else ''
  config.data.sft_answers_dir = ''
  config.data.sft_answers_task = 'generated'
  config.lora.rank = 0
  config.feedback = dict(
    function='prefix:prefix',
    kwargs={},
    init='prefix:reasoner',
    init_kwargs=dict(
      source='',  # the folder of a reasoner to start from
      backbone='Qwen/Qwen3-Embedding-0.6B',  # of a new one
      latents=256,
      reads='last',  # or prompt: see models/reasoner.py
      closing='\n</think>\n\n',  # between the latents and the answer
    ),
  )
  config.rollout.update(max_prompt_length=1024, max_completion_length=2048)
  config.rollout.end_of_thinking = '</think>'
  config.rollout.forced_text.update(
    on_truncation=f'\n</think>\n\n{FORCED}', on_budget=f'\n\n{FORCED}'
  )
  # As in Qwen3's template where enable_thinking is False.
  config.rollout.forced_text.no_thinking = (
    '\n</think>\n\n' if qwen3 else NO_THINKING
  )
  config.rewards = dict(
    accuracy=dict(
      function='hybrid_latent.rewards.math:accuracy', weight=1.0, kwargs={}
    ),
  )
  config.evaluate.modes = 'chain_of_thought', 'no_thinking', 'latent'
  config.evaluate.budgets = 512, 1024
  lr = 1e-3 if stage == 'sft' else 1e-5
  config.optimizer.groups = dict(
    backbone=dict(pattern=r'^feedback\.reasoner\.backbone\.', lr=lr,
                  weight_decay=0.0),
    ends=dict(pattern=r'^feedback\.reasoner\.(f_in|r$|f_out)', lr=lr,
              weight_decay=0.0),
  )  # fmt: skip
  config.optimizer.update(
    warmup_ratio=0.03, schedule='cosine', max_grad_norm=1.0
  )
  config.eval.sampling = dict(temperature=0.6, top_p=0.95)
  config.eval.num_prompts = 0  # the paper's data have no test split
  if stage == 'sft':
    config.objective = dict(
      function='cross_entropy:cross_entropy', kwargs=dict(aggregation='token')
    )
    config.max_steps = 4400  # three epochs of 94k answers
    config.rollout.update(prompts_per_step=64, num_generations=1)
    config.gradient_accumulation_steps = 8
    return config
  config.max_steps = 100
  config.rollout.update(prompts_per_step=128, num_generations=8)
  config.gradient_accumulation_steps = 16
  config.objective.kwargs.update(
    aggregation='sequence', clip_range=(0.2, 0.2), beta=2e-3
  )
  config.optimizer.update(warmup_ratio=0.0, schedule='constant')
  return config
