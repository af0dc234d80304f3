import random
from pkgutil import resolve_name

import numpy as np
import pytest

from experiments.configs import hyrea_rl_math, hyrea_sft_math
from hybrid_latent.curricula.cot import worked_solutions
from hybrid_latent.curricula.hyrea import hyrea
from hybrid_latent.data import arithmetic

PROMPT = [7, 8, 9]
SPAN = '<start-latent><latent><end-latent>'


def completion(tokenizer, row, stage, rng=None, **options):
  made = hyrea(tokenizer, **options).document(PROMPT, row, stage, rng)
  return tokenizer.decode(made.tokens[3:])


@pytest.fixture
def row(row):
  return row | {'entropies': [0.3, 0.1, 0.2]}


def test_stage_0_is_training_on_worked_solutions(tokenizer, row, rng):
  plain = worked_solutions(tokenizer).document(PROMPT, row, 0, rng)
  for replace in ('entropy', 'random', 'none'):
    made = hyrea(tokenizer, replace=replace).document(PROMPT, row, 0, rng)
    for ours, theirs in zip(made, plain, strict=True):
      np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
  ('stage', 'expected'),
  [
    (1, f'12+7=19{SPAN} 14*2=28 #### 28<|end|>'),
    (2, f'12+7=19{SPAN}{SPAN} #### 28<|end|>'),
    (3, f'{SPAN}{SPAN}{SPAN} #### 28<|end|>'),
    (9, f'{SPAN}{SPAN}{SPAN} #### 28<|end|>'),
  ],
)
def test_stage_s_replaces_the_s_steps_of_lowest_entropy(
  stage, expected, tokenizer, row
):
  assert completion(tokenizer, row, stage) == expected


def test_pause_tokens_stand_where_latents_do(tokenizer, row, rng):
  made, without = (
    hyrea(tokenizer, num_latents=2, pause=pause) for pause in (False, True)
  )
  latents, pauses = (x.document(PROMPT, row, 2, rng) for x in (made, without))
  assert latents.latent.any() and not pauses.latent.any()
  for name in ('tokens', 'weights'):
    np.testing.assert_array_equal(getattr(latents, name), getattr(pauses, name))
  assert without.num_latents(2) == 0 and made.spans(2) == without.spans(2)


def test_the_choice_does_not_depend_on_the_order_of_the_steps(tokenizer):
  entropies = [0.5, 0.1, 0.4, 0.2, 0.3]
  texts = [f' {i}+1={i + 1}' for i in range(5)]
  for seed in range(20):
    order = random.Random(seed).sample(range(5), 5)
    row = {
      'steps': [texts[i] for i in order],
      'entropies': [entropies[i] for i in order],
      'ending': ' #### 1',
    }
    left = completion(tokenizer, row, 3)
    assert {text for text in texts if text in left} == {texts[0], texts[2]}


def test_of_equals_the_first_is_replaced(tokenizer, row):
  row['entropies'] = [0.1, 0.1, 0.1]
  text = completion(tokenizer, row, 1)
  assert text == f'{SPAN} 19-5=14 14*2=28 #### 28<|end|>'


@pytest.mark.parametrize('slots', [1, 3])
@pytest.mark.parametrize('stage', range(4))
def test_targets_are_what_is_visible(slots, stage, tokenizer, row, rng):
  curriculum = hyrea(tokenizer, num_latents=slots)
  made = curriculum.document(PROMPT, row, stage, rng)
  vocabulary = tokenizer.get_vocab()
  slot = made.tokens == vocabulary['<latent>']
  switch = np.isin(
    made.tokens, [vocabulary['<start-latent>'], vocabulary['<end-latent>']]
  )
  np.testing.assert_array_equal(made.latent, slot)
  assert (slot.sum(), switch.sum()) == (stage * slots, 2 * stage)
  assert not made.weights[:3].any() and not made.weights[slot].any()
  assert (made.weights[switch] == 4).all()
  visible = len(made.tokens) - 3 - slot.sum()
  assert (made.weights > 0).sum() == visible
  assert made.weights.sum() == visible + 3 * switch.sum()
  assert made.latent.sum() <= curriculum.num_latents(stage)
  assert made.tokens[-1] == tokenizer.eos_token_id
  assert not made.view.any() and not made.align_position.any()


def test_steps_that_are_too_short_stay(tokenizer, row):
  row['steps'][1] = ' He'  # one token, of the lowest entropy
  text = completion(tokenizer, row, 3)
  assert text == f'{SPAN} He{SPAN} #### 28<|end|>'
  assert ' He' not in completion(tokenizer, row, 3, min_step_tokens=1)


