"""Floating point operations of the matmuls in a compiled program."""

import re
from math import prod

import numpy as np

from .hlo import Computation, Instruction


def matmul_flops(computation: Computation, i: Instruction) -> float:
  """Two per multiplication of a matmul; 0 for any other instruction, which no
  machine is bound by."""
  if i.op == 'dot':
    contracted = i.numbers('lhs_contracting_dims')
  elif i.op == 'convolution':
    return _convolution(computation, i)
  elif i.op == 'custom-call':  # cuBLAS
    found = re.search(
      r'"lhs_contracting_dimensions":\[([\d",]*)\]', i.attributes
    )
    if not found:
      return 0
    contracted = tuple(map(int, re.findall(r'\d+', found[1])))
  else:
    return 0
  (left,) = computation[i.operands[0]].shapes
  depth = prod(left.dims[axis] for axis in contracted)
  return 2 * prod(i.shapes[0].dims) * depth


def _convolution(computation: Computation, i: Instruction) -> float:
  """A matmul of the TPU compiler: batch dimensions are spatial ones, dilated so
  that each position meets its own kernel only."""
  labels = re.search(r'dim_labels=(\w+)_(\w+)->(\w+)', i.attributes)
  assert labels, i
  (data,), (kernel,) = (computation[name].shapes for name in i.operands[:2])
  sizes = [
    dict(zip(names, shape.dims, strict=True))
    for names, shape in zip(
      labels.groups(), (data, kernel, i.shapes[0]), strict=True
    )
  ]
  data, kernel, out = sizes
  spatial = sorted(set(kernel) - set('io'))
  met = prod(
    _met(data[axis], kernel[axis], out[axis], _window(i, int(axis)))
    for axis in spatial
  )
  return 2 * out['b'] * out['f'] * kernel['i'] * met


def _window(i: Instruction, axis: int) -> dict[str, int]:
  """Stride, padding and dilations of a spatial dimension."""
  found = re.search(r'window=\{([^}]*)\}', i.attributes)
  fields = dict(x.split('=') for x in found[1].split()) if found else {}
  at = lambda name, default: fields.get(name, 'x'.join([default] * (axis + 1)))
  number = lambda name: int(at(name, '1').split('x')[axis])
  return {
    'stride': number('stride'),
    'pad': int(at('pad', '0_0').split('x')[axis].split('_')[0]),
    'lhs_dilate': number('lhs_dilate'),
    'rhs_dilate': number('rhs_dilate'),
  }


def _met(data: int, kernel: int, out: int, window: dict[str, int]) -> int:
  """The pairs of output and kernel positions that read an element, not padding
  or a hole of the dilation."""
  starts = np.arange(out)[:, None] * window['stride'] - window['pad']
  read = starts + np.arange(kernel) * window['rhs_dilate']
  dilate = window['lhs_dilate']
  real = (read >= 0) & (read <= (data - 1) * dilate) & (read % dilate == 0)
  return int(real.sum())
