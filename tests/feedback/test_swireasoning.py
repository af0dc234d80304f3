"""SwiReasoning against its release, step by step in float64 numpy."""

from functools import partial
from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest

from hybrid_latent.data.chat import word_tokenizer
from hybrid_latent.feedback.swireasoning import switches
from tests import tiny
from tests.roles import inside
from tests.tiny import CLOSE, FEEDBACKS, START, STEPS, SWITCHES, sample
from tests.unrolled import unrolled

PROMPT, FEEDBACK = tiny.prompts(), FEEDBACKS['swireasoning']
rolled = partial(tiny.rolled, feedback=FEEDBACK, stops=[])


@pytest.fixture(scope='module')
def actor():
  return tiny.policy(0, FEEDBACK)


def told(actor, **settings):
  settings = {
    name: jnp.asarray(value, getattr(SWITCHES, name).dtype)
    for name, value in settings.items()
  }
  return actor._replace(feedback=SWITCHES._replace(**settings))


@pytest.mark.parametrize('window', [0, 2])
@pytest.mark.parametrize('max_switches', [0, 2])
def test_a_rollout_is_that_of_the_release(actor, window, max_switches):
  limit = STEPS - max_switches
  settings = dict(window=window, max_switches=max_switches)
  actor = told(actor, max_tokens=limit, **settings)
  out = rolled(actor, temperature=0.8)
  thinks, table = inside(out), np.float64(actor.table)
  rows = [{'mixes': True, 'since': 0, 'switches': 0} for _ in out.mask]
  latent, forced = np.zeros_like(out.mask), np.zeros_like(out.mask)
  kinds = {'words': 0, 'mixtures': 0}

  def feed(i, t, _, logits):
    row, p = rows[i], np.exp(logits - np.logaddexp.reduce(logits))
    entropy, share, mark = -(p * np.log(p)).sum(), 1.0, START
    forced[i, t] = 0 < max_switches <= row['switches'] and thinks[i, t]
    word = SWITCHES.words[out.tokens[i, t]]
    if t == 0:
      row['reference'] = entropy
    else:
      row['since'] += 1
      lower = entropy < row['reference']
      turns = lower if row['mixes'] else (
        entropy > row['reference'] and row['since'] >= window
      )  # fmt: skip
      if turns:
        row |= {'mixes': not row['mixes'], 'since': 0, 'reference': entropy}
        row['switches'] += not row['mixes']
        kinds['mixtures' if row['mixes'] else 'words'] += out.thinking_mask[
          i, t
        ]
        start, mark = (0.6, START) if row['mixes'] else (0.7, CLOSE)
        share = start + (1 - start) * min(t / limit, 1)
        word = bool(word) and row['mixes']
        latent[i, t] = not word
    latent[i, t] |= row['mixes'] and not word
    latent[i, t] &= out.thinking_mask[i, t]
    mixed = share * p @ table + (1 - share) * table[mark]
    return mixed if latent[i, t] else None

  _, logits = unrolled(actor, PROMPT, out, feed)
  np.testing.assert_array_equal(out.latent_share > 0, latent)
  np.testing.assert_array_equal(out.policy_mask, out.mask & ~forced)
  assert (out.tokens[forced] == CLOSE).all()
  assert forced.any() == bool(max_switches)
  assert kinds['words'] > 2 and (max_switches or kinds['mixtures'] > 0)
  assert (~latent & out.thinking_mask).any() and latent.any()
  log_p = logits - np.logaddexp.reduce(logits, axis=-1, keepdims=True)
  scores = np.take_along_axis(log_p, out.tokens[..., None], axis=-1)[..., 0]
  np.testing.assert_allclose(
    out.log_probs[out.mask], scores[out.mask], rtol=0, atol=1e-4
  )


@pytest.mark.parametrize('how', [{'temperature': 0.7}, {'greedy': True}])
def test_in_words_alone_it_is_discrete_decoding(actor, how):
  words = told(actor, mixtures_first=False, window=2**31 - 1)
  out = rolled(words, **how)
  plain = rolled(actor, feedback=FEEDBACKS['discrete'], **how)
  np.testing.assert_array_equal(out.tokens, plain.tokens)
  np.testing.assert_allclose(out.log_probs, plain.log_probs, rtol=0, atol=1e-5)
  assert not out.latent_share.any() and out.policy_mask.all()


def test_settings_are_traced(actor):
  first = rolled(actor)
  programs = sample._cache_size()
  for settings in (
    {'max_switches': 1},
    {'beta': 0.1},
    {'words': np.ones(tiny.CONFIG.vocab, bool)},
    {'mixtures_first': False},
  ):
    assert (rolled(told(actor, **settings)).tokens != first.tokens).any()
  assert sample._cache_size() == programs


def test_marks_and_symbols_are_tokens_of_the_tokenizer():
  tokenizer = word_tokenizer(['many'])
  tokenizer.add_tokens(['<think>', '</think>'], special_tokens=True)
  model = SimpleNamespace(table=jnp.zeros((len(tokenizer) + 5, 4)))
  found = switches(None, model, tokenizer)
  assert tokenizer.decode([int(found.start)]) == '<think>'
  assert tokenizer.decode([int(found.end)]) == '</think>'
  ids = tokenizer.convert_tokens_to_ids([*'ab7+='])
  words = np.asarray(found.words)
  assert words.shape == model.table.shape[:1] and words[ids].all()
  assert not words[
    tokenizer.convert_tokens_to_ids(['many', '!', '</think>'])
  ].any()
  assert not switches(None, model, tokenizer, symbols=False).words.any()
  with pytest.raises(ValueError, match=r"end='a b' is \d tokens: write one"):
    switches(None, model, tokenizer, end='a b')
