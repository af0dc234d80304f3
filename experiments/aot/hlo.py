"""Parses the text of a compiled program (optimised HLO) into instructions."""

import re
from collections.abc import Iterator
from functools import cached_property
from math import prod
from typing import NamedTuple

_HEADER = re.compile(r'(ENTRY )?%?([\w.-]+) \(.*\{$')
_NAME = re.compile(r'\s+(ROOT )?%?([\w.-]+) = ')
_OPCODE = re.compile(r'\s*([\w-]+)\(')
_SHAPE = re.compile(r'(\w+)\[([\d,]*)\](?:\{([^}]*)\})?')
_REFERENCE = re.compile(r'%([\w.-]+)')


class Shape(NamedTuple):
  """An array, on one device."""

  dtype: str
  dims: tuple[int, ...]
  on_chip: bool  # in the on-chip memory of a TPU

  @property
  def size(self) -> int:
    """Bytes."""
    digits = re.search(r'\d+', self.dtype)
    bits = int(digits[0]) if digits else 8 * (self.dtype == 'pred')
    return -(-bits * prod(self.dims) // 8)


class Instruction(NamedTuple):
  """One line of a computation."""

  name: str
  op: str
  shapes: tuple[Shape, ...]  # of its result; several for a tuple
  operands: tuple[str, ...]  # names
  attributes: str  # the text after the operands

  def called(self, *keys: str) -> list[str]:
    """The computations that these attributes name."""
    found = []
    for key in keys:
      match = re.search(rf'\b{key}=(\{{[^}}]*\}}|%[\w.-]+)', self.attributes)
      found += _REFERENCE.findall(match[1]) if match else []
    return found

  def numbers(self, key: str) -> tuple[int, ...]:
    """The numbers of `key={1,2}`; none where it is absent."""
    match = re.search(rf'\b{key}=\{{([\d,]*)\}}', self.attributes)
    return _numbers(match[1]) if match else ()


class Computation:
  """Instructions by name; `root` is the result."""

  def __init__(self, instructions: list[Instruction], root: str):
    self.instructions = {i.name: i for i in instructions}
    self.root = self.instructions[root]

  def __iter__(self) -> Iterator[Instruction]:
    return iter(self.instructions.values())

  def __getitem__(self, name: str) -> Instruction:
    return self.instructions[name]

  @cached_property
  def parameters(self) -> dict[int, Instruction]:
    """Number -> parameter."""
    return {int(i.operands[0]): i for i in self if i.op == 'parameter'}

  @cached_property
  def users(self) -> dict[str, list[Instruction]]:
    """Name of an instruction -> the instructions that read it."""
    found: dict[str, list[Instruction]] = {
      name: [] for name in self.instructions
    }
    for instruction in self:
      for name in set(instruction.operands) & found.keys():
        found[name].append(instruction)
    return found


def computations(text: str) -> tuple[dict[str, Computation], str]:
  """All computations of a module by name, and the name of its entry."""
  found, entry = {}, ''
  name, root, instructions = '', '', []
  for line in text.splitlines():
    if header := _HEADER.match(line):
      name, root, instructions = header[2], '', []
      entry = name if header[1] else entry
    elif line.startswith('}'):
      found[name] = Computation(instructions, root)
    elif name and (named := _NAME.match(line)):
      instructions.append(_instruction(named[2], line[named.end() :]))
      root = named[2] if named[1] else root
  if not entry:
    raise ValueError(f'no ENTRY in {text[:80]!r}: accepted is optimised HLO')
  return found, entry


def _instruction(name: str, text: str) -> Instruction:
  end = _closing(text, 0) if text.startswith('(') else text.index(' ')
  shapes = tuple(
    Shape(dtype, _numbers(dims), 'T(' in layout and 'S(' in layout)
    for dtype, dims, layout in _SHAPE.findall(text[:end])
  )
  opcode = _OPCODE.match(text, end)
  assert opcode, text
  close = _closing(text, opcode.end() - 1)
  inside = text[opcode.end() : close - 1]
  operands = tuple(_REFERENCE.findall(inside)) or (inside,)
  return Instruction(name, opcode[1], shapes, operands, text[close:])


def _numbers(text: str) -> tuple[int, ...]:
  return tuple(map(int, text.split(','))) if text else ()


def _closing(text: str, start: int) -> int:
  """The index after the parenthesis that closes the one at `start`."""
  depth = 0
  for match in re.compile(r'[()]').finditer(text, start):
    depth += 1 if match[0] == '(' else -1
    if depth == 0:
      return match.end()
  raise ValueError(f'unbalanced parentheses: {text[:80]!r}')
