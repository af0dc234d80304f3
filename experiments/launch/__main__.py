r"""Starts one run on a cluster or in a cloud.

    python -m experiments.launch --on=slurm --name=hrpo \
        --machine="partition=gpu,nodes=2,gpus_per_node=8,time=600" -- \
        python -m experiments.grpo --workdir=/shared/runs/hrpo \
        --config=hrpo_gsm8k:/shared/qwen2.5-1.5b

The command after -- is that of this machine. --on is slurm, sky, xpk or gcloud;
--machine has options under the names of that tool. --dry-run prints what would
be submitted, and submits nothing. README.md of this folder has one row per
tool.
"""

import argparse
import sys

from hybrid_latent.ranges import NonNegativeInt

from .. import PACKAGE
from ..fields.accepted import Text
from ..training import cli


def _parsed(argv: list[str]) -> tuple[argparse.Namespace, list[str]]:
  """Its options, and the command after `--`."""
  parser = cli.Parser('launch', __doc__)
  parser.usage = '%(prog)s --on=WHERE [OPTION...] -- COMMAND...'
  add = parser.add_argument
  add(
    '--on',
    required=True,
    choices=('slurm', 'sky', 'xpk', 'gcloud'),
    help='where to run',
  )
  add(
    '--name',
    default='hybrid-latent',
    type=cli.value(Text),
    help='of the job',
  )
  add('--machine', default='', help="'key=value,key=value'")
  add(
    '--retries',
    type=cli.value(NonNegativeInt),
    default=100,
    help='after exit code 75',
  )
  add('--dry-run', action='store_true', help='only print')
  at = argv.index('--') if '--' in argv else len(argv)
  flags, words = parser.parse_args(argv[:at]), argv[at + 1 :]
  if not words:
    parser.error(f'write the command after --: -- python -m {PACKAGE}.grpo …')
  return flags, words


if __name__ == '__main__':  # before the imports: --help takes a second
  _parsed(sys.argv[1:])

import sys

from .recipes import RECIPES, parse_machine, preview, submit


@cli.report_errors()
def main() -> int:
  """The command; its exit code."""
  flags, words = _parsed(sys.argv[1:])
  render, options = RECIPES[flags.on], parse_machine(flags.machine)
  recipe = render(flags.name, words, options, flags.retries)
  if flags.dry_run:
    print(preview(recipe))
    return 0
  return submit(recipe).returncode


if __name__ == '__main__':
  sys.exit(main())
