"""Fields that say what is read, sampled, graded and written."""

from typing import Annotated, Literal

from hybrid_latent.ranges import (
  NonNegativeInt,
  PositiveFloat,
  PositiveInt,
  Range,
  Share,
)

from .accepted import Field, Kwargs, NamedPath, Path, Text

Way = Literal['chain_of_thought', 'no_thinking', 'latent']
Floor = Annotated[float, Range(ge=0, lt=1)]

SAMPLING = {
  'temperature': Field(PositiveFloat, 'Divides the logits before a draw.'),
  'top_k': Field(
    NonNegativeInt, 'Draws from so many of the likeliest tokens; 0: from all.'
  ),
  'top_p': Field(
    Share, 'Draws from the likeliest tokens that have this share of the mass.'
  ),
  'min_p': Field(
    Floor,
    'Leaves out tokens of less than this share of the likeliest '
    "one's probability.",
  ),
  'greedy': Field(bool, 'Takes the likeliest token instead of drawing one.'),
  'greedy_answer': Field(
    bool, 'Takes the likeliest token once the thinking has ended.'
  ),
  'score_temperature': Field(
    PositiveFloat, 'Divides the logits wherever log-probabilities are computed.'
  ),
}
GENERATION = {
  'data.function': Field(
    Text,
    'problems(split, ...) as module:function of hybrid_latent.data or of your '
    'own.',
  ),
  'data.kwargs': Field(Kwargs, 'Keywords of the function data.function.'),
  'data.path': Field(
    Path,
    'Folder of train.jsonl and test.jsonl (or .json, .csv), or one file to '
    "train on; '': download.",
  ),
  'data.fields': Field(
    str,
    "Our fields by the data's names: question=problem,answer=result.value; '': "
    'as the task says, or as data sets usually call them.',
  ),
  'data.train_split': Field(Text, 'Split that is trained on.'),
  'data.test_split': Field(Text, 'Split that is evaluated.'),
  'data.system_prompt': Field(
    str, "System message of the chat template; '': none."
  ),
  'data.prompt_template': Field(
    str,
    "Plain prompt with {question} in it; '': the model's chat template.",
  ),
  'data.prefill': Field(str, 'Text that every completion begins with.'),
  'data.enable_thinking': Field(
    bool, "Variable of the same name of chat templates such as Qwen3's."
  ),
  'data.step_entropy_dir': Field(
    Path,
    "Folder of experiments.step_entropy with the rows to train on; '': none.",
  ),
  'data.sft_answers_dir': Field(
    Path,
    'Folder of experiments.generate with the answers to train on; '
    "'': they are sampled.",
  ),
  'data.sft_answers_task': Field(
    Literal['generated', 'openr1_math'],
    'Layout of the rows of data.sft_answers_dir.',
  ),
  'rollout.prompts_per_step': Field(PositiveInt, 'Prompts per step.'),
  'rollout.num_generations': Field(PositiveInt, 'Completions per prompt.'),
  'rollout.max_prompt_length': Field(
    PositiveInt, 'Tokens per prompt; longer prompts are left out.'
  ),
  'rollout.max_completion_length': Field(PositiveInt, 'Tokens per completion.'),
  **{
    f'rollout.mesh.{axis}': Field(
      Annotated[int, Range(ge=-1)],
      f'Axis {axis} of the mesh that samples; 0: as in config.mesh.',
    )
    for axis in ('data', 'fsdp', 'tensor', 'sequence')
  },
  'rollout.buckets': Field(
    PositiveInt,
    'Sizes that lengths are rounded up to: 1, 1/2, 1/4 and so on of the '
    'limits.',
  ),
  'rollout.cache_stages': Field(
    PositiveInt, 'Sizes that the cache grows through in decoding.'
  ),
  'rollout.logits_chunk': Field(
    PositiveInt, 'Positions whose logits are in memory at a time.'
  ),
  'rollout.end_of_thinking': Field(str, 'Text that ends the thinking.'),
  'rollout.max_thinking_tokens': Field(
    NonNegativeInt,
    'Tokens of thinking before it is cut; 0: max_completion_length.',
  ),
  'rollout.forced_text.after_thinking': Field(
    str, 'Text that is forced where the thinking has ended by itself.'
  ),
  'rollout.forced_text.on_truncation': Field(
    str, 'Text that is forced where the thinking was cut.'
  ),
  'rollout.forced_text.on_budget': Field(
    str, 'Text that is forced where an answer has not ended in time.'
  ),
  'rollout.forced_text.no_thinking': Field(
    str, 'End of the prompts of the mode neither, which closes the thinking.'
  ),
  'rollout.max_answer_tokens': Field(
    NonNegativeInt,
    'Tokens of the answer before it is cut; 0: max_completion_length.',
  ),
  'rollout.answer_reserve': Field(
    NonNegativeInt,
    'The last of max_completion_length, kept for an answer that is forced '
    'where none '
    'came.',
  ),
  'rollout.mode': Field(
    Literal['', 'chain_of_thought', 'latent', 'no_thinking'],
    "How prompts are answered; '': latent by a feedback that has a prefix, "
    'explicit by any other.',
  ),
  'rollout.dynamic_sampling_max_batches': Field(
    PositiveInt,
    'Batches sampled at most until enough groups have unequal rewards (DAPO).',
  ),
  'rollout.mask_truncated': Field(
    bool, 'Completions that were cut train nothing.'
  ),
  'rollout.rollout_dir': Field(
    Path, "Folder of rollouts to train on instead of sampling; '': none."
  ),
  **{f'rollout.sampling.{name}': about for name, about in SAMPLING.items()},
  'dump_every': Field(
    NonNegativeInt,
    'Steps between rollouts written to WORKDIR/rollouts; 0: none.',
  ),
  'rewards.*.function': Field(
    Text,
    'A reward f(completions, **columns), as module:function.',
  ),
  'rewards.*.weight': Field(
    float, 'Weight of the reward in the total; 0: a metric only.'
  ),
  'rewards.*.kwargs': Field(Kwargs, 'Keywords of the reward.'),
  'grader.workers': Field(PositiveInt, 'Processes that grade.'),
  'grader.timeout_s': Field(
    PositiveFloat, 'Seconds for one group and all rewards.'
  ),
  'eval.num_prompts': Field(
    NonNegativeInt, 'Test prompts of an evaluation; 0: no evaluation.'
  ),
  'eval.every': Field(PositiveInt, 'Steps between evaluations.'),
  'eval.num_generations': Field(
    PositiveInt, 'Completions per test prompt; more give pass@k.'
  ),
  'eval.max_thinking_tokens': Field(
    NonNegativeInt, 'Tokens of thinking in evaluations; 0: as in training.'
  ),
  **{
    f'eval.sampling.{name}': Field(
      accepts, f'In evaluations, in place of rollout.sampling.{name}.'
    )
    for name, (accepts, _) in SAMPLING.items()
  },
  'generate.num_generations': Field(
    PositiveInt, 'Completions per prompt that experiments.generate samples.'
  ),
  'generate.num_prompts': Field(
    NonNegativeInt, 'First prompts of the data that it reads; 0: all.'
  ),
  'generate.rows_per_shard': Field(PositiveInt, 'Prompts per file.'),
  'generate.min_reward': Field(
    Annotated[float, Range(infinite=True)],
    'Smallest reward that is kept; -inf keeps completions that were cut, too.',
  ),
  'evaluate.modes': Field(
    tuple[Way, ...], 'Modes that experiments.evaluate compares.'
  ),
  'evaluate.models': Field(
    tuple[NamedPath, ...], 'Models that are asked beside config.model.'
  ),
  'evaluate.reasoners': Field(
    tuple[NamedPath, ...], 'Reasoners that make latents for config.model.'
  ),
  'evaluate.budgets': Field(
    tuple[PositiveInt, ...], 'Tokens that a completion may have.'
  ),
  'evaluate.answer_reserve': Field(
    NonNegativeInt, 'The last of a budget, kept for an answer that is forced.'
  ),
  'entropy.aggregation': Field(
    Literal['mean', 'sum', 'max'], "Of the tokens' entropies: a step's entropy."
  ),
  'entropy.rows_per_shard': Field(PositiveInt, 'Rows per file.'),
  'entropy.example_steps': Field(
    NonNegativeInt, 'Steps replaced in the examples that are shown.'
  ),
}
