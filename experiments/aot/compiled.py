"""The cost of a compiled program on one device: matmul FLOPs, memory traffic
and collectives, with all iterations of loops.

XLA's own `cost_analysis` counts the body of a loop once, and needs the GPU that
it analyses; so this reads the program itself. A loop whose trip count the
compiler does not know, such as the decoding loop, gets `trip_count`.
"""

import re
from collections.abc import Callable, Sequence
from functools import cache
from math import prod
from typing import NamedTuple

import numpy as np

from .hlo import Computation, Instruction, computations
from .matmul_flops import matmul_flops
from .traffic import traffic

COLLECTIVES = ('all-gather', 'all-reduce', 'all-to-all', 'collective-permute',
               'ragged-all-to-all', 'reduce-scatter')  # fmt: skip

_CALLS = ('async-start', 'call', 'call-start', 'custom-call', 'fusion')


class Collective(NamedTuple):
  """All executions of one instruction, or of all instructions of a kind."""

  count: float = 0  # executions
  sent: float = 0  # bytes sent per device, by the ring algorithms
  between_hosts: float = 0  # those of them in groups that span hosts

  def __add__(self, other):
    return Collective(*(a + b for a, b in zip(self, other, strict=True)))

  def __mul__(self, trip_count):
    return Collective(*(trip_count * x for x in self))


class Cost(NamedTuple):
  """The cost on one device."""

  flops: float = 0  # of matmuls, 2 per multiplication
  traffic: float = 0  # bytes read from and written to HBM
  # By (kind, channel): the TPU compiler splits one collective into several
  # fused pieces with the same channel.
  channels: dict[tuple[str, str], Collective] = {}  # noqa: RUF012
  unknown: int = 0  # loops that got `trip_count`

  @property
  def collectives(self) -> dict[str, Collective]:
    """By kind, all channels together."""
    found = {}
    for (kind, _), one in sorted(self.channels.items()):
      found[kind] = found.get(kind, Collective()) + one
    return found

  def __add__(self, other):
    channels = {**self.channels}
    for key, one in other.channels.items():
      channels[key] = max(one, channels[key]) if key in channels else one
    return Cost(self.flops + other.flops, self.traffic + other.traffic,
                channels, self.unknown + other.unknown)  # fmt: skip

  def __mul__(self, trip_count):
    channels = {key: one * trip_count for key, one in self.channels.items()}
    return Cost(
      trip_count * self.flops, trip_count * self.traffic, channels, self.unknown
    )


def program_cost(
  text: str, *, trip_count: float = 1, hosts: Sequence[int] = ()
) -> Cost:
  """The cost of a program per device.

  Args:
    text: `jax.stages.Compiled.as_text()`.
    trip_count: the total of loops whose trip count is unknown: consecutive
      loops share it, and a nested loop runs once.
    hosts: the host of each device, in the order of the mesh; () means one host.
  """
  found, entry = computations(text)
  devices = re.search(r'num_partitions=(\d+)', text)
  hosts = hosts or [0] * int(devices[1] if devices else 1)
  return _CostReader(found, hosts).cost(entry, trip_count)


