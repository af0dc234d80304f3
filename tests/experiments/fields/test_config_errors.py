"""What is said of a config file that ends in an exception."""

import pytest

from experiments.fields import config_errors
from experiments.fields.overrides import load_config

GROUP = 'config.rollout.group is called config.rollout.num_generations now'
LOCKED = (
  'from experiments.configs import rl\n'
  'def get_config():\n'
  "  config = rl.get_config('M')\n"
  '  {}\n'
  '  return config\n'
)


@pytest.mark.parametrize(
  ('source', 'end'),
  [
    (
      LOCKED.format('config.rollout.group = 3'),
      f', line 4, sets an old name: {GROUP}',
    ),
    (
      LOCKED.format('config.eval.samples = 3'),
      'config.eval.samples is called config.eval.num_generations now, '
      'config.generate.samples is called config.generate.num_generations now',
    ),
    (
      LOCKED.format('config.rollout.colour = 3'),
      'cannot be added since the config is locked: fix it',
    ),
    ('def get_config(argument): ...', 'mine.py:ARGUMENT as it takes one'),
    ('def get_config(): return 1 + None', "'NoneType': fix it, or write "),
    ('import no_such_module', "No module named 'no_such_module': fix it"),
  ],
)
def test_the_end_of_the_text(tmp_path, source, end):
  file = tmp_path / 'mine.py'
  file.write_text(source)
  with pytest.raises(ValueError) as error:
    load_config(str(file))
  assert end in str(error.value)
  assert 'Other fields' not in str(error.value)


def test_an_import_of_a_checkout_in_a_wheel(tmp_path, monkeypatch):
  monkeypatch.setattr(config_errors, 'PACKAGE', 'hybrid_latent.experiments')
  error = ModuleNotFoundError("No module named 'experiments'")
  error.name = 'experiments'
  text = config_errors.load_error(tmp_path / 'mine.py', error)
  assert text.endswith(
    'write from hybrid_latent.experiments.configs import ...'
  )
