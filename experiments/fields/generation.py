"""Fields of data, sampling, rewards, evaluation and generation."""

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
Control = Literal['other_problem', 'pause', 'dropped']
Floor = Annotated[float, Range(ge=0, lt=1)]

SAMPLING = {
  'temperature': Field(PositiveFloat, 'Divides the logits before sampling.'),
  'top_k': Field(
    NonNegativeInt,
    'Samples from so many of the most likely tokens; 0: from all.',
  ),
  'top_p': Field(
    Share, 'Samples from the most likely tokens with this share of the mass.'
  ),
  'min_p': Field(
    Floor,
    'Excludes tokens with less than this share of the highest probability.',
  ),
  'greedy': Field(bool, 'Takes the most likely token instead of sampling.'),
  'greedy_answer': Field(
    bool, 'Takes the most likely token after the thinking.'
  ),
  'score_temperature': Field(
    PositiveFloat, 'Divides the logits wherever log-probs are computed.'
  ),
}
GENERATION = {
  'data.function': Field(
    Text,
    'problems(split, ...) as module:function of hybrid_latent.data or of your '
    'own.',
  ),
  'data.kwargs': Field(Kwargs, 'Keywords of data.function.'),
  'data.path': Field(
    Path,
    'Folder of train.jsonl and test.jsonl (or .json, .csv), or one file to '
    "train on; '': download.",
  ),
  'data.fields': Field(
    str,
    'Columns of the data that have the question, the answer and so on: '
    "question=problem,answer=result.value; '': those of the task, or their "
    'usual names.',
  ),
  'data.train_split': Field(Text, 'Split of the training.'),
  'data.test_split': Field(Text, 'Split of the evaluations.'),
  'data.system_prompt': Field(
    str, "System message of the chat template; '': none."
  ),
  'data.prompt_template': Field(
    str,
    "Prompt text with {question}; '': the model's chat template.",
  ),
  'data.prefill': Field(str, 'Start of every completion, part of the prompt.'),
  'data.enable_thinking': Field(
    bool, "Variable of the same name of chat templates such as Qwen3's."
  ),
  'data.step_entropy_dir': Field(
    Path,
    "Folder of experiments.step_entropy with the training rows; '': none.",
  ),
  'data.sft_answers_dir': Field(
    Path,
    "Folder of experiments.generate with the training answers; '': they are "
    'sampled.',
  ),
  'data.sft_answers_task': Field(
    Literal['generated', 'openr1_math'],
    'Layout of the rows of data.sft_answers_dir.',
  ),
  'rollout.prompts_per_step': Field(PositiveInt, 'Prompts per step.'),
  'rollout.num_generations': Field(PositiveInt, 'Completions per prompt.'),
  'rollout.max_prompt_length': Field(
    PositiveInt,
    'Largest number of tokens per prompt; longer prompts are left out.',
  ),
  'rollout.max_completion_length': Field(
    PositiveInt, 'Largest number of tokens per completion.'
  ),
  **{
    f'rollout.mesh.{axis}': Field(
      Annotated[int, Range(ge=-1)],
      f'Devices along {axis} of the mesh for sampling; 0: as in config.mesh.',
    )
    for axis in ('data', 'fsdp', 'tensor', 'sequence')
  },
  'rollout.buckets': Field(
    PositiveInt,
    'Number of padded lengths: 1, 1/2, 1/4 and so on of the limits.',
  ),
  'rollout.cache_stages': Field(
    PositiveInt, 'Number of sizes through which the KV cache grows in decoding.'
  ),
  'rollout.max_num_seqs': Field(
    NonNegativeInt,
    'Completions that are decoded side by side, over all devices: where one '
    'ends, the next begins; 0: all of a batch.',
  ),
  'rollout.logits_chunk': Field(
    PositiveInt, 'Positions whose logits are in memory at a time.'
  ),
  'rollout.end_of_thinking': Field(str, 'Text that ends the thinking.'),
  'rollout.max_thinking_tokens': Field(
    NonNegativeInt,
    'Largest number of thinking tokens; 0: max_completion_length.',
  ),
  'rollout.forced_text.after_thinking': Field(
    str, 'Text forced after a thinking that ended naturally.'
  ),
  'rollout.forced_text.on_truncation': Field(
    str, 'Text forced after a thinking that was cut.'
  ),
  'rollout.forced_text.on_budget': Field(
    str, 'Text forced into an answer that has not ended at the reserved tokens.'
  ),
  'rollout.forced_text.no_thinking': Field(
    str, 'End of the prompts of mode no_thinking, which closes the thinking.'
  ),
  'rollout.max_answer_tokens': Field(
    NonNegativeInt,
    'Largest number of answer tokens; 0: max_completion_length.',
  ),
  'rollout.answer_reserve': Field(
    NonNegativeInt,
    'Tokens at the end of max_completion_length that are reserved for the '
    'answer.',
  ),
  'rollout.mode': Field(
    Literal['', 'chain_of_thought', 'latent', 'no_thinking'],
    "Mode of all prompts; '': latent for a feedback with a prefix, "
    'chain_of_thought for any other.',
  ),
  'rollout.dynamic_sampling_max_batches': Field(
    PositiveInt,
    'Largest number of batches sampled until enough groups have unequal '
    'rewards (DAPO).',
  ),
  'rollout.mask_truncated': Field(
    bool, 'Masks truncated completions in the loss.'
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
    'Reward f(completions, **columns), as module:function.',
  ),
  'rewards.*.weight': Field(
    float, 'Weight of the reward in the total; 0: metric only.'
  ),
  'rewards.*.kwargs': Field(Kwargs, 'Keywords of the reward.'),
  'grader.workers': Field(PositiveInt, 'Worker processes that grade.'),
  'grader.timeout_s': Field(
    PositiveFloat, 'Seconds for all rewards of one group.'
  ),
  'eval.num_prompts': Field(
    NonNegativeInt, 'Test prompts per evaluation; 0: no evaluation.'
  ),
  'eval.datasets': Field(
    tuple[Text, ...],
    'Benchmarks that are evaluated too, each NAME or NAME=PATH.',
  ),
  'eval.every': Field(PositiveInt, 'Steps between evaluations.'),
  'eval.num_generations': Field(
    PositiveInt, 'Completions per test prompt; more than one give pass@k.'
  ),
  'eval.max_thinking_tokens': Field(
    NonNegativeInt,
    'Largest number of thinking tokens in evaluations; 0: as in training.',
  ),
  **{
    f'eval.sampling.{name}': Field(
      accepts, f'Replaces rollout.sampling.{name} in evaluations.'
    )
    for name, (accepts, _) in SAMPLING.items()
  },
  'generate.num_generations': Field(
    PositiveInt, 'Completions per prompt that experiments.generate samples.'
  ),
  'generate.num_prompts': Field(
    NonNegativeInt, 'Number of prompts, the first of the data; 0: all.'
  ),
  'generate.rows_per_shard': Field(PositiveInt, 'Prompts per file.'),
  'generate.min_reward': Field(
    Annotated[float, Range(infinite=True)],
    'Smallest reward of kept completions; -inf also keeps truncated ones.',
  ),
  'evaluate.base': Field(
    bool, 'Whether experiments.evaluate evaluates config.model too, as `base`.'
  ),
  'evaluate.models': Field(
    tuple[NamedPath, ...],
    'Models to compare: of each a model folder, or the --workdir of a run, '
    'whose newest checkpoint it is; WORKDIR@STEP: another one.',
  ),
  'evaluate.reasoners': Field(
    tuple[NamedPath, ...],
    'Reasoners whose latents config.model is evaluated with.',
  ),
  'evaluate.as_trained': Field(
    bool,
    'Whether a run has its own prompts and limits rather than those of this '
    'config.',
  ),
  'evaluate.feedbacks': Field(
    tuple[str, ...],
    "Feedbacks to compare, each 'NAME: PART; PART', where a part is a function "
    'of hybrid_latent.feedback or FIELD=VALUE of feedback, rollout or '
    "eval.sampling; '': the model's own.",
  ),
  'evaluate.modes': Field(
    tuple[Way, ...], "Modes to compare; (): the model's own."
  ),
  'evaluate.budgets': Field(
    tuple[PositiveInt, ...],
    'Largest numbers of tokens per completion to compare; (): the limits of '
    'config.rollout.',
  ),
  'evaluate.answer_reserve': Field(
    NonNegativeInt,
    'Tokens at the end of each budget that are reserved for the answer.',
  ),
  'evaluate.controls': Field(
    tuple[Control, ...],
    'Controls of each model that reads latents: those of another problem, '
    'pause tokens in their place, none.',
  ),
  'evaluate.datasets': Field(
    tuple[Text, ...],
    'Benchmarks, each NAME or NAME=PATH; (): config.data.',
  ),
  'evaluate.data_dir': Field(Path, 'Folder of the files of the benchmarks.'),
  'evaluate.given': Field(
    tuple[Text, ...],
    'Benchmarks whose given answers are scored, each NAME or NAME=PATH.',
  ),
  'entropy.aggregation': Field(
    Literal['mean', 'sum', 'max'],
    "Reduces token entropies to a step's entropy.",
  ),
  'entropy.rows_per_shard': Field(PositiveInt, 'Rows per file.'),
  'entropy.example_steps': Field(
    NonNegativeInt, 'Steps replaced by latents in examples.txt.'
  ),
}