class _CostReader:
  """Computes the cost of each computation of a program once."""

  def __init__(self, found: dict[str, Computation], hosts: Sequence[int]):
    self._found, self._hosts = found, np.asarray(hosts)
    self.cost: Callable[..., Cost] = cache(self._cost)

  def _cost(self, name: str, trip_count: float, fused: bool = False) -> Cost:
    computation, total = self._found[name], Cost()
    counts = {
      i.name: self._trip_count(i) for i in computation if i.op == 'while'
    }
    share = trip_count / max([*counts.values()].count(None), 1)
    for i in computation:
      total += self._own(computation, i, fused)
      if i.op == 'while':
        known = counts[i.name]
        body, condition = i.called('body', 'condition')
        again = 1 if known is None else trip_count
        once = self.cost(body, again) + self.cost(condition, again)
        more = once * (share if known is None else known)
        total += more._replace(unknown=more.unknown + (known is None))
      elif i.op == 'conditional':
        branches = i.called(
          'branch_computations', 'true_computation', 'false_computation'
        )
        costs = [self.cost(branch, trip_count) for branch in branches]
        total += max(costs, key=lambda cost: (cost.flops, cost.traffic))
      elif i.op in _CALLS:
        for called in i.called('calls', 'called_computations', 'to_apply'):
          total += self.cost(called, trip_count, fused or i.op == 'fusion')
    return total

  def _own(self, computation: Computation, i: Instruction, fused: bool) -> Cost:
    """The cost of an instruction without the computations that it calls."""
    found = Cost(flops=matmul_flops(computation, i))
    if not fused:
      found += Cost(traffic=traffic(self._found, computation, i))
    kind = i.op.removesuffix('-start')
    if kind in COLLECTIVES:
      found += Cost(channels=self._collective(computation, i, kind))
    return found

  def _collective(self, computation, i, kind) -> dict:
    users = computation.users[i.name]
    if (
      kind == 'all-reduce'
      and users
      and all(user.op == 'dynamic-slice' for user in users)
    ):
      kind = 'reduce-scatter'  # as the TPU compiler writes it
    size = sum(
      shape.size for name in i.operands for shape in computation[name].shapes
    )
    groups = _groups(i, len(self._hosts))
    n = groups.shape[1]
    sent = size * {
      'all-gather': n - 1,
      'all-reduce': 2 * (n - 1) / n,
      'collective-permute': 1,
    }.get(kind, (n - 1) / n)
    spans = np.ptp(self._hosts[groups], axis=1).any()
    channel = re.search(r'channel_id=(\d+)', i.attributes)
    key = kind, channel[1] if channel else i.name
    return {key: Collective(1, sent, sent if spans else 0)} if sent else {}

  def _trip_count(self, loop: Instruction) -> int | None:
    """As the compiler annotates it, or from `counter < constant`: JAX counts
    from 0 in steps of 1. None where it is unknown."""
    known = re.search(r'"known_trip_count":\{"n":"(\d+)"', loop.attributes)
    if known:
      return int(known[1])
    (name,) = loop.called('condition')
    condition = self._found[name]
    test = condition.root
    if test.op != 'compare' or 'direction=LT' not in test.attributes:
      return None
    bound = condition[test.operands[1]]
    return int(bound.operands[0]) if bound.op == 'constant' else None


def _groups(i: Instruction, devices: int) -> np.ndarray:
  """The devices of each group of a collective, [groups members]."""
  pairs = re.search(r'source_target_pairs=\{(\{.*?\})\}', i.attributes)
  listed = re.search(r'replica_groups=\{(\{.*?\})\}', i.attributes)
  iota = re.search(
    r'replica_groups=\[([\d,]+)\]<=\[([\d,]+)\](?:T\(([\d,]+)\))?', i.attributes
  )
  axes = re.search(r'replica_groups=mesh\[([^\]]*)\] \{([^}]*)\}', i.attributes)
  numbers = lambda text: tuple(map(int, re.findall(r'\d+', text)))
  if found := pairs or listed:
    return np.array([numbers(row) for row in found[1].split('},')])
  if iota:
    shape, order = numbers(iota[2]), numbers(iota[3] or '')
    ids = np.arange(prod(shape)).reshape(shape)
    return (ids.transpose(order) if order else ids).reshape(numbers(iota[1]))
  if axes:
    sizes = {name: int(n) for name, n in re.findall(r"'(\w+)'=(\d+)", axes[1])}
    chosen = re.findall(r"'(\w+)'", axes[2])
    ids = np.arange(prod(sizes.values())).reshape(*sizes.values())
    where = [[*sizes].index(name) for name in chosen]
    return np.moveaxis(ids, where, range(-len(where), 0)).reshape(
      -1, prod(sizes[name] for name in chosen)
    )
  return np.arange(devices)[None]
