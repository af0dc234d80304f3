"""Bytes that a compiled program reads from and writes to HBM."""

import re

from .hlo import Computation, Instruction

# Instructions that neither read nor write memory themselves.
_FREE = {'after-all', 'async-start', 'bitcast', 'call', 'call-start',
         'conditional', 'constant', 'get-tuple-element', 'opt-barrier',
         'parameter', 'partition-id', 'replica-id', 'tuple',
         'while'}  # fmt: skip
_PARTS = {
  'dynamic-slice',
  'gather',
  'slice',
}  # these read as much as they return


def traffic(
  found: dict[str, Computation], computation: Computation, i: Instruction
) -> int:
  """Bytes read and written by an instruction that is not part of a fusion.

  A fusion reads each of its inputs once, or only the slices that it uses, and
  writes its result, or only the slice that it changes in place. The on-chip
  memory of a TPU is not counted.
  """
  if i.op in _FREE or i.op.endswith(('-done', '-update')):
    return 0
  read = [_size(computation[name]) for name in i.operands if name]
  if i.op in _PARTS:
    return min(_whole(i), read[0]) + _size(i)
  if i.op == 'dynamic-update-slice':
    return read[1] + min(_whole(computation[i.operands[1]]), _size(i))
  if i.op == 'scatter':
    return 2 * read[-1]
  if i.op.endswith('-start'):
    return 2 * sum(read)
  if i.op == 'fusion':
    return _fusion(found, i)
  return sum(read) + _size(i)


def _fusion(found, i):
  (name,) = i.called('calls')
  inside = found[name]
  if name.startswith('async_collective'):
    # A piece of an asynchronous transfer, whose buffers pass through.
    pairs = re.findall(r'\{\d*\}: \((\d+), \{\}\)', i.attributes)
    passed = set(map(int, pairs))
  else:
    passed = set()
  read = (_read(found, inside, k) for k in inside.parameters if k not in passed)
  written = _written(found, inside, inside.root)
  through = sum(_size(inside.parameters[k]) for k in passed)
  return sum(read) + max(written - through, 0)


def _read(found, inside: Computation, k: int) -> int:
  """Bytes that a fusion reads of its input `k`."""
  parameter = inside.parameters[k]
  return min(_size(parameter), _used(found, inside, parameter))


def _used(found, inside, source):
  total = _whole(source) if source is inside.root else 0
  for user in inside.users[source.name]:
    first = user.operands[0] == source.name
    if user.op in _PARTS and first:
      total += _whole(user)
    elif user.op == 'bitcast':
      total += _used(found, inside, user)
    elif user.op == 'fusion':
      (name,) = user.called('calls')
      places = [k for k, x in enumerate(user.operands) if x == source.name]
      total += sum(_read(found, found[name], k) for k in places)
    elif not (user.op == 'dynamic-update-slice' and first):
      return _size(source)
  return total


def _written(found, inside: Computation, result: Instruction) -> int:
  """Bytes that a fusion writes of a result."""
  if result.op == 'tuple':
    return sum(_written(found, inside, inside[x]) for x in result.operands)
  if result.op == 'bitcast':
    return _written(found, inside, inside[result.operands[0]])
  if result.op == 'dynamic-update-slice':
    return min(_whole(inside[result.operands[1]]), _size(result))
  if result.op == 'fusion':
    (name,) = result.called('calls')
    return _written(found, found[name], found[name].root)
  return _size(result)


def _size(i: Instruction) -> int:
  """Bytes of a result in HBM."""
  return sum(shape.size for shape in i.shapes if not shape.on_chip)


def _whole(i: Instruction) -> int:
  """Bytes of a result in any memory."""
  return sum(shape.size for shape in i.shapes)
