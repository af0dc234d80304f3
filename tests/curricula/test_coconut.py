import random
from collections import Counter

import numpy as np
import pytest

from hybrid_latent.curricula.coconut import coconut
from hybrid_latent.curricula.cot import worked_solutions

PROMPT = [7, 8, 9]


def completion(tokenizer, row, stage, rng=None, **options):
  made = coconut(tokenizer, **options).document(PROMPT, row, stage, rng)
  return tokenizer.decode(made.tokens[3:])


def span(latents):
  return f'<start-latent>{"<latent>" * latents}<end-latent>'


def test_stage_0_is_training_on_worked_solutions(tokenizer, row, rng):
  plain = worked_solutions(tokenizer).document(PROMPT, row, 0, rng)
  made = coconut(tokenizer).document(PROMPT, row, 0, rng)
  for ours, theirs in zip(made, plain, strict=True):
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
  ('stage', 'expected'),
  [
    (1, f'{span(2)} 19-5=14 14*2=28 #### 28<|end|>'),
    (2, f'{span(4)} 14*2=28 #### 28<|end|>'),
    (3, f'{span(6)} #### 28<|end|>'),
    (4, f'{span(8)} #### 28<|end|>'),  # more latents than the row has steps for
    (5, f'{span(8)} #### 28<|end|>'),
    (9, f'{span(8)} #### 28<|end|>'),
  ],
)
def test_stage_s_drops_s_steps(stage, expected, tokenizer, row):
  assert (
    completion(tokenizer, row, stage, c_thought=2, max_latent_stage=4)
    == expected
  )


def test_after_the_last_stage_no_step_is_left(tokenizer, row):
  left = completion(tokenizer, row, 1, max_latent_stage=1)
  assert left == f'{span(1)} 19-5=14 14*2=28 #### 28<|end|>'
  assert (
    completion(tokenizer, row, 2, max_latent_stage=1)
    == f'{span(1)} #### 28<|end|>'
  )


@pytest.mark.parametrize(('pad', 'latents'), [(True, 6), (False, 3)])
def test_padding_counts_after_the_last_stage(pad, latents, tokenizer, row):
  text = completion(tokenizer, row, 7, pad_latent_to_max=pad)
  assert text == f'{span(latents)} #### 28<|end|>'
  assert (
    completion(tokenizer, row, 6, pad_latent_to_max=pad)
    == f'{span(6)} #### 28<|end|>'
  )


@pytest.mark.parametrize('stage', range(8))
def test_targets_are_what_is_left_of_the_solution(stage, tokenizer, row, rng):
  curriculum = coconut(tokenizer, c_thought=2)
  made = curriculum.document(PROMPT, row, stage, rng)
  left = ''.join([*row['steps'][stage:], row['ending']])
  targets = [*tokenizer(left).input_ids, tokenizer.eos_token_id]
  assert made.tokens[-len(targets) :].tolist() == targets
  assert made.weights[-len(targets) :].tolist() == [1.0] * len(targets)
  assert made.weights.sum() == len(targets)
  slots = made.tokens == tokenizer.get_vocab()['<latent>']
  np.testing.assert_array_equal(made.latent, slots)
  assert slots.sum() == curriculum.num_latents(stage)


@pytest.mark.parametrize(
  ('options', 'expected'),
  [
    ({}, [0, 1, 2, 3, 4, 5, 6, 6, 6]),
    ({'c_thought': 2, 'max_latent_stage': 3}, [0, 2, 4, 6, 6, 6]),
    (
      {'c_thought': 2, 'max_latent_stage': 3, 'uniform_prob': 0.3},
      [6, 6, 6, 6, 6],
    ),
    ({'c_thought': 0, 'delimiters': False}, [0, 0, 0]),
  ],
)
def test_latents_of_a_stage(options, expected, tokenizer):
  latents = coconut(tokenizer, **options).num_latents
  assert [latents(stage) for stage in range(len(expected))] == expected


def test_decoding_opens_with_the_latents_of_the_stage(tokenizer):
  spans = coconut(
    tokenizer, c_thought=2, max_latent_stage=3, uniform_prob=0.3
  ).spans
  assert [spans(stage) for stage in (0, 1, 5)] == [
    {'slots': 0, 'opening': False, 'delimiters': True},
    {'slots': 2, 'opening': True, 'delimiters': True},
    {'slots': 6, 'opening': True, 'delimiters': True},
  ]
  bare = coconut(tokenizer, c_thought=0, delimiters=False).spans
  assert bare(2) == {}


@pytest.mark.parametrize('uniform', [0, 0.5])
def test_pause_tokens_stand_where_latents_do(uniform, tokenizer, row):
  made, without = (
    coconut(tokenizer, c_thought=2, uniform_prob=uniform, pause=pause)
    for pause in (False, True)
  )
  latents, pauses = (
    x.document(PROMPT, row, 3, random.Random(0)) for x in (made, without)
  )
  assert latents.latent.any() and not pauses.latent.any()
  for name in ('tokens', 'weights'):
    np.testing.assert_array_equal(getattr(latents, name), getattr(pauses, name))
  assert without.num_latents(3) == 0 and made.spans(3) == without.spans(3)


def test_without_marks_and_latents_steps_are_only_dropped(tokenizer, row):
  options = {
    'c_thought': 0,
    'delimiters': False,
    'slot': 'none',
    'start': 'none',
  }
  text = completion(tokenizer, row, 2, **options)
  assert text == ' 14*2=28 #### 28<|end|>'
  text = completion(tokenizer, row, 1, delimiters=False)
  assert text == '<latent> 19-5=14 14*2=28 #### 28<|end|>'


def test_some_rows_draw_their_stage(tokenizer, row):
  def stages(uniform, count):
    curriculum = coconut(tokenizer, max_latent_stage=2, uniform_prob=uniform)
    rng = random.Random(0)
    return Counter(
      (made.latent.sum(), tokenizer.decode(made.tokens).count('='))
      for _ in range(count)
      for made in [curriculum.document(PROMPT, row, 1, rng)]
    )

  # (latents, steps left) of stages 0, 1, 2 and 3, which is after the last.
  every = stages(1.0, 400)
  assert set(every) == {(0, 3), (1, 2), (2, 1), (2, 0)}
  assert min(every.values()) > 70
  some = stages(0.3, 400)
  assert 280 < some[1, 2] < 340  # 0.7 + 0.3/4 of 400 is 310
  assert stages(0.0, 10) == {(1, 2): 10}


@pytest.mark.parametrize(
  ('options', 'what'),
  [
    ({'c_thought': -1}, 'c_thought=-1.*two numbers of at least 0'),
    ({'uniform_prob': 2.0}, 'uniform_prob=2.0.*a probability'),
    ({'end': '<end>'}, r"\['<end>'\].*config.model.new_tokens"),
  ],
)
def test_impossible_options_are_refused(options, what, tokenizer):
  with pytest.raises(ValueError, match=what):
    coconut(tokenizer, **options)
