"""Machines that need not be attached: devices to compile for, and their data
sheets.

A target is NAME:TOPOLOGY: `v5p:4x4x4` is that many TPU chips, `h100:2x1x8` is
partitions x hosts x GPUs, `cpu:8` simulates devices on this machine.
"""

import os
import re
from collections.abc import Sequence
from math import prod
from typing import Any, NamedTuple

import jax
from jax.experimental.topologies import get_topology_desc

GIB = 2**30
Device = Any  # a jax.Device, or the description of one


class Chip(NamedTuple):
  """The data sheet of a device. Bandwidths are in one direction, all links
  together."""

  memory: float  # bytes available to a program
  flops: float  # matmul FLOP/s, bfloat16, dense
  bandwidth: float  # bytes/s of that memory
  links: float  # bytes/s to other devices: ICI, NVLink
  network: float  # bytes/s to other hosts, where that is not ICI


class Target(NamedTuple):
  """Devices of one kind."""

  name: str
  devices: Sequence[Device]
  chip: Chip


# TPUs: cloud.google.com/tpu/docs/{v5e,v5p,v6e,tpu7x}. The memory is that which
# the compiler reports as available. A TPU7x chip is two devices. The pages'
# bidirectional ICI bandwidth is halved; v5e 400, v5p 1200, v6e 800, tpu7x 1200
# GB/s per chip.
# GPUs: NVIDIA's data sheets of H100 SXM and H200 SXM, without sparsity; NVLink
# 900 GB/s in both directions; a 400 Gb/s adapter for each GPU, as in a DGX.
# 95 % of the memory, XLA_PYTHON_CLIENT_MEM_FRACTION=0.95.
# CPU: measured on two cores; there is no network.
CHIPS = {
  'v5e': Chip(15.75 * GIB, 197e12, 819e9, 200e9, 200e9),
  'v5p': Chip(95.74 * GIB, 459e12, 2765e9, 600e9, 600e9),
  'v6e': Chip(31.25 * GIB, 918e12, 1640e9, 400e9, 400e9),
  'tpu7x': Chip(94.75 * GIB, 1153.5e12, 3690e9, 300e9, 300e9),
  'h100': Chip(0.95 * 84942979072, 989.4e12, 3352e9, 450e9, 50e9),
  'h200': Chip(0.95 * 151397597184, 989.4e12, 4800e9, 450e9, 50e9),
  'cpu': Chip(16 * GIB, 0.41e12, 29e9, 10e9, 10e9),
}
# The GPU description that XLA needs; both are Hopper, compute capability 9.0.
_GPUS = {
  'h100': ('NVIDIA H100 80GB HBM3', 84942979072, 3352320000000),
  'h200': ('NVIDIA H200 141GB HBM3e', 151397597184, 4800000000000),
}
_HOPPER = """
gpu_device_info {{
  cuda_compute_capability {{ major: 9 minor: 0 }}
  core_count: 132
  fpus_per_core: 128
  clock_rate_ghz: 1.98
  threads_per_warp: 32
  threads_per_block_limit: 1024
  threads_per_core_limit: 2048
  block_dim_limit_x: 2147483647
  block_dim_limit_y: 65535
  block_dim_limit_z: 65535
  registers_per_block_limit: 65536
  registers_per_core_limit: 65536
  shared_memory_per_block: 49152
  shared_memory_per_block_optin: 232448
  shared_memory_per_core: 233472
  l2_cache_size: 52428800
  device_memory_size: {memory}
  memory_bandwidth: {bandwidth}
}}
platform_name: "CUDA"
dnn_version_info {{ major: 9 minor: 10 patch: 0 }}
device_description_str: "{name}"
"""


def data_sheet(device: Device) -> Chip | None:
  """The data sheet of an attached accelerator; None for an unknown one."""
  kind = device.device_kind.lower().replace(' lite', 'e')
  known = {'h100': 'h100', 'h200': 'h200', 'v5e': 'v5e', 'v5p': 'v5p',
           'v6': 'v6e', '7x': 'tpu7x'}  # fmt: skip
  found = [CHIPS[chip] for word, chip in known.items() if word in kind]
  return found[0] if found else None


def target(text: str) -> Target:
  """The machine of `NAME:TOPOLOGY`.

  Raises ValueError for an unknown name or topology, and ModuleNotFoundError,
  with the packages to install, where its compiler is missing.
  """
  name, _, topology = text.partition(':')
  if name not in CHIPS or not re.fullmatch(r'\d+(x\d+){0,2}', topology):
    raise ValueError(
      f'--target={text}: write NAME:TOPOLOGY with a name of {[*CHIPS]}, such '
      'as v5e:4x4, v5p:4x4x4, h100:1x1x8 (partitions x hosts x GPUs) or cpu:8'
    )
  sizes = tuple(map(int, topology.split('x')))
  devices_of = _cpus if name == 'cpu' else _gpus if name in _GPUS else _tpus
  return Target(text, devices_of(name, sizes), CHIPS[name])


def _tpus(name, sizes):
  # No query of the metadata server, and several compilers at a time.
  os.environ.setdefault('TPU_SKIP_MDS_QUERY', '1')
  os.environ.setdefault('ALLOW_MULTIPLE_LIBTPU_LOAD', '1')
  os.environ.setdefault('TPU_ACCELERATOR_TYPE', name)
  os.environ.setdefault('TPU_WORKER_HOSTNAMES', 'localhost')
  options: dict = {'topology_name': f'{name}:{_joined(sizes)}'}
  if prod(sizes) < 4:  # part of a host
    options['chips_per_host_bounds'] = (*sizes, 1, 1)[:3]
  return _described('tpu', 'libtpu', **options)


def _gpus(name, sizes):
  title, memory, bandwidth = _GPUS[name]
  if len(sizes) != 3:
    raise ValueError(
      f'--target={name}:{_joined(sizes)}: write partitions x hosts x GPUs of a '
      f'host, such as {name}:1x1x8'
    )
  config = _HOPPER.format(name=title, memory=memory, bandwidth=bandwidth)
  return _described(
    'cuda',
    f'jax-cuda13-plugin=={jax.__version__} jax-cuda13-pjrt=={jax.__version__}',
    topology=_joined(sizes),
    target_config=config,
  )


def _cpus(name, sizes):
  if len(devices := jax.devices('cpu')) < prod(sizes):
    raise ValueError(
      f'--target={name}:{_joined(sizes)}: this process has {len(devices)}: set '
      f'XLA_FLAGS=--xla_force_host_platform_device_count={prod(sizes)}'
    )
  return devices[: prod(sizes)]


def _described(platform, packages, **options):
  try:
    return get_topology_desc(platform=platform, **options).devices
  except jax.errors.JaxRuntimeError as error:
    raise ValueError(f'--target: {options}: {error}') from None
  except (RuntimeError, NotImplementedError) as error:
    raise ModuleNotFoundError(
      f'--target: no compiler for {platform} here ({error}): run `pip install '
      f"--no-deps {packages}`, or `pip install '.[aot]'`"
    ) from None


def _joined(sizes):
  return 'x'.join(map(str, sizes))
