"""What fields of a config must not contradict, by the command that reads it."""

from .rule import Rule, has_prefix, is_ours, updates_divide
from .sampling_rules import EVALUATED, GENERATED, SAMPLED, made_for
from .training_rules import REINFORCED, RL, TRAINED

_LRT = (
  *REINFORCED,
  Rule(
    ('data.triples', 'rollout.group'),
    lambda c, _: c.data.triples and c.rollout.group != 1,
    "group=1, as the answers are given, or data.triples=''",
  ),
  Rule(
    ('data.triples', 'rollout.group'),
    lambda c, _: c.steps and not c.data.triples and c.rollout.group < 2,
    'a group of at least 2, as an answer is judged against the others of its '
    'prompt, or the folder of given answers as data.triples',
  ),
  Rule(
    ('data.triples', 'objective.function'),
    lambda c, _: (
      c.steps
      and bool(c.data.triples)
      != is_ours(c, 'objective.function', 'supervised:cross_entropy')
      and is_ours(
        c,
        'objective.function',
        *('supervised:cross_entropy', 'policy_gradient:policy_gradient'),
      )
    ),
    'supervised:cross_entropy for answers that are given by data.triples, and '
    'policy_gradient:policy_gradient for those that are sampled',
  ),
  Rule(
    ('rollout.prompts', 'mini_batches', 'micro_batches'),
    lambda c, _: c.steps and not updates_divide(c, c.rollout.prompts),
    'mini_batches * micro_batches that divides prompts',
  ),
  Rule(
    ('rollout.mode',),
    lambda c, _: (
      c.steps and not c.data.triples and c.rollout.mode not in ('', 'latent')
    ),
    "'' or 'latent': answers that have not read its latents teach a reasoner "
    'nothing',
  ),
  Rule(
    ('feedback.function',),
    lambda c, _: not has_prefix(c),
    'one that has a prefix, such as prefix:prefix',
  ),
  Rule(
    ('feedback.initial.source', 'feedback.initial.backbone'),
    lambda c, _: (
      'backbone' in c.feedback.initial
      and not (c.feedback.initial.backbone or c.feedback.initial.source)
    ),
    'the folder of a reasoner as source, or a model as backbone of a new one',
  ),
)
_SFT = (
  *TRAINED,
  Rule(
    ('stages.begin', 'steps'),
    lambda c, _: (
      c.stages.begin[:1] != (0,)
      or [*c.stages.begin, c.steps] != sorted({*c.stages.begin, c.steps})
    ),
    'the step at which each stage begins, 0 first, each before the next and '
    'all before the last step',
  ),
  Rule(
    ('stages.share', 'stages.begin'),
    lambda c, _: len(c.stages.share) != len(c.stages.begin),
    'a share of the data for each stage',
  ),
  Rule(
    ('distillation.weight', 'curriculum.function'),
    lambda c, _: (
      c.distillation.weight
      and is_ours(
        c,
        'curriculum.function',
        *('cot:worked_solutions', 'coconut:coconut', 'hyrea:hyrea'),
      )
    ),
    'codi:codi, whose rows have two texts to compare, or weight=0',
  ),
  Rule(
    ('distillation.weight', 'packed'),
    lambda c, _: c.distillation.weight and c.packed,
    'packed=False: two texts are compared in each row',
  ),
  Rule(
    ('batch',),
    lambda c, hosts: c.batch % hosts,
    'a multiple of the number of hosts',
  ),
  Rule(
    ('batch', 'micro_batches'),
    lambda c, _: c.batch % c.micro_batches,
    'micro_batches that divides the batch',
  ),
)
RULES: dict[str, tuple[Rule, ...]] = {
  'grpo': (made_for('grpo', 'critic', 'epochs', 'reward_kl'), *RL),
  'lrt': (made_for('lrt', 'data.triples'), *_LRT),
  'sft': (made_for('sft', 'curriculum', 'stages'), *_SFT),
  'generate': (made_for('generate', 'generate'), *GENERATED),
  'evaluate': (made_for('evaluate', 'evaluate'), *EVALUATED),
  'step_entropy': (made_for('step_entropy', 'entropy'),),
  'serve': (made_for('serve', 'rollout'), *GENERATED),
  'studies.cot_ablation': (
    made_for('studies.cot_ablation', 'rollout'),
    *SAMPLED,
  ),
}