def test_random_steps_are_as_many_and_a_function_of_the_row(tokenizer, row):
  draw = lambda seed: completion(
    tokenizer, row, 1, random.Random(seed), replace='random'
  )
  texts = [draw(seed) for seed in range(30)]
  assert texts == [draw(seed) for seed in range(30)]
  assert len(set(texts)) == 3
  assert {text.count(SPAN) for text in texts} == {1}
  more = completion(tokenizer, row, 9, random.Random(0), replace='random')
  assert more == f'{SPAN}{SPAN}{SPAN} #### 28<|end|>'


def test_nothing_is_replaced_at_any_stage_with_none(tokenizer, row):
  curriculum = hyrea(tokenizer, replace='none')
  for stage in range(4):
    text = tokenizer.decode(
      curriculum.document(PROMPT, row, stage, None).tokens[3:]
    )
    assert text == '12+7=19 19-5=14 14*2=28 #### 28<|end|>'
    assert curriculum.num_latents(stage) == 0


@pytest.mark.parametrize(
  ('replace', 'expected'),
  [
    ('first', f'{SPAN}{SPAN} 14*2=28 #### 28<|end|>'),
    ('last', f'12+7=19{SPAN}{SPAN} #### 28<|end|>'),
    ('highest', f'{SPAN} 19-5=14{SPAN} #### 28<|end|>'),
  ],
)
def test_steps_by_place_and_of_highest_entropy(
  replace, expected, tokenizer, row
):
  assert completion(tokenizer, row, 2, replace=replace) == expected


def test_without_latents_the_steps_are_gone(tokenizer, row):
  text = completion(tokenizer, row, 2, num_latents=0)
  assert text == '12+7=19 #### 28<|end|>'
  assert hyrea(tokenizer, num_latents=0).spans(2) == {}


def test_each_row_draws_its_number_of_steps(tokenizer, row):
  def counts(probability):
    return [
      completion(
        tokenizer, row, 2, random.Random(seed), uniform_prob=probability
      ).count(SPAN)
      for seed in range(300)
    ]

  assert set(counts(0.0)) == {2}
  drawn = np.bincount(counts(1.0), minlength=3)
  assert drawn.min() > 70 and drawn.sum() == 300  # 100 each, 8 the deviation
  assert 150 < counts(0.5).count(2) < 250  # 200


def test_the_example_of_the_paper_s_config_earns_the_whole_reward(tokenizer):
  """The first stage teaches what the second one rewards."""
  row = {
    'steps': ['Two and two is four.\n', 'Twice that is eight.\n'],
    'ending': r'So it is \boxed{8}.',
    'entropies': [0.1, 0.2],
    'answer': '8',
  }
  first = hyrea_sft_math.get_config('M').curriculum.kwargs
  rewards = hyrea_rl_math.get_config('M').rewards
  assert sum(reward.weight for reward in rewards.values()) == 1
  for options, share in ((first, 1.0), ({}, 0.9)):
    text = completion(tokenizer, row, 1, **options).removesuffix('<|end|>')
    total = sum(
      reward.weight
      * resolve_name(reward.function)([text], answer=['8'], **reward.kwargs)[0]
      for reward in rewards.values()
    )
    assert total == pytest.approx(share), text


def test_latents_of_a_stage(tokenizer):
  curriculum = hyrea(tokenizer, num_latents=4)
  assert [*map(curriculum.num_latents, range(4))] == [0, 4, 8, 12]
  assert curriculum.spans(2) == {'slots': 4}


def test_a_row_of_text_is_split(tokenizer, rng):
  row = arithmetic.problems('train', count=1)[0]
  text = completion(tokenizer, row, 1, rng, replace='random', num_latents=2)
  assert text.count('=') == 2 and text.count('<latent><latent>') == 1
  assert text.endswith(' #### 19<|end|>')


@pytest.mark.parametrize(
  ('fields', 'found'),
  [({}, 'found none'), ({'entropies': [0.1]}, 'found 1, .* 3 steps')],
)
def test_entropies_are_asked_for(fields, found, tokenizer, row):
  del row['entropies']
  with pytest.raises(ValueError, match=rf'{found}.*experiments.step_entropy'):
    completion(tokenizer, row | fields, 1)


@pytest.mark.parametrize(
  ('options', 'what'),
  [
    ({'num_latents': -1}, 'num_latents=-1.* at least 0'),
    ({'uniform_prob': 1.5}, 'uniform_prob=1.5.* a probability'),
    ({'replace': 'lowest'}, r"replace='lowest'.*'entropy', 'random', 'first'"),
    ({'slot': '<thought>'}, r"\['<thought>'\].*config.model.new_tokens"),
  ],
)
def test_impossible_options_are_refused(options, what, tokenizer):
  with pytest.raises(ValueError, match=what):
    hyrea(tokenizer, **options)
