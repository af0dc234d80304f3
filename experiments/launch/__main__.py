r"""Starts one run on a cluster or in a cloud.

    python -m experiments.launch --on=slurm --name=hrpo \
        --machine="partition=gpu,nodes=2,gpus_per_node=8,time=600" -- \
        python -m experiments.grpo --workdir=/shared/runs/hrpo \
        --config=experiments/configs/hrpo_gsm8k.py:/shared/qwen2.5-1.5b

What stands behind -- is the command, as on this machine. --on is slurm, sky,
xpk or gcloud, --machine what that one calls its options. --dry-run prints what
would be handed over, and hands nothing over. README.md of this folder has a
line for each kind of machine.
"""

import argparse
import sys

from hybrid_latent.ranges import NonNegativeInt

from ..fields.accepted import Text
from ..training import cli


def _parsed(argv: list[str]) -> tuple[argparse.Namespace, list[str]]:
  """Its options, and the command behind `--`."""
  parser = cli.Parser('launch', __doc__)
  parser.usage = '%(prog)s --on=WHERE [OPTION...] -- COMMAND...'
  add = parser.add_argument
  add('--on', required=True, choices=('slurm', 'sky', 'xpk', 'gcloud'))
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
    parser.error('write the command behind --: -- python -m experiments.grpo …')
  return flags, words


if __name__ == '__main__':  # before the imports: --help takes a second
  _parsed(sys.argv[1:])

import sys

from .recipes import RECIPES, launched, machine, shown


@cli.report_errors()
def main() -> int:
  """The command; its exit code."""
  flags, words = _parsed(sys.argv[1:])
  render, options = RECIPES[flags.on], machine(flags.machine)
  recipe = render(flags.name, words, options, flags.retries)
  if flags.dry_run:
    print(shown(recipe))
    return 0
  return launched(recipe).returncode


if __name__ == '__main__':
  sys.exit(main())
