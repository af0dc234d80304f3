"""Suggestions for unknown fields.

Names of TRL's and Hugging Face's trainers have a table; for others the field
with the same or almost the same last word is suggested, or none.
"""

import difflib
from collections.abc import Sequence

from .. import PACKAGE
from .renamed import FIELDS as RENAMED
from .renamed import new_name
from .table import field_of, matches

_LR = 'optimizer.groups.*.lr'
_PROMPTS = 'batch_size', 'rollout.prompts_per_step'
_DECAY = 'optimizer.groups.*.weight_decay'
_LOSS, _SAMPLING = 'objective.kwargs', 'rollout.sampling'
# Their name -> our fields, of which a config has some or none.
THEIRS: dict[str, tuple[str, ...]] = {
  # Model and data.
  'model_name_or_path': ('model.source',),
  'model_name': ('model.source',),
  'model': ('model.source',),
  'torch_dtype': ('model.dtype',),
  'bf16': ('model.dtype',),
  'fp16': ('model.dtype',),
  'gradient_checkpointing': ('model.remat',),
  'attn_implementation': ('model.attention',),
  'r': ('lora.rank',),
  'lora_r': ('lora.rank',),
  'lora_alpha': ('lora.alpha',),
  'dataset': ('data.path',),
  'dataset_name': ('data.path',),
  'dataset_train_split': ('data.train_split',),
  'dataset_test_split': ('data.test_split',),
  'dataset_text_field': ('data.fields',),
  'chat_template': ('data.prompt_template',),
  'chat_template_kwargs': ('data.enable_thinking',),
  'max_seq_length': ('max_length',),
  # Rollouts.
  'num_generations': ('rollout.num_generations',),
  'num_generations_eval': ('eval.num_generations',),
  'max_new_tokens': ('rollout.max_completion_length',),
  'mask_truncated_completions': ('rollout.mask_truncated',),
  'do_sample': (f'{_SAMPLING}.greedy',),
  'temperature': (f'{_SAMPLING}.temperature',),
  'top_p': (f'{_SAMPLING}.top_p',),
  'top_k': (f'{_SAMPLING}.top_k',),
  'min_p': (f'{_SAMPLING}.min_p',),
  'report_to': ('trackers',),
  'log_completions': ('num_logged_completions',),
  'num_completions_to_print': ('num_logged_completions',),
  # Rewards and the loss.
  'reward_funcs': ('rewards.*.function',),
  'reward_weights': ('rewards.*.weight',),
  'beta': (f'{_LOSS}.beta',),
  'kl_coef': (f'{_LOSS}.beta',),
  'epsilon': (f'{_LOSS}.clip_range',),
  'epsilon_high': (f'{_LOSS}.clip_range',),
  'sapo_temperature_pos': (f'{_LOSS}.temperatures',),
  'sapo_temperature_neg': (f'{_LOSS}.temperatures',),
  'cliprange': (f'{_LOSS}.clip_range',),
  'cliprange_value': (f'{_LOSS}.value_clip',),
  'vf_coef': (f'{_LOSS}.value_coef',),
  'delta': (f'{_LOSS}.delta',),
  'loss_type': (f'{_LOSS}.aggregation', f'{_LOSS}.surrogate'),
  'importance_sampling_level': (f'{_LOSS}.level',),
  'top_entropy_quantile': (f'{_LOSS}.top_entropy',),
  'vllm_importance_sampling_correction': (f'{_LOSS}.importance_sampling_mode',),
  'scale_rewards': ('advantage.kwargs.scale',),
  'ref_model_mixup_alpha': ('reference.mixup_alpha',),
  'ref_model_sync_steps': ('reference.sync_steps',),
  'sync_ref_model': ('reference.sync_steps',),
  # Updates.
  'per_device_train_batch_size': _PROMPTS,
  'train_batch_size': _PROMPTS,
  'batch_size': _PROMPTS,
  'generation_batch_size': _PROMPTS,
  'per_device_eval_batch_size': ('rollout.prompts_per_step',),
  'steps_per_generation': ('num_mini_batches',),
  'num_ppo_epochs': ('num_iterations',),
  'num_train_epochs': ('max_steps',),
  'learning_rate': (_LR,),
  'lr': (_LR,),
  'weight_decay': (_DECAY,),
  'lr_scheduler_type': ('optimizer.schedule',),
  'warmup_steps': ('optimizer.warmup_ratio',),
  'adam_beta1': ('optimizer.b1',),
  'adam_beta2': ('optimizer.b2',),
  # The run.
  'data_seed': ('seed',),
  'random_seed': ('seed',),
  'eval_steps': ('eval.every',),
  'max_eval_samples': ('eval.num_prompts',),
  'save_steps': ('checkpoint.every',),
  'save_total_limit': ('checkpoint.keep',),
  'metric_for_best_model': ('checkpoint.best',),
  'load_best_model_at_end': ('checkpoint.best',),
  'fsdp': ('mesh.fsdp',),
  'tensor_parallel_size': ('mesh.tensor',),
  'vllm_tensor_parallel_size': ('rollout.mesh.tensor', 'mesh.tensor'),
}
# Their names without a field of ours -> advice.
ELSEWHERE = {
  'output_dir': 'write --workdir=FOLDER',
  'logging_dir': 'WORKDIR has the logs',
  'logging_steps': 'every step is logged, in WORKDIR/metrics.jsonl',
  'report_to': f'python -m {PACKAGE}.report draws WORKDIR/metrics.jsonl',
  'resume_from_checkpoint': 'the same command resumes from its --workdir',
  'export': f'python -m {PACKAGE}.export writes the model of a --workdir',
}
_SIMILAR = 0.7  # difflib ratio of last words


def suggestion(name: str, known: Sequence[str]) -> str:
  """The advice for the dotted field `name`, with some of the `known` ones."""
  last = name.rpartition('.')[2]
  below = [field for field in known if field.startswith(f'{name}.')]
  found = below[:1] or _theirs(name, known) or _same_word(name, last, known)
  found = found or _theirs(last, known)
  if not found and not field_of(name):  # fields of other configs are no typos
    found = _similar(name, last, known)
  if found:
    *first, end = [f'config.{field}' for field in found[:3]]
    return f'write {", ".join(first)} or {end}' if first else f'write {end}'
  return ELSEWHERE.get(last, 'write one that --help lists')


def _theirs(name: str, known: Sequence[str]) -> list[str]:
  """Our fields for one of their names; keywords of a function only where the
  config has that function."""
  parts = {field.partition('.kwargs')[0] for field in known}
  return [
    field
    for target in THEIRS.get(name, ())
    for field in [x for x in known if matches(x, target)]
    or [target] * ('.kwargs.' in target and target.split('.')[0] in parts)
  ]


def _same_word(name: str, last: str, known: Sequence[str]) -> list[str]:
  same = [field for field in known if field.rpartition('.')[2] == last]
  return difflib.get_close_matches(name, same, n=3, cutoff=0)


def _similar(name: str, last: str, known: Sequence[str]) -> list[str]:
  """The field whose last word, or an old name of it, is almost the same: one of
  the same part before others."""
  words = {field: field for field in known}
  words |= {old: new for old in RENAMED if (new := new_name(old)) in known}
  part = name.rpartition('.')[0]
  beside = [x for x in words if x.rpartition('.')[0] == part]
  for names in beside, words:
    lasts = dict.fromkeys(x.rpartition('.')[2] for x in names)
    if near := difflib.get_close_matches(last, lasts, n=1, cutoff=_SIMILAR):
      return [words[x] for x in _same_word(name, near[0], [*names])[:1]]
  return []
