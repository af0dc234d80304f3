"""A bound on the binary digits of a sympy expression, before its evaluation.

math-verify parses without evaluating; its comparison evaluates, and a single
huge integer power cannot be interrupted.
"""

from typing import Any

from hybrid_latent.extras import missing

try:
  from sympy import (
    Basic,
    Float,
    MatPow,
    MatrixBase,
    Pow,
    Product,
    Rational,
    Sum,
    Tuple,
    binomial,
    cosh,
    exp,
    factorial,
    factorial2,
    gamma,
    sinh,
    subfactorial,
  )
except ModuleNotFoundError as error:
  raise missing('train', error.name) from error

_GROWING = (factorial, factorial2, subfactorial, gamma, binomial)
_MOST = 1e6  # larger results are clipped to it


def bits(expression: Any) -> float:
  """An upper bound of the sum of the binary digits of its numbers, at most 1e6;
  any other leaf counts as 2."""
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
  parts = expression.args
  each = [bits(part) for part in parts]
  inner = sum(each)
  # The digits of base^exponent: those of the base times the exponent's value.
  if isinstance(expression, Pow | MatPow):
    return max(inner, each[0] * _largest(parts[1], each[1]))
  if isinstance(expression, exp | sinh | cosh):
    return max(inner, 2 * _largest(parts[0], inner))
  if isinstance(expression, _GROWING):
    return max(inner, inner * _largest(Tuple(*parts), inner))
  if isinstance(expression, Sum | Product):
    ends = [(end, bits(end)) for limit in parts[1:] for end in limit.args[1:]]
    terms = max((_largest(*end) for end in ends), default=1)
    return max(inner, each[0] * terms)
  return inner


def _largest(argument: Any, digits: float) -> float:
  """A bound on the value of an argument with that many binary digits; 1 for one
  with a symbol, which sympy does not evaluate."""
  return 1.0 if argument.free_symbols else 2.0 ** min(digits, 20)
