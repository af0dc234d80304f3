"""Rules of all trainers, and of experiments/grpo.py."""

import math

from .overrides import at
from .rule import (
  Rule,
  eval_metrics,
  is_ours,
  made_feedback,
  objective_inputs,
  one_fill_axis,
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
  one_fill_axis('mesh'),
  Rule(
    ('checkpoint.best', 'rewards', 'eval.num_generations', 'eval.datasets'),
    lambda c, _: c.checkpoint.best and c.checkpoint.best not in eval_metrics(c),
    "'eval/' and the name of a reward, such as 'eval/accuracy', or of a "
    "benchmark of eval.datasets, such as 'eval/math500/accuracy', or ''",
  ),
  Rule(
    ('checkpoint.best', 'eval.num_prompts'),
    lambda c, _: c.checkpoint.best and not c.eval.num_prompts,
    "eval.num_prompts of at least 1, or checkpoint.best=''",
  ),
  Rule(
    ('max_steps', 'optimizer.groups'),
    lambda c, _: c.max_steps and not c.optimizer.groups,
    'a group of parameters to train, or max_steps=0',
  ),
  Rule(
    ('lora.rank', 'optimizer.groups'),
    lambda c, _: (
      c.max_steps and c.lora.rank and not trains(c, 'model.layers.q.lora.a')
    ),
    'lora.rank=0, or the pattern of a group that trains the adapters',
  ),
)
REINFORCED = (
  *TRAINED,
  Rule(
    ('objective.function',),
    lambda c, _: objective_inputs(c) == 'SupervisedInputs',
    'a loss of completions, such as policy_gradient:policy_gradient',
  ),
  Rule(
    ('rollout.prompts_per_step',),
    lambda c, hosts: c.rollout.prompts_per_step % hosts,
    'a multiple of the number of hosts',
  ),
  Rule(
    ('max_steps', 'rewards'),
    lambda c, _: (
      c.max_steps and not at(c, 'data.sft_answers_dir') and weightless(c)
    ),
    'a weight that is not 0 for at least one reward',
  ),
  one_fill_axis('rollout.mesh'),
  Rule(
    (
      'rollout.sampling.greedy',
      'rollout.sampling.top_k',
      'rollout.num_generations',
    ),
    lambda c, _: (
      c.max_steps
      and c.rollout.num_generations > 1
      and not (at(c, 'data.sft_answers_dir') or at(c, 'rollout.rollout_dir'))
      and repeats(c, c.rollout.sampling)
    ),
    'greedy=False and a top_k that is not 1, as equal completions of a prompt '
    'have equal rewards and no gradient',
  ),
  Rule(
    ('objective.kwargs.aggregation', 'objective.kwargs.length'),
    lambda c, _: (
      is_ours(c, 'objective.function', 'policy_gradient:policy_gradient')
      and (at(c, 'objective.kwargs.aggregation') == 'constant')
      != (at(c, 'objective.kwargs.length') is not None)
    ),
    "the largest number of tokens as length with aggregation='constant', and "
    'None with any other',
  ),
  Rule(
    ('objective.kwargs.surrogate', 'objective.kwargs.clip_range'),
    lambda c, _: (
      at(c, 'objective.kwargs.surrogate') in ('cispo', 'sapo')
      and (c.objective.kwargs.get('clip_range', 0) is None)
      != (c.objective.kwargs.surrogate == 'sapo')
    ),
    "clip_range=None with surrogate='sapo', whose gate bounds the ratio, and "
    "(low, high) with 'cispo'",
  ),
  Rule(
    ('feedback.init_kwargs.r_min', 'feedback.init_kwargs.r_max'),
    lambda c, _: (
      at(c, 'feedback.init_kwargs.r_min') is not None
      and c.feedback.init_kwargs.r_min
      > c.feedback.init_kwargs.get('r_max', math.inf)
    ),
    'an r_min that is at most r_max',
  ),
)
RL = (
  Rule(
    ('max_steps', 'eval.num_prompts', 'export'),
    lambda c, _: not (c.max_steps or c.eval.num_prompts or c.export),
    'steps to train, prompts to evaluate, or export=True',
  ),
  *REINFORCED,
  Rule(
    ('rollout.num_generations', 'critic.enabled'),
    lambda c, _: (
      c.max_steps and c.rollout.num_generations < 2 and not c.critic.enabled
    ),
    'num_generations of at least 2, as advantages compare the completions of a '
    'prompt, or critic.enabled=True and advantage.function=gae:gae',
  ),
  Rule(
    (
      'rollout.prompts_per_step',
      'rollout.num_generations',
      'num_mini_batches',
      'gradient_accumulation_steps',
    ),
    lambda c, _: (
      c.max_steps
      and not updates_divide(
        c, c.rollout.prompts_per_step * c.rollout.num_generations
      )
    ),
    'num_mini_batches * gradient_accumulation_steps that divides '
    'prompts_per_step * num_generations',
  ),
  Rule(
    ('num_iterations', 'num_mini_batches', 'feedback.function'),
    lambda c, _: (
      c.max_steps
      and c.num_iterations * c.num_mini_batches > 1
      and not (made_feedback(c).latents_are_actions or c.latent_passes)
    ),
    'num_iterations=1 and num_mini_batches=1, as its latents are functions of '
    'the weights that sampled them and may be trained on once, by these; or '
    'latent_passes, which compute them anew; or a feedback whose latents are '
    'drawn, such as soft:soft',
  ),
  Rule(
    ('objective.kwargs.beta', 'reward_kl.beta', 'feedback.function'),
    lambda c, _: (
      (c.objective.kwargs.get('beta') or c.reward_kl.beta)
      and made_feedback(c).latents_are_actions
      and not made_feedback(c).prefix
      and not is_ours(c, 'feedback.function', 'discrete:discrete')
    ),
    'beta=0, as the reference scores tokens and not the densities of latents',
  ),
  Rule(
    ('latent_passes', 'feedback.function'),
    lambda c, _: c.latent_passes and not made_feedback(c).latent_from_hidden,
    'latent_passes=0, or a feedback whose latents are functions of the hidden '
    'state, such as hidden:hidden or switching:switching',
  ),
  Rule(
    ('advantage.function', 'critic.enabled'),
    lambda c, _: is_ours(c, 'advantage.function', 'gae:gae') > c.critic.enabled,
    'critic.enabled=True, as gae needs the values of a critic, or an '
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
      c.max_steps and c.critic.enabled and not trains(c, 'critic.value_head')
    ),
    "a group that trains the critic, such as one of pattern '^critic'",
  ),
  Rule(
    ('rollout.dynamic_sampling_max_batches', 'rollout.buckets'),
    lambda c, _: (
      c.rollout.dynamic_sampling_max_batches > 1 and c.rollout.buckets != 1
    ),
    'rollout.buckets=1, as the batches are concatenated',
  ),
  Rule(
    ('rollout.dynamic_sampling_max_batches', 'rollout.num_generations'),
    lambda c, _: (
      c.rollout.dynamic_sampling_max_batches > 1
      and c.rollout.num_generations < 2
    ),
    'num_generations of at least 2, as a group of one has no unequal rewards',
  ),
  Rule(
    ('rollout.rollout_dir', 'rollout.dynamic_sampling_max_batches'),
    lambda c, _: (
      c.rollout.rollout_dir and c.rollout.dynamic_sampling_max_batches > 1
    ),
    'dynamic_sampling_max_batches=1, as stored rollouts are not sampled',
  ),
  Rule(
    ('reference.sync_steps', 'reference.mixup_alpha'),
    lambda c, _: c.reference.sync_steps and not c.reference.mixup_alpha,
    'a mixup_alpha above 0, or sync_steps=0, as the reference would not change',
  ),
  Rule(
    ('reference.sync_steps', 'objective.kwargs.beta', 'reward_kl.beta'),
    lambda c, _: (
      c.reference.sync_steps
      and not (at(c, 'objective.kwargs.beta') or c.reward_kl.beta)
    ),
    'a beta above 0, or sync_steps=0, as no KL term needs a reference',
  ),
  Rule(
    ('objective.function',),
    lambda c, _: is_ours(
      c, 'objective.function', 'cross_entropy:cross_entropy'
    ),
    'policy_gradient:policy_gradient, as cross-entropy has no rewards',
  ),
)
