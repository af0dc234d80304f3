import re

import pytest

from experiments.named import named
from hybrid_latent.feedback.gated import Gate, gated
from hybrid_latent.rewards.hrpo import gsm8k

FEEDBACK = 'hybrid_latent.feedback'


def test_a_short_name_is_one_of_the_package():
  assert named('gated:gated', FEEDBACK) is gated
  assert named('gated:Gate', FEEDBACK) is Gate


def test_a_dotted_name_is_any_module(tmp_path, monkeypatch):
  assert named('hybrid_latent.rewards.hrpo:gsm8k', FEEDBACK) is gsm8k
  (tmp_path / 'my_project').mkdir()
  (tmp_path / 'my_project' / 'idea.py').write_text('def feedback(): return 7')
  monkeypatch.syspath_prepend(str(tmp_path))
  assert named('my_project.idea:feedback', FEEDBACK)() == 7


@pytest.mark.parametrize(
  ('spec', 'told'),
  [
    ('gated', "'gated': write 'module:function'; hybrid_latent.feedback has"),
    ('gated:', "'gated:': write 'module:function'"),
    ('gate:gated', "'gate:gated': no module hybrid_latent.feedback.gate; "),
    ('no.such:f', "'no.such:f': no module no.such; "),
    (':f', "':f': no module hybrid_latent.feedback.; "),
    (
      'gated:soft',
      "'gated:soft': hybrid_latent.feedback.gated has "
      "['Gate', 'gated', 'mixture']",
    ),
    ('gated:C', "'gated:C': hybrid_latent.feedback.gated has ['Gate', "),
  ],
)
def test_an_unknown_name_lists_what_there_is(spec, told):
  with pytest.raises(ValueError, match=re.escape(told)) as error:
    named(spec, FEEDBACK)
  if 'no module' in told or 'write' in told:
    assert str(error.value).endswith("has ['base', 'discrete', 'gated']")


def test_a_module_that_misses_another_says_which(tmp_path, monkeypatch):
  """Its own error, not ours: the name was right."""
  (tmp_path / 'broken_idea').mkdir()
  (tmp_path / 'broken_idea' / 'idea.py').write_text('import broken')
  monkeypatch.syspath_prepend(str(tmp_path))
  with pytest.raises(ModuleNotFoundError, match="No module named 'broken'"):
    named('broken_idea.idea:f', FEEDBACK)
