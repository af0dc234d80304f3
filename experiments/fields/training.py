"""Fields of model, feedback, loss, optimizer and run."""

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
    Text, "The model's next input, as module:function of "
    'hybrid_latent.feedback or of your own.'
  ),
  'kwargs': Field(Kwargs, 'Keywords of the function.'),
  'init': Field(
    str, "Initializes the feedback's parameters, as module:function; '': none."
  ),
  'init_kwargs': Field(Kwargs, 'Keywords of init.'),
}  # fmt: skip

# Of ops/attention.py, without jax.
Attention = Literal['xla', 'xla_chunked', 'cudnn', 'splash'] | None

TRAINING = {
  'seed': Field(Seed, 'Seed of parameters, data order and samples.'),
  'max_steps': Field(
    NonNegativeInt, 'Training steps; 0: one evaluation and no training.'
  ),
  'num_iterations': Field(PositiveInt, 'Passes over a rollout.'),
  'num_mini_batches': Field(PositiveInt, 'Updates per pass over a rollout.'),
  'gradient_accumulation_steps': Field(
    PositiveInt,
    'Slices of an update whose gradients are accumulated, which saves memory '
    'and changes no result.',
  ),
  'batch_size': Field(PositiveInt, 'Rows per step.'),
  'max_length': Field(
    PositiveInt, 'Positions per row; longer examples are left out.'
  ),
  'packing': Field(bool, 'Packs several examples into each row.'),
  'buckets': Field(
    PositiveInt,
    'Number of padded lengths of rows that are not packed: 1, 1/2, 1/4 and so '
    'on of max_length.',
  ),
  'logits_chunk': Field(
    PositiveInt, 'Positions whose logits are in memory at a time.'
  ),
  'bptt_steps': Field(
    NonNegativeInt, 'Latents that the gradient flows back through; 0: all.'
  ),
  'latent_passes': Field(
    NonNegativeInt,
    'Passes that compute the latents of a row in parallel, exact with as many '
    'as it has latents; 0: as many in supervised training, none in RL, where '
    'latents then are constants.',
  ),
  'model.source': Field(
    Folder,
    'Preset, .gguf file, Hugging Face folder or name on its hub.',
  ),
  'model.dtype': Field(Dtype, 'Dtype of the computation.'),
  'model.param_dtype': Field(Dtype, 'Dtype of the parameters.'),
  'model.remat': Field(
    Literal['none', 'dots', 'full'],
    'Activations that the backward pass recomputes, which saves memory.',
  ),
  'model.attention': Field(
    Attention,
    'Implementation of attention in training and prefill: xla, memory '
    'quadratic in the length; xla_chunked, linear; the fused kernels of cudnn '
    '(GPU) and splash (TPU), linear, cudnn with padded rows only; None: xla, '
    'for rows longer than 1024 xla_chunked.',
  ),
  'model.new_tokens': Field(
    tuple[Text, ...],
    'Tokens added to the vocabulary: TOKEN=OTHER with the embedding of OTHER, '
    'TOKEN with the mean of all.',
  ),
  'lora.rank': Field(NonNegativeInt, 'Rank of the adapters; 0: no adapters.'),
  'lora.alpha': Field(
    PositiveFloat, 'The adapters are scaled by alpha / rank.'
  ),
  'critic.enabled': Field(bool, 'Trains a value model, for gae:gae.'),
  **{
    f'mesh.{axis}': Field(
      Axis, f'Devices along {axis} ({what}); -1: the remaining ones.'
    )
    for axis, what in (
      ('data', 'replicas of the parameters'),
      ('fsdp', 'shards of parameters and optimizer state'),
      ('tensor', 'heads, MLP width and vocabulary'),
      ('sequence', 'positions'),
    )
  },
  **{f'feedback.{name}': about for name, about in FEEDBACK.items()},
  'objective.function': Field(
    Text,
    'Loss, as module:function of hybrid_latent.objectives or of your own.',
  ),
  'objective.kwargs': Field(Kwargs, 'Keywords of the loss.'),
  'objective.init': Field(
    str, "Initializes the loss's parameters, as module:function; '': none."
  ),
  'objective.init_kwargs': Field(Kwargs, 'Keywords of init.'),
  'advantage.function': Field(
    Text,
    'Advantage estimator, as module:function of '
    'hybrid_latent.objectives or of your own.',
  ),
  'advantage.kwargs': Field(Kwargs, 'Keywords of the advantages.'),
  'reward_kl.beta': Field(
    NonNegativeFloat,
    'Weight of the KL to the reference in the reward; 0: none.',
  ),
  'reward_kl.estimator': Field(
    Literal['k1', 'k2', 'k3', 'k1+', 'k3+'], 'Estimator of that KL.'
  ),
  'reference.sync_steps': Field(
    NonNegativeInt,
    'Steps between updates of the reference to the policy; 0: none.',
  ),
  'reference.mixup_alpha': Field(
    UnitFloat, 'Weight of the policy in such an update.'
  ),
  'optimizer.groups.*.pattern': Field(
    Annotated[Pattern, NOT_EMPTY],
    'Regular expression to find in parameter names.',
  ),
  'optimizer.groups.*.lr': Field(Rate, 'Peak learning rate.'),
  'optimizer.groups.*.weight_decay': Field(UnitFloat, "AdamW's weight decay."),
  'optimizer.schedule': Field(
    Literal['constant', 'cosine'], 'Learning-rate schedule after the warmup.'
  ),
  'optimizer.warmup_ratio': Field(
    UnitFloat, 'Share of the updates in which the learning rate rises from 0.'
  ),
  'optimizer.b1': Field(Decay, 'Decay of the first moment.'),
  'optimizer.b2': Field(Decay, 'Decay of the second moment.'),
  'optimizer.max_grad_norm': Field(
    PositiveFloat, 'Norm to which larger gradients are clipped.'
  ),
  'curriculum.function': Field(
    Text,
    'Curriculum of examples, as module:function of '
    'hybrid_latent.curricula or of your own.',
  ),
  'curriculum.kwargs': Field(Kwargs, 'Keywords of the curriculum.'),
  'stages.starts': Field(
    tuple[NonNegativeInt, ...], 'First step of each stage, 0 first.'
  ),
  'stages.data_fraction': Field(
    tuple[Share, ...], 'Share of the training data in each stage.'
  ),
  'stages.reset_optimizer': Field(bool, 'Resets the optimizer at every stage.'),
  'checkpoint.every': Field(PositiveInt, 'Steps between checkpoints.'),
  'checkpoint.keep': Field(PositiveInt, 'Number of checkpoints to keep.'),
  'checkpoint.best': Field(
    str,
    "Metric eval/NAME whose best checkpoint is kept, too; '': none.",
  ),
  'num_logged_completions': Field(
    NonNegativeInt, 'Completions written to WORKDIR/completions.jsonl per step.'
  ),
  'trackers': Field(
    tuple[Literal['tensorboard', 'wandb', 'trackio'], ...],
    'Experiment trackers that get the metrics of WORKDIR/metrics.jsonl.',
  ),
  'profile.step': Field(
    NonNegativeInt, 'First step of the trace in WORKDIR/profile, for xprof.'
  ),
  'profile.steps': Field(NonNegativeInt, 'Steps that are traced; 0: no trace.'),
  'nonfinite.action': Field(
    Literal['stop', 'skip', 'rollback'],
    'Action on an update that is not finite: stop the run, skip the update, or '
    'roll back to the last checkpoint and continue with the next data.',
  ),
  'nonfinite.limit': Field(
    PositiveInt, 'Skipped updates in a row, or rollbacks, before the run stops.'
  ),
  'alarms.window': Field(
    PositiveInt,
    'Steps in a row with the condition of an alarm before it is on.',
  ),
  'alarms.stop': Field(
    tuple[Alarm, ...], 'Alarms that stop the run, after a checkpoint.'
  ),
  'alarms.flat_groups': Field(
    UnitFloat | None,
    'Smallest share of groups with equal rewards; 0 or None: off.',
  ),
  'alarms.entropy_collapse': Field(
    NonNegativeFloat | None, 'Entropy below it, nats per token; 0 or None: off.'
  ),
  'alarms.length_explosion': Field(
    UnitFloat | None,
    'Smallest share of max_completion_length as mean length, or of truncated '
    'completions; 0 or None: off.',
  ),
  'alarms.kl_blowup': Field(
    NonNegativeFloat | None, 'KL above it, nats per token; 0 or None: off.'
  ),
  'alarms.latent_collapse': Field(
    UnitFloat | None,
    "Share of latents, or their norm over the embeddings', below it; 0 or "
    'None: off.',
  ),
  'alarms.gate_saturation': Field(
    UnitFloat | None,
    "Mean distance of the gate's share from 0 and 1 below it; 0 or None: off.",
  ),
  'export': Field(
    bool, 'Writes a Hugging Face folder, WORKDIR/model, at the end.'
  ),
}
