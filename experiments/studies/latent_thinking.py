r"""LRT on arithmetic: the worth of a chain of thought, and latents instead of
it.

    python -m experiments.studies.latent_thinking \
        [--workdir=runs/latent_thinking] \
        [--reasoners=last:16,prompt:4,prompt:16,prompt:64] [--seeds=1]

A new model learns by supervised fine-tuning to answer with a long chain of
thought, or without one, and is then frozen. Its chains of thought are ablated
(cot_ablation). Reasoners, which read the last hidden state of the prompt or all
of them and make few or many latents, learn to replace the chain of thought, by
supervised fine-tuning on correct answers and by RL (LRT, ICLR 2026). Two copies
of the model learn shorter chains of thought (ShorterBetter, LC-R1). Writes the
figure of the ablation, a table of accuracy at several token budgets, and one in
which each problem has the latents of another. The same command resumes after a
stop.
"""

from ..fields.accepted import Text
from ..training import cli
from .parser import study_parser


def _parser() -> cli.Parser:
  parser = study_parser('latent_thinking', __doc__)
  parser.add_argument(
    '--reasoners',
    default='last:16,prompt:4,prompt:16,prompt:64',
    type=cli.value(tuple[Text, ...]),
    help='READS:LATENTS of each',
  )
  return parser


if __name__ == '__main__':  # before the imports: --help takes a second
  _parser().parse_args()

from dataclasses import replace
from pathlib import Path

from absl import logging

from hybrid_latent.data import arithmetic

from .. import evaluate, generate, grpo, lrt, sft
from ..configs import lrt_arithmetic, sft_arithmetic
from ..configs.lrt_arithmetic import SHORTER
from ..new_model import SMALL, new_model
from ..training.cli import Config
from ..training.compilation_cache import keep_compiled
from ..training.ending import report_command
from . import cot_ablation

PROBLEMS = 8192  # sampled for the first stage of LRT
ABLATED = 512  # chains of thought in the ablation
BACKBONE = replace(SMALL, width=128, heads=4)


@cli.report_errors()
def main() -> None:
  """The command; see the top of this file."""
  flags = _parser().parse_args()
  logging.set_verbosity(logging.WARNING)
  workdir = Path(flags.workdir)
  keep_compiled()
  base, backbone = train_base(workdir), workdir / 'backbone'
  if not backbone.exists():
    new_model(backbone, arithmetic.tokenizer(), BACKBONE, seed=1)
  # Completions of the base model: training data of LRT, and to be ablated.
  config: Config = lrt_arithmetic.get_config(f'{base},words')
  with config.unlocked():
    config.generate.update(num_prompts=PROBLEMS, rows_per_shard=2048)
  triples = workdir / 'triples'
  generate.generate(config, str(triples))
  with config.unlocked():
    config.generate.num_prompts, config.rollout.max_answer_tokens = ABLATED, 16
  cot_ablation.analyze(
    config, str(workdir / 'fragments'), generated=str(triples)
  )
  reasoners = {
    f'{stage}, {cell}, seed {seed}': folder
    for cell in flags.reasoners
    for seed in range(flags.seeds)
    for stage, folder in train_reasoner(workdir, base, cell, seed).items()
  }
  with config.unlocked():
    config.feedback = lrt_arithmetic.get_config(f'{base},rl').feedback
    config.evaluate.models = tuple(
      f'{name}={train_shorter(workdir, base, name)}' for name in SHORTER
    )
    config.evaluate.reasoners = tuple(
      f'{name}={folder}' for name, folder in reasoners.items()
    )
  evaluate.evaluate(config, str(workdir / 'table'))
  # Latents of another problem: what is left of the accuracy needs no prompt.
  with config.unlocked():
    config['feedback'].kwargs.swapped = True
    config.evaluate.update(
      modes=('latent',), budgets=config.evaluate.budgets[:1]
    )
  evaluate.evaluate(config, str(workdir / 'swapped'))
  print(
    f'wrote the tables {workdir}/table/table.md and swapped/table.md, and the '
    f'figure {workdir}/fragments/fragments.svg; all runs on a page:\n'
    f'  {report_command(str(workdir))}'
  )


def train_base(workdir: Path) -> Path:
  """The folder of a model that writes long chains of thought."""
  start, base = workdir / 'start', workdir / 'base' / 'model'
  if not base.exists():
    new_model(start, arithmetic.thinking_tokenizer(), replace(SMALL, vocab=448))
    config = sft_arithmetic.get_config(f'{start},thinking')
    sft.train(config, str(base.parent))
  return base


def train_shorter(workdir: Path, base: Path, method: str) -> Path:
  """The folder of the base after RL that rewards short chains of thought."""
  run = workdir / method
  if not (run / 'model').exists():
    print(method, flush=True)
    grpo.train(lrt_arithmetic.get_config(f'{base},{method}'), str(run))
  return run / 'model'


def train_reasoner(
  workdir: Path, base: Path, cell: str, seed: int
) -> dict[str, Path]:
  """The folders of a reasoner after each stage; `cell` is READS:LATENTS."""
  folders, (reads, _, count) = {}, cell.partition(':')
  for stage in 'sft', 'rl':
    config: Config = lrt_arithmetic.get_config(
      f'{base},{stage},{workdir}/backbone'
    )
    run = workdir / f'{stage}-{reads}-{count}-{seed}'
    with config.unlocked():
      config.seed = seed
      config.feedback.init_kwargs.update(reads=reads, latents=int(count))
      if stage == 'sft':
        config.data.sft_answers_dir = str(workdir / 'triples')
      else:
        config.feedback.init_kwargs.source = str(folders['SFT'])
    name = 'SFT' if stage == 'sft' else 'SFT+RL'
    folders[name] = run / 'reasoner'
    if not folders[name].exists():
      print(run.name, flush=True)
      lrt.train(config, str(run))
  return folders


if __name__ == '__main__':
  main()
