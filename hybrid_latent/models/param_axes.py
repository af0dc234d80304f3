"""The dimensions of each parameter, for the sharding table."""

# The letters of each projection, whose weight is stored as [out, in].
_PROJECTIONS = {
  'q': ('n', 'd'),
  'k': ('k', 'd'),
  'v': ('k', 'd'),
  'o': ('d', 'n'),
  'gate': ('f', 'd'),
  'up': ('f', 'd'),
  'down': ('d', 'f'),
}
# The letters of parameters outside the layers: embedding and head, HRPO's gate,
# CODI's projector, f_in and f_out of LRT's reasoner.
_TABLES = {
  'embedding': 'v d',
  'head': 'v d',
  'w_r': 'e d',
  'w_i': 'e d',
  'expand': 'e d',
  'contract': 'd e',
  'f_in': 'e d',
  'f_out': 'd e',
}


def param_axes(name: str) -> str | None:
  """The letters of a parameter by its dotted name, for the sharding table;
  None for the small ones, which are replicated."""
  *_, module, leaf = ['', '', *name.split('.')]
  if leaf in ('a', 'b') and module == 'lora':
    fan_out, fan_in = _PROJECTIONS[name.split('.')[-3]]
    return f'l r {fan_in}' if leaf == 'a' else f'l {fan_out} r'
  if leaf == 'weight' and module in _PROJECTIONS:
    return ' '.join(['l', *_PROJECTIONS[module]])
  if leaf == 'bias' and module in _PROJECTIONS:
    return f'l {_PROJECTIONS[module][0]}'
  return _TABLES.get(module if leaf == 'weight' else leaf)
