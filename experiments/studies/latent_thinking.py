r"""What a thinking in words is worth, and what of it latents can stand for.

    python -m experiments.studies.latent_thinking \
        [--workdir=runs/latent_thinking] \
        [--reasoners=last:16,prompt:4,prompt:16,prompt:64] [--seeds=1]

On arithmetic word problems. A new model learns to think at length before it
answers, or not to think; it does not change after that. It answers from
fragments of its thoughts; then reasoners, which read the prompt's last state or
all of them and have few or many latents, learn to stand for the thoughts, from
right answers and by reinforcement (LRT, ICLR 2026). Two copies of the model
learn to think less (ShorterBetter, LC-R1).
Ends with the figure of the fragments, a table of what is right at several token
budgets, and one where every problem gets the latents of another. The same
command goes on after a stop.
"""

from hybrid_latent.ranges import PositiveInt

from ..fields.accepted import Folder, Text
from ..training import cli


def _parser() -> cli.Parser:
  parser = cli.Parser('studies.latent_thinking', __doc__)
  add = parser.add_argument
  add('--workdir', default='runs/latent_thinking', type=cli.value(Folder))
  add(
    '--reasoners',
    default='last:16,prompt:4,prompt:16,prompt:64',
    type=cli.value(tuple[Text, ...]),
    help='READS:LATENTS of each',
  )
  add('--seeds', type=cli.value(PositiveInt), default=1)
  return parser


if __name__ == '__main__':  # before the imports: --help takes a second
  _parser().parse_args()

import shlex
from dataclasses import replace
from pathlib import Path

from absl import logging

from hybrid_latent.data import arithmetic

from .. import PACKAGE, evaluate, generate, grpo, lrt, sft
from ..configs import lrt_arithmetic, sft_arithmetic
from ..configs.lrt_arithmetic import SHORTER
from ..new_model import SMALL, new_model
from ..training.cli import Config
from ..training.compilation_cache import keep_compiled
from . import cot_ablation

PROBLEMS = 8192  # whose right answers the first stage learns from
FRAGMENTS = 512  # thoughts that are cut to pieces
BACKBONE = replace(SMALL, width=128, heads=4)


@cli.report_errors()
def main() -> None:
  """The experiment."""
  flags = _parser().parse_args()
  logging.set_verbosity(logging.WARNING)
  workdir = Path(flags.workdir)
  keep_compiled()
  base, backbone = thinker(workdir), workdir / 'backbone'
  if not backbone.exists():
    new_model(backbone, arithmetic.tokenizer(), BACKBONE, seed=1)
  words: Config = lrt_arithmetic.get_config(f'{base},words')
  with words.unlocked():
    words.generate.update(prompts=PROBLEMS, rows_per_part=2048)
  triples = workdir / 'triples'
  generate.generate(words, str(triples))
  with words.unlocked():
    words.generate.prompts, words.rollout.answer = FRAGMENTS, 16
  cot_ablation.analyze(
    words, str(workdir / 'fragments'), generated=str(triples)
  )
  reasoners = {
    f'{stage}, {cell}, seed {seed}': folder
    for cell in flags.reasoners
    for seed in range(flags.seeds)
    for stage, folder in taught(workdir, base, cell, seed).items()
  }
  with words.unlocked():
    words.feedback = lrt_arithmetic.get_config(f'{base},rl').feedback
    words.evaluate.models = tuple(
      f'{name}={shorter(workdir, base, name)}' for name in SHORTER
    )
    words.evaluate.reasoners = tuple(
      f'{name}={folder}' for name, folder in reasoners.items()
    )
  evaluate.evaluate(words, str(workdir / 'table'))
  with words.unlocked():
    words['feedback'].kwargs.swapped = True
    words.evaluate.update(ways=('latent',), budgets=words.evaluate.budgets[:1])
  evaluate.evaluate(words, str(workdir / 'swapped'))
  runs = shlex.quote(str(workdir))
  print(
    f'wrote the tables {workdir}/table/table.md and swapped/table.md, and the '
    f'figure {workdir}/fragments/fragments.svg; all runs on a page:\n'
    f'  python -m {PACKAGE}.report --runs={runs} --out={runs}/report.html'
  )


def thinker(workdir: Path) -> Path:
  """The folder of a model that thinks at length."""
  start, base = workdir / 'start', workdir / 'base' / 'model'
  if not base.exists():
    new_model(start, arithmetic.thinking_tokenizer(), replace(SMALL, vocab=448))
    config = sft_arithmetic.get_config(f'{start},thinking')
    sft.train(config, str(base.parent))
  return base


def shorter(workdir: Path, base: Path, method: str) -> Path:
  """The folder of the base after it has learned to think less."""
  run = workdir / method
  if not (run / 'model').exists():
    print(method, flush=True)
    grpo.train(lrt_arithmetic.get_config(f'{base},{method}'), str(run))
  return run / 'model'


def taught(workdir: Path, base: Path, cell: str, seed: int) -> dict[str, Path]:
  """The folders of a reasoner after each stage; `cell` says what it reads and
  how many latents it makes."""
  folders, (reads, _, count) = {}, cell.partition(':')
  for stage in 'sft', 'rl':
    config: Config = lrt_arithmetic.get_config(
      f'{base},{stage},{workdir}/backbone'
    )
    run = workdir / f'{stage}-{reads}-{count}-{seed}'
    with config.unlocked():
      config.seed = seed
      config.feedback.initial.update(reads=reads, latents=int(count))
      if stage == 'sft':
        config.data.triples = str(workdir / 'triples')
      else:
        config.feedback.initial.source = str(folders['SFT'])
    name = 'SFT' if stage == 'sft' else 'SFT+RL'
    folders[name] = run / 'reasoner'
    if not folders[name].exists():
      print(run.name, flush=True)
      lrt.train(config, str(run))
  return folders


if __name__ == '__main__':
  main()
