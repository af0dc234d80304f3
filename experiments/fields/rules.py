"""The rules of each command that relate fields of a config."""

from .named import Config
from .rule import Rule, has_prefix, is_ours, objective_inputs, updates_divide
from .sampling_rules import EVALUATED, GENERATED, SAMPLED, MadeFor
from .training_rules import REINFORCED, RL, TRAINED

# Curricula whose examples have one view.
_ONE_VIEW = 'cot:worked_solutions', 'coconut:coconut', 'hyrea:hyrea'


def _distills(c: Config) -> bool:
  """Whether the loss, or the one inside of it, compares two views."""
  losses = 'codi:self_distillation', 'kava:kava'
  parts = c.objective, c.objective.get('inner', c.objective)
  return any(is_ours(part, 'function', *losses) for part in parts)


_LRT = (
  *REINFORCED,
  Rule(
    ('data.sft_answers_dir', 'rollout.num_generations'),
    lambda c, _: c.data.sft_answers_dir and c.rollout.num_generations != 1,
    "num_generations=1, as the answers are given, or data.sft_answers_dir=''",
  ),
  Rule(
    ('data.sft_answers_dir', 'rollout.num_generations'),
    lambda c, _: (
      c.max_steps
      and not c.data.sft_answers_dir
      and c.rollout.num_generations < 2
    ),
    'num_generations of at least 2, as advantages compare the answers of a '
    'prompt, or the folder of given answers as data.sft_answers_dir',
  ),
  Rule(
    ('data.sft_answers_dir', 'objective.function'),
    lambda c, _: (
      c.max_steps
      and bool(c.data.sft_answers_dir)
      != is_ours(c, 'objective.function', 'cross_entropy:cross_entropy')
      and is_ours(
        c,
        'objective.function',
        *('cross_entropy:cross_entropy', 'policy_gradient:policy_gradient'),
      )
    ),
    'cross_entropy:cross_entropy for the answers of data.sft_answers_dir, and '
    'policy_gradient:policy_gradient for sampled ones',
  ),
  Rule(
    (
      'rollout.prompts_per_step',
      'num_mini_batches',
      'gradient_accumulation_steps',
    ),
    lambda c, _: (
      c.max_steps and not updates_divide(c, c.rollout.prompts_per_step)
    ),
    'num_mini_batches * gradient_accumulation_steps that divides '
    'prompts_per_step',
  ),
  Rule(
    ('rollout.mode',),
    lambda c, _: (
      c.max_steps
      and not c.data.sft_answers_dir
      and c.rollout.mode not in ('', 'latent')
    ),
    "'' or 'latent', as answers without latents give a reasoner no gradient",
  ),
  Rule(
    ('feedback.function',),
    lambda c, _: not has_prefix(c),
    'one with a prefix, such as prefix:prefix',
  ),
  Rule(
    ('feedback.init_kwargs.source', 'feedback.init_kwargs.backbone'),
    lambda c, _: (
      'backbone' in c.feedback.init_kwargs
      and not (c.feedback.init_kwargs.backbone or c.feedback.init_kwargs.source)
    ),
    'the folder of a reasoner as source, or a model as backbone of a new one',
  ),
)
_SFT = (
  *TRAINED,
  Rule(
    ('stages.starts', 'max_steps'),
    lambda c, _: (
      c.stages.starts[:1] != (0,)
      or [*c.stages.starts, c.max_steps]
      != sorted({*c.stages.starts, c.max_steps})
    ),
    'the first step of each stage, 0 first, in ascending order and below '
    'max_steps',
  ),
  Rule(
    ('stages.data_fraction', 'stages.starts'),
    lambda c, _: len(c.stages.data_fraction) != len(c.stages.starts),
    'one share of the data per stage',
  ),
  Rule(
    ('objective.function',),
    lambda c, _: objective_inputs(c) == 'LossInputs',
    'a loss of supervised texts, such as supervised:weighted_cross_entropy',
  ),
  Rule(
    ('objective.function', 'curriculum.function'),
    lambda c, _: _distills(c) and is_ours(c, 'curriculum.function', *_ONE_VIEW),
    'codi:codi, whose rows have the two views to compare, or '
    'objective.function=supervised:weighted_cross_entropy',
  ),
  Rule(
    ('objective.function', 'objective.init', 'curriculum.function'),
    lambda c, _: (
      is_ours(c, 'objective.function', 'sim_cot:sim_cot')
      and c.objective.kwargs.get('weight', 1)
      and (
        not c.objective.init
        or is_ours(c, 'curriculum.function', *_ONE_VIEW, 'codi:codi')
      )
    ),
    'sim_cot:decoder as objective.init, and sim_cot:coconut or sim_cot:codi as '
    'curriculum.function, whose rows have the texts of the decoder',
  ),
  Rule(
    ('objective.function', 'packing'),
    lambda c, _: _distills(c) and c.packing,
    'packing=False, as each row has the two views that codi:self_distillation '
    'compares',
  ),
  Rule(
    ('batch_size',),
    lambda c, hosts: c.batch_size % hosts,
    'a multiple of the number of hosts',
  ),
  Rule(
    ('batch_size', 'gradient_accumulation_steps'),
    lambda c, _: c.batch_size % c.gradient_accumulation_steps,
    'gradient_accumulation_steps that divides batch_size',
  ),
)
RULES: dict[str, tuple[MadeFor | Rule, ...]] = {
  'grpo': (MadeFor('grpo', ('critic', 'num_iterations', 'reward_kl')), *RL),
  'lrt': (MadeFor('lrt', ('data.sft_answers_dir',)), *_LRT),
  'sft': (MadeFor('sft', ('curriculum', 'stages')), *_SFT),
  'generate': (MadeFor('generate', ('generate',)), *GENERATED),
  'evaluate': (MadeFor('evaluate', ('evaluate',)), *EVALUATED),
  'step_entropy': (MadeFor('step_entropy', ('entropy',)),),
  'serve': (MadeFor('serve', ('rollout',)), *GENERATED),
  'harness': (MadeFor('harness', ('rollout',)), *GENERATED),
  'chat': (MadeFor('chat', ('rollout',)), *SAMPLED),
  'studies.cot_ablation': (
    MadeFor('studies.cot_ablation', ('rollout',)),
    *SAMPLED,
  ),
}
