"""What the dimensions of each parameter are, for the sharding table."""

# The letters of each projection, as its weight is stored: [out, in].
_PROJECTIONS = {
  'q': ('n', 'd'),
  'k': ('k', 'd'),
  'v': ('k', 'd'),
  'o': ('d', 'n'),
  'gate': ('f', 'd'),
  'up': ('f', 'd'),
  'down': ('d', 'f'),
}
# And of what is no layer's: the vocabulary, HRPO's gate, CODI's projector,
# the ends of LRT's reasoner.
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
  None for the small ones, of which every device keeps a copy."""
  *_, owner, part = ['', '', *name.split('.')]
  if part in ('a', 'b') and owner == 'lora':
    out, into = _PROJECTIONS[name.split('.')[-3]]
    return f'l r {into}' if part == 'a' else f'l {out} r'
  if part == 'weight' and owner in _PROJECTIONS:
    return ' '.join(['l', *_PROJECTIONS[owner]])
  if part == 'bias' and owner in _PROJECTIONS:
    return f'l {_PROJECTIONS[owner][0]}'
  return _TABLES.get(owner if part == 'weight' else part)
