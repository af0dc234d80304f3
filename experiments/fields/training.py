"""Fields that say what is trained, and how."""

from typing import Annotated, Literal

from hybrid_latent.ranges import (
  NonNegativeFloat,
  NonNegativeInt,
  Pattern,
  PositiveFloat,
  PositiveInt,
  Range,
  Share,
  UnitFloat,
)

from .accepted import (
  NOT_EMPTY,
  Field,
  Folder,
  Kwargs,
  Text,
)

Alarm = Literal['flat_groups', 'entropy_collapse', 'length_explosion',
                'kl_blowup', 'latent_collapse', 'gate_saturation']  # fmt: skip
Dtype = Literal['float32', 'bfloat16']
Seed = Annotated[int, Range(ge=0, lt=2**32)]
Axis = Literal[-1] | PositiveInt
Rate = Annotated[float, Range(gt=0, le=1)]
Decay = Annotated[float, Range(ge=0, lt=1)]

FEEDBACK = {
  'function': Field(
    Text, 'What the model reads next, as module:function of '
    'hybrid_latent.feedback or of your own.'
  ),
  'kwargs': Field(Kwargs, 'Keywords of the function.'),
  'init': Field(
    str, "Makes the feedback's own parameters, as module:function; '': none."
  ),
  'init_kwargs': Field(Kwargs, 'Keywords of the function init.'),
}  # fmt: skip

