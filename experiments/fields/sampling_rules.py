"""Rules of whatever samples, and of the commands that only sample."""

from experiments.fields.rule import Rule, has_prefix, lacks, too_long

SAMPLED = (
  Rule(
    (
      'rollout.max_tokens',
      'rollout.thinking',
      'rollout.answer',
      'rollout.reserved',
      'eval.thinking',
    ),
    lambda c, _: too_long(c),
    'a max_tokens that the thinking and the answer fit into, and of which not '
    'all is reserved',
  ),
  Rule(
    ('data.template',),
    lambda c, _: c.data.template and '{question}' not in c.data.template,
    "a prompt with {question} in it, or '' for the model's chat template",
  ),
  Rule(
    ('rollout.mode', 'feedback.function'),
    lambda c, _: c.rollout.mode == 'latent' and not has_prefix(c),
    "rollout.mode='', or a feedback that has a prefix such as prefix:prefix",
  ),
)


GENERATED = (
  Rule(
    ('rollout.delimiter',),
    lambda c, _: not c.rollout.delimiter,
    'the text that ends the thinking',
  ),
  *SAMPLED,
)
EVALUATED = (
  *SAMPLED,
  Rule(
    ('eval.prompts',),
    lambda c, _: not c.eval.prompts,
    'how many test prompts are asked',
  ),
  Rule(
    ('evaluate.ways', 'rollout.closing.neither'),
    lambda c, _: 'neither' in c.evaluate.ways and not c.rollout.closing.neither,
    'the text that closes the thinking at the end of a prompt, or ways without '
    'neither',
  ),
  Rule(
    ('evaluate.budgets', 'evaluate.reserved'),
    lambda c, _: c.evaluate.reserved >= min(c.evaluate.budgets, default=1),
    'budgets of more tokens than are reserved',
  ),
  Rule(
    ('evaluate.reasoners', 'feedback.function'),
    lambda c, _: c.evaluate.reasoners and not has_prefix(c),
    'a feedback that has a prefix, such as prefix:prefix in '
    'experiments/configs/lrt.py',
  ),
)


def made_for(command: str, *fields: str) -> Rule:
  """The command reads fields that only some configs have."""
  return Rule(
    fields,
    lacks(*fields),
    f'a config of experiments.{command}: this config is of another command',
  )
