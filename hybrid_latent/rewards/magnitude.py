"""How many binary digits sympy would need to write an expression out.

math-verify reads without evaluating; to compare, sympy evaluates, and one huge
integer power is an operation that nothing interrupts.
"""

from typing import Any

from sympy import (
  Basic,
  Float,
  MatrixBase,
  MatPow,
  Pow,
  Product,
  Rational,
  Sum,
  binomial,
  cosh,
  exp,
  factorial,
  factorial2,
  gamma,
  sinh,
  subfactorial,
)

_GROWING = (factorial, factorial2, subfactorial, gamma, binomial)
_MOST = 1e6  # more is not told apart


def bits(expression: Any) -> float:
  """An upper bound of the binary digits of every number in it, at most 1e6; a
  symbol counts as 2. Numbers in sequences and matrices are added up."""
  return min(_bits(expression), _MOST)


def _bits(expression: Any) -> float:
  if isinstance(expression, Rational):
    return max(int(expression.p).bit_length(), int(expression.q).bit_length())
  if isinstance(expression, Float):
    return abs(expression._mpf_[2]) + expression._prec
  if isinstance(expression, MatrixBase):
    return sum(map(bits, expression.flat()))
  if not isinstance(expression, Basic) or not expression.args:
    return 2
  each = [bits(part) for part in expression.args]
  inner = sum(each)
  if isinstance(expression, Pow | MatPow):
    base, power = each
    return max(inner, base * _value(power))
  if isinstance(expression, exp | sinh | cosh):
    return max(inner, 2 * _value(inner))
  if isinstance(expression, _GROWING):
    return _value(inner) * inner
  if isinstance(expression, Sum | Product):
    ends = [bits(end) for limit in expression.args[1:] for end in limit[1:]]
    return max(inner, each[0] * _value(max(ends, default=0)))
  return inner


def _value(digits: float) -> float:
  """The largest number of so many binary digits."""
  return 2.0 ** min(digits, 20)
