"""Rules of the fields that trainers share, and of experiments/grpo.py."""

import math

from .overrides import at
from .rule import (
  Rule,
  eval_metrics,
  is_ours,
  one_rest,
  repeats,
  trains,
  updates_divide,
  weightless,
)
from .sampling_rules import SAMPLED

TRAINED = (
  *SAMPLED,
  Rule(
    ('alarms',),
    lambda c, _: any(not c.alarms[name] for name in c.alarms.stop),
    'alarms.stop without the alarms that are off, or a threshold above 0 for '
    'each of them',
  ),
  one_rest('mesh'),
  Rule(
    ('checkpoint.best', 'rewards', 'eval.samples'),
    lambda c, _: c.checkpoint.best and c.checkpoint.best not in eval_metrics(c),
    "'eval/' and the name of a reward, such as 'eval/accuracy', or ''",
  ),
  Rule(
    ('checkpoint.best', 'eval.prompts'),
    lambda c, _: c.checkpoint.best and not c.eval.prompts,
    "how many prompts eval.prompts has, or checkpoint.best=''",
  ),
  Rule(
    ('steps', 'optimizer.groups'),
    lambda c, _: c.steps and not c.optimizer.groups,
    'a group of parameters to train, or steps=0',
  ),
  Rule(
    ('lora.rank', 'optimizer.groups'),
    lambda c, _: (
      c.steps and c.lora.rank and not trains(c, 'model.layers.q.lora.a')
    ),
    'lora.rank=0, or the pattern of a group that trains the adapters',
  ),
)
REINFORCED = (
  *TRAINED,
  Rule(
    ('rollout.prompts',),
    lambda c, hosts: c.rollout.prompts % hosts,
    'a multiple of the number of hosts',
  ),
  Rule(
    ('steps', 'rewards'),
    lambda c, _: c.steps and not at(c, 'data.triples') and weightless(c),
    'a weight that is not 0 for at least one reward',
  ),
  one_rest('rollout.mesh'),
  Rule(
    ('rollout.sampling.greedy', 'rollout.sampling.top_k', 'rollout.group'),
    lambda c, _: (
      c.steps
      and c.rollout.group > 1
      and not (at(c, 'data.triples') or at(c, 'rollout.source'))
      and repeats(c, c.rollout.sampling)
    ),
    'greedy=False and a top_k that is not 1: the completions of a prompt would '
    'be one and the same, and a group of equal rewards teaches nothing',
  ),
  Rule(
    ('objective.kwargs.aggregation', 'objective.kwargs.length'),
    lambda c, _: (
      is_ours(c, 'objective.function', 'policy_gradient:policy_gradient')
      and (at(c, 'objective.kwargs.aggregation') == 'constant')
      != (at(c, 'objective.kwargs.length') is not None)
    ),
    "the longest completion's tokens as length with aggregation='constant', "
    'and None with any other',
  ),
  Rule(
    ('feedback.initial.r_min', 'feedback.initial.r_max'),
    lambda c, _: (
      at(c, 'feedback.initial.r_min') is not None
      and c.feedback.initial.r_min > c.feedback.initial.get('r_max', math.inf)
    ),
    'an r_min that is at most r_max',
  ),
)
RL = (
  Rule(
    ('steps', 'eval.prompts', 'export'),
    lambda c, _: not (c.steps or c.eval.prompts or c.export),
    'steps to train, prompts to evaluate, or export=True: this does nothing',
  ),
  *REINFORCED,
  Rule(
    ('rollout.group', 'critic.enabled'),
    lambda c, _: c.steps and c.rollout.group < 2 and not c.critic.enabled,
    'a group of at least 2, as a completion is judged against the others of '
    'its prompt, or critic.enabled=True and advantage.function=gae:gae',
  ),
  Rule(
    ('rollout.prompts', 'rollout.group', 'mini_batches', 'micro_batches'),
    lambda c, _: (
      c.steps and not updates_divide(c, c.rollout.prompts * c.rollout.group)
    ),
    'mini_batches * micro_batches that divides prompts * group',
  ),
  Rule(
    ('epochs', 'mini_batches', 'feedback.function'),
    lambda c, _: (
      c.steps
      and c.epochs * c.mini_batches > 1
      and not is_ours(c, 'feedback.function', 'discrete:discrete')
    ),
    'epochs=1 and mini_batches=1: a trajectory with latents may be trained on '
    'once, by the weights that made the latents',
  ),
  Rule(
    ('advantage.function', 'critic.enabled'),
    lambda c, _: is_ours(c, 'advantage.function', 'gae:gae') > c.critic.enabled,
    'critic.enabled=True, as gae compares with the values of a critic, or an '
    'advantage.function such as advantages:group_relative',
  ),
  Rule(
    ('critic.enabled', 'advantage.function'),
    lambda c, _: (
      c.critic.enabled
      and is_ours(
        c,
        'advantage.function',
        *('advantages:group_relative', 'advantages:leave_one_out'),
      )
    ),
    'advantage.function=gae:gae, which trains the critic, or '
    'critic.enabled=False',
  ),
  Rule(
    ('critic.enabled', 'optimizer.groups'),
    lambda c, _: (
      c.steps and c.critic.enabled and not trains(c, 'critic.value_head')
    ),
    "a group that trains the critic, such as one of pattern '^critic'",
  ),
  Rule(
    ('rollout.attempts', 'rollout.buckets'),
    lambda c, _: c.rollout.attempts > 1 and c.rollout.buckets != 1,
    'rollout.buckets=1, as batches that are joined need one shape',
  ),
  Rule(
    ('rollout.attempts', 'rollout.group'),
    lambda c, _: c.rollout.attempts > 1 and c.rollout.group < 2,
    'a group of at least 2, as a group of one has no unequal rewards',
  ),
  Rule(
    ('rollout.source', 'rollout.attempts'),
    lambda c, _: c.rollout.source and c.rollout.attempts > 1,
    'attempts=1, as nothing is sampled where rollouts are read',
  ),
  Rule(
    ('reference.sync_every', 'reference.mix'),
    lambda c, _: c.reference.sync_every and not c.reference.mix,
    'a mix above 0, or sync_every=0: the reference would stay where it is',
  ),
  Rule(
    ('reference.sync_every', 'objective.kwargs.beta', 'reward_kl.beta'),
    lambda c, _: (
      c.reference.sync_every
      and not (at(c, 'objective.kwargs.beta') or c.reward_kl.beta)
    ),
    'a beta above 0, or sync_every=0: nothing asks for a reference',
  ),
  Rule(
    ('objective.function',),
    lambda c, _: is_ours(c, 'objective.function', 'supervised:cross_entropy'),
    'policy_gradient:policy_gradient: cross-entropy knows no rewards',
  ),
)
