"""Tokens, spans, entropy and scripts of rows that are worked out by hand."""

import numpy as np
import pytest
from scipy import stats

from hybrid_latent.measures import entropy, scripts, spans, tokens
from tests.measures.rows import row

NAN = np.nan
TWO = row('..<LL>..<L>.')
NONE = row('....', thinking_tokens=2)
STARTS_AND_ENDS = row('LL..L')


def test_spans():
  assert spans.spans_of(TWO) == [(3, 5), (9, 10)]
  assert spans.spans_of(NONE) == spans.spans_of(row('')) == []
  assert spans.spans_of(STARTS_AND_ENDS) == [(0, 2), (4, 5)]


def test_where_spans_are():
  rows = [TWO, NONE, STARTS_AND_ENDS]
  found = spans.span_statistics(rows)
  assert found['spans'] == pytest.approx(4 / 3)
  assert found['with_spans'] == pytest.approx(2 / 3)
  assert found['block_length'] == pytest.approx(6 / 4)
  assert found['position'] == pytest.approx((3 / 12 + 9 / 12 + 0 + 4 / 5) / 4)
  bins = spans.position_histogram(rows, 2)
  assert bins == [
    {'from': 0, 'to': 0.5, 'spans': 2},
    {'from': 0.5, 'to': 1, 'spans': 2},
  ]
  assert spans.length_histogram(rows) == [
    {'latents': 1, 'spans': 2},
    {'latents': 2, 'spans': 2},
  ]
  assert np.isnan(spans.span_statistics([NONE])['position'])


def test_spans_that_begin_where_the_entropy_is_high():
  """The mark chose; the latents and the marks of the end did not."""
  traced = row('..<L>..<L>.', entropy=[1, 2, 8, 9, 9, 1, None, 7, 9, 9, 3])
  begins, entropies = [0, 0, 1, 0, 1, 0], [1, 2, 8, 1, 7, 3]
  expected = stats.pointbiserialr(begins, entropies).statistic
  assert spans.token_correlation([traced]) == pytest.approx(expected)
  unmarked = row('.L.', entropy=[1.0, 5.0, 2.0])
  expected = stats.pointbiserialr([0, 1, 0], [1, 5, 2]).statistic
  assert spans.token_correlation([unmarked]) == pytest.approx(expected)
  assert np.isnan(spans.token_correlation([NONE]))


def test_steps_with_spans_and_their_entropy():
  """Four steps, of which the last has no words."""
  traced = row(
    '..<L>.LL..LL',
    tokens=['a', 'b\n', '', '', '', '\n\n', '', '', 'c', '.\n', '', ''],
    entropy=[3.0, 1, 9, 9, 9, 4, 9, 9, 1, None, 9, 9],
  )
  more = row('..', tokens=['a', '\n'], entropy=[6.0, 6.0])
  expected = stats.spearmanr([0, 1, 1, 0], [2, 4, 1, 6]).statistic
  assert spans.step_correlation([traced, more]) == pytest.approx(expected)
  assert np.isnan(spans.step_correlation([]))


def test_the_entropy_at_each_index_of_the_thinking():
  rows = [
    row('....', entropy=[1.0, None, 3.0, 9.0], thinking_tokens=3),
    row('..', entropy=[2.0, None]),
    row('.', thinking_tokens=0),
  ]
  mean, count = entropy.entropy_by_position(rows)
  assert mean == pytest.approx([1.5, NAN, 3], nan_ok=True)
  assert count.tolist() == [2, 0, 1]
  mean, count = entropy.entropy_by_position([])
  assert mean.shape == count.shape == (0,)


def test_the_entropy_around_spans():
  traced = row('.' * 4 + '<LL>' + '.' * 3 + '<L>.', entropy=[*range(15)])
  found = entropy.entropy_around_spans([traced, NONE], width=2)
  assert found == pytest.approx(
    {
      'before': np.mean([2, 3, 9, 10]),
      'inside': np.mean([5, 6, 12]),
      'after': np.mean([8, 14]),
      'elsewhere': np.mean([0, 1, 0, 0.1, 0.2, 0.3]),
    }
  )
  assert np.isnan(entropy.entropy_around_spans([NONE])['inside'])


def test_the_columns_of_hyrea():
  cut = row('..', truncated=True, forced_tokens=1)
  found = tokens.token_counts([TWO, cut])
  assert found == pytest.approx(
    {
      'tokens': (8 + 2) / 2,
      'tokens_with_marks': (12 + 2) / 2,
      'switches': 1,
      'latent_tokens': 1.5,
      'thinking_tokens': 7,
      'hidden_ratio': 3 / (11 + 1),
      'truncated': 0.5,
      'forced': 0.5,
    }
  )


def test_the_hidden_ratio_is_over_the_inputs_of_the_thinking():
  """Of which the last token of a completion is none, and the answer neither."""
  mixed = row('LLLL', latent_share=[0.2, 0.4, None, 0.9], thinking_tokens=4)
  answer = row('L.L.', latent_share=[0.6, 0, 1, 0], thinking_tokens=2)
  found = tokens.hidden_ratio([mixed, answer, row('')])
  assert found == pytest.approx((0.2 + 0.4 + 0.6 + 0) / 4)
  assert np.isnan(tokens.hidden_ratio([row('..', thinking_tokens=0)]))


def test_scripts_of_texts():
  assert scripts.scripts_of('x = 2π, 3½ ± ∑ 𝑥 ｘ ²!') == {'LATIN'}
  assert scripts.scripts_of('数学') == {'CJK'}
  assert scripts.scripts_of('Да') == {'CYRILLIC'}
  assert scripts.scripts_of('カ') == scripts.scripts_of('ｶ') == {'KATAKANA'}
  assert scripts.scripts_of('\ud800 \x00 �') == set()


def test_tokens_in_another_script():
  english = row(
    '.....<LL>',
    tokens=['So', ' 12', ' 所以', ' α', 'да', '<b>', '开', '开', '</b>'],
    latent_share=[0, 0, 0.3, 0, 0, 0, 0.5, 1, 0],
  )
  chinese = row('..', question='多少', tokens=['所以', 'so'])
  found = scripts.other_script_share([english, chinese])
  assert found == pytest.approx((3 + 1) / (4 + 2))
  assert np.isnan(scripts.other_script_share([row('.', tokens=['7'])]))