TRAINING = {
  'seed': Field(Seed, 'Seeds parameters, the order of the data and samples.'),
  'max_steps': Field(
    NonNegativeInt, 'Training steps; 0: one evaluation and no training.'
  ),
  'num_iterations': Field(PositiveInt, 'Passes over a rollout.'),
  'num_mini_batches': Field(PositiveInt, 'Updates per pass over a rollout.'),
  'gradient_accumulation_steps': Field(
    PositiveInt,
    'Slices of an update whose gradients are accumulated, which '
    'changes memory and no number.',
  ),
  'batch_size': Field(PositiveInt, 'Rows per step.'),
  'max_length': Field(
    PositiveInt, 'Positions per row; longer examples are left out.'
  ),
  'packing': Field(bool, 'Puts as many examples into a row as fit.'),
  'buckets': Field(
    PositiveInt,
    'Sizes that rows which are not packed are padded to: 1, 1/2, 1/4 and so on '
    'of max_length.',
  ),
  'logits_chunk': Field(
    PositiveInt, 'Positions whose logits are in memory at a time.'
  ),
  'bptt_steps': Field(
    NonNegativeInt, 'Latents that a gradient goes back through; 0: all.'
  ),
  'model.source': Field(
    Folder,
    'The model: a preset, a .gguf file, a Hugging Face folder or a name on its '
    'hub.',
  ),
  'model.dtype': Field(Dtype, 'Dtype of the computation.'),
  'model.param_dtype': Field(Dtype, 'Dtype of the parameters.'),
  'model.remat': Field(
    Literal['none', 'dots', 'full'],
    'What the backward pass computes again per layer, which saves memory.',
  ),
  'model.new_tokens': Field(
    tuple[Text, ...],
    'Tokens added to the vocabulary: TOKEN=OTHER begins with the embedding of '
    'another token, TOKEN with the mean of all.',
  ),
  'lora.rank': Field(
    NonNegativeInt, 'Rank of the adapters; 0: no adapters, all parameters.'
  ),
  'lora.alpha': Field(PositiveFloat, 'Scale of the adapters, times 1 / rank.'),
  'critic.enabled': Field(bool, 'Trains a value model, which gae:gae needs.'),
  **{
    f'mesh.{axis}': Field(Axis, f'Devices along {what}; -1: those left over.')
    for axis, what in (
      ('data', 'replicas of the parameters'),
      ('fsdp', 'parts of parameters and optimizer state'),
      ('tensor', 'heads, MLP width and vocabulary'),
      ('sequence', 'positions'),
    )
  },
  **{f'feedback.{name}': about for name, about in FEEDBACK.items()},
  'objective.function': Field(
    Text,
    'The loss, as module:function of hybrid_latent.objectives or of your own.',
  ),
  'objective.kwargs': Field(Kwargs, 'Keywords of the loss.'),
  'advantage.function': Field(
    Text,
    'From rewards to advantages, as module:function of '
    'hybrid_latent.objectives or of your own.',
  ),
  'advantage.kwargs': Field(Kwargs, 'Keywords of the advantages.'),
  'reward_kl.beta': Field(
    NonNegativeFloat,
    'Weight of the KL to the reference in the reward; 0: none.',
  ),
  'reward_kl.estimator': Field(
    Literal['k1', 'k2', 'k3', 'k1+', 'k3+'], 'Estimate of that KL.'
  ),
  'reference.sync_steps': Field(
    NonNegativeInt,
    'Steps after which the reference moves toward the policy; 0: never.',
  ),
  'reference.mixup_alpha': Field(
    UnitFloat, 'Share of the policy in the reference after it has moved.'
  ),
  'optimizer.groups.*.pattern': Field(
    Annotated[Pattern, NOT_EMPTY],
    'Regular expression found in the names of the parameters.',
  ),
  'optimizer.groups.*.lr': Field(Rate, 'Peak learning rate.'),
  'optimizer.groups.*.weight_decay': Field(UnitFloat, "AdamW's weight decay."),
  'optimizer.schedule': Field(
    Literal['constant', 'cosine'], 'Learning rate after the warmup.'
  ),
  'optimizer.warmup_ratio': Field(
    UnitFloat, 'Share of all updates in which the rate rises from 0.'
  ),
  'optimizer.b1': Field(Decay, 'Decay of the first moment.'),
  'optimizer.b2': Field(Decay, 'Decay of the second moment.'),
  'optimizer.max_grad_norm': Field(
    PositiveFloat, 'Largest norm of the gradient.'
  ),
  'curriculum.function': Field(
    Text,
    'The examples of each stage, as module:function of '
    'hybrid_latent.curricula or of your own.',
  ),
  'curriculum.kwargs': Field(Kwargs, 'Keywords of the curriculum.'),
  'stages.starts': Field(
    tuple[NonNegativeInt, ...], 'Step at which each stage begins, 0 first.'
  ),
  'stages.data_fraction': Field(
    tuple[Share, ...], 'Share of the training data in each stage.'
  ),
  'stages.reset_optimizer': Field(
    bool, 'Every stage begins with a new optimizer.'
  ),
  'distillation.weight': Field(
    NonNegativeFloat, 'Weight of the distance between hidden states; 0: none.'
  ),
  'distillation.loss_type': Field(
    Literal['smooth_l1', 'l2'], 'Distance between hidden states.'
  ),
  'distillation.div_std': Field(
    bool, "Divides the distance by the deviation of the teacher's states."
  ),
  'checkpoint.every': Field(PositiveInt, 'Steps between checkpoints.'),
  'checkpoint.keep': Field(PositiveInt, 'Checkpoints that are kept.'),
  'checkpoint.best': Field(
    str,
    "Metric eval/NAME whose best checkpoint is kept as well; '': none.",
  ),
  'num_logged_completions': Field(
    NonNegativeInt, 'Completions written to WORKDIR/completions.jsonl per step.'
  ),
  'nonfinite.action': Field(
    Literal['stop', 'skip', 'rollback'],
    'What becomes of an update that is not finite: the run stops, leaves it '
    'out, or goes on from the last checkpoint with the next data.',
  ),
  'nonfinite.limit': Field(
    PositiveInt, 'Updates left out in a row, or rollbacks, before it stops.'
  ),
  'alarms.window': Field(
    PositiveInt, 'Steps in a row for which the condition of an alarm holds.'
  ),
  'alarms.stop': Field(
    tuple[Alarm, ...], 'Alarms that end the run, after a checkpoint.'
  ),
  'alarms.flat_groups': Field(
    UnitFloat | None, 'Least share of groups of one reward; 0 or None: off.'
  ),
  'alarms.entropy_collapse': Field(
    NonNegativeFloat | None, 'Entropy, nats per token; 0 or None: off.'
  ),
  'alarms.length_explosion': Field(
    UnitFloat | None,
    'Mean length as a share of max_completion_length, or share of completions '
    'cut; '
    '0 or None: off.',
  ),
  'alarms.kl_blowup': Field(
    NonNegativeFloat | None, 'Largest KL, nats per token; 0 or None: off.'
  ),
  'alarms.latent_collapse': Field(
    UnitFloat | None,
    "Share of latents, or their norm over the embeddings'; 0 or None: off.",
  ),
  'alarms.gate_saturation': Field(
    UnitFloat | None,
    "Mean distance of the gate's share from 0 and 1; 0 or None: off.",
  ),
  'export': Field(bool, 'Ends with a Hugging Face folder, WORKDIR/model.'),
}
