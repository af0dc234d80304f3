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

from experiments.launch.recipes import RECIPES, launched, machine, shown


def main() -> int:
  """The command; its exit code."""
  flags, command = _flags(sys.argv[1:])
  render = RECIPES[flags.on]
  try:
    recipe = render(flags.name, command, machine(flags.machine), flags.retries)
  except ValueError as error:
    print(f'experiments.launch: {error}', file=sys.stderr)
    return 2
  if flags.dry_run:
    print(shown(recipe))
    return 0
  return launched(recipe).returncode


def _flags(arguments: list[str]) -> tuple[argparse.Namespace, list[str]]:
  parser = argparse.ArgumentParser(
    prog='experiments.launch',
    description='One run on other machines.',
    usage='%(prog)s --on=WHERE [OPTION...] -- COMMAND...',
    allow_abbrev=False,
  )
  parser.add_argument('--on', required=True, choices=RECIPES)
  parser.add_argument('--name', default='hybrid-latent', help='of the job')
  parser.add_argument('--machine', default='', help="'key=value,key=value'")
  parser.add_argument('--retries', type=int, default=100, help='after 75')
  parser.add_argument('--dry-run', action='store_true', help='only print')
  own, dashes, command = arguments, [], []
  if '--' in arguments:
    at = arguments.index('--')
    own, dashes, command = arguments[:at], ['--'], arguments[at + 1 :]
  flags = parser.parse_args(own)
  if not dashes or not command:
    parser.error('write the command behind --: -- python -m experiments.grpo …')
  return flags, command


if __name__ == '__main__':
  sys.exit(main())
