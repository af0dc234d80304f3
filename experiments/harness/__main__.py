r"""Evaluates a model on tasks of EleutherAI's lm-evaluation-harness.

    python -m experiments.harness --workdir=runs/harness \
        --config=hrpo_gsm8k:MODEL --tasks gsm8k,hellaswag --limit=100
    python -m experiments.harness --workdir=runs/harness \
        --config=lrt:MODEL,rl --config.feedback.init_kwargs.source=REASONER \
        --tasks mine --include_path=FOLDER --apply_chat_template

The model is config.model with the feedback of the config; `experiments.export`
writes that of a run. Prompts, stop texts and metrics are those of the tasks,
which the harness loads from the Hugging Face hub or from files that a YAML file
in --include_path names. Texts are decoded with latents, prompts and completions
within config.rollout.max_prompt_length and max_completion_length; given
continuations are scored as tokens, after the latents of a reasoner if there is
one.

Writes WORKDIR/results.json, and per task samples_TASK.jsonl with the prompt,
the completion and the score of each problem.
"""

# pyright: reportMissingImports=false

from ..fields.accepted import Folder
from ..training import cli


def _parser() -> cli.Parser:
  parser = cli.config_parser('harness', __doc__)
  add = parser.add_argument
  add('--tasks', required=True, type=cli.value(tuple[str, ...]),
      help='names of tasks or of groups of them, with commas')  # fmt: skip
  add('--include_path', type=cli.value(Folder), help="folder of your tasks'"
      ' YAML files')  # fmt: skip
  add('--num_fewshot', type=int, help='examples in each prompt')
  add('--limit', type=float, help='problems per task; below 1, their share')
  add('--apply_chat_template', action='store_true',
      help="write prompts in the model's chat template")  # fmt: skip
  return parser


if __name__ == '__main__':  # before the imports: --help takes a second
  OPTIONS = cli.parse(_parser())

import json
from typing import Any

import jax
from etils import epath

from ..training.compilation_cache import keep_compiled
from ..training.resumable_shards import write_lines
from .language_model import LatentLM


@cli.report_errors()
def main(options: cli.Options) -> dict[str, Any]:
  """Evaluates, writes and prints; returns the harness's results."""
  from lm_eval import simple_evaluate
  from lm_eval.tasks import TaskManager
  from lm_eval.utils import handle_non_serializable, make_table

  config, flags = options
  if jax.process_count() > 1:
    raise ValueError('experiments.harness runs on one host: start one process')
  tasks = TaskManager(include_path=flags.include_path)
  unknown = [name for name in flags.tasks if not tasks.match_tasks([name])]
  if unknown:
    raise ValueError(
      f'--tasks: {unknown[0]!r} is no task of the harness: write a name that '
      '`lm-eval ls tasks` lists, or the folder of its YAML as --include_path'
    )
  keep_compiled()
  results: Any = simple_evaluate(
    LatentLM(config),
    tasks=[*flags.tasks],
    num_fewshot=flags.num_fewshot,
    limit=flags.limit,
    apply_chat_template=flags.apply_chat_template,
    task_manager=tasks,
  )
  dumped = lambda value: json.dumps(
    value, default=handle_non_serializable, ensure_ascii=False
  )
  folder = epath.Path(flags.workdir)
  for name, rows in results.pop('samples').items():
    write_lines(
      folder / f'samples_{name}.jsonl', (f'{dumped(row)}\n' for row in rows)
    )
  write_lines(folder / 'results.json', [f'{dumped(results)}\n'])
  print(f'{make_table(results)}\nwrote {folder}/results.json')
  return results


if __name__ == '__main__':
  main(OPTIONS)
