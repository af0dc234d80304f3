import numpy as np
import pytest

from hybrid_latent.curricula.codi import codi
from hybrid_latent.curricula.cot import worked_solutions

PROMPT = [7, 8, 9]
CUE = ' The answer is:'


def parts(made):
  """(tokens, weights, latent, cue) of the student and of the teacher."""
  return [
    tuple(x[made.view == part] for x in (*made[:3], made.align_position))
    for part in (0, 1)
  ]


def test_student_and_teacher_read(tokenizer, row, rng):
  made = codi(tokenizer, num_latents=3, cue=CUE).document(PROMPT, row, 0, rng)
  assert (np.diff(made.view) >= 0).all()
  student, teacher = parts(made)
  assert tokenizer.decode(student[0][3:]) == (
    f'<start-latent>{"<latent>" * 3}<end-latent> The answer is: 28<|end|>'
  )
  assert tokenizer.decode(teacher[0][3:]) == (
    '12+7=19 19-5=14 The answer is: 28<|end|>'
  )
  for tokens, weights, _, _ in (student, teacher):
    assert tokens[:3].tolist() == PROMPT
    assert not weights[:3].any()
    assert tokens[-1] == tokenizer.eos_token_id


def test_the_last_step_can_be_left_in(tokenizer, row, rng):
  curriculum = codi(tokenizer, last_step=True, cue=CUE)
  _, (tokens, *_) = parts(curriculum.document(PROMPT, row, 0, rng))
  assert tokenizer.decode(tokens[3:]) == (
    '12+7=19 19-5=14 14*2=28 The answer is: 28<|end|>'
  )


def test_targets_begin_after_the_forced_tokens(tokenizer, row, rng):
  made = codi(tokenizer, teacher=0.5, cue=CUE).document(PROMPT, row, 0, rng)
  said = len(tokenizer(f'{CUE} 28').input_ids) + 1
  work = len(tokenizer('12+7=19 19-5=14').input_ids)
  (_, student, latent, _), (_, teacher, none, _) = parts(made)
  assert student.tolist() == [0.0] * (3 + 1 + 6 + 1) + [1.0] * said
  assert teacher.tolist() == [0.0] * 3 + [0.5] * (work + said)
  assert np.flatnonzero(latent).tolist() == [4, 5, 6, 7, 8, 9]
  assert not none.any()


@pytest.mark.parametrize('which', ['tokenizer', 'smollm2'])
@pytest.mark.parametrize('cue', ['The answer is:', ' ####', '\nSo'])
@pytest.mark.parametrize('answer', ['28', '-5', '3.5', 'yes'])
def test_the_cue_predicts_the_answer_in_both_parts(
  which, cue, answer, request, row, rng
):
  tokenizer = request.getfixturevalue(which)
  row['answer'] = answer
  made = codi(tokenizer, cue=cue).document(PROMPT, row, 0, rng)
  places = []
  for tokens, _, _, marked in parts(made):
    (at,) = np.flatnonzero(marked)
    before, after = tokenizer.decode(tokens[: at + 1]), tokens[at + 1 :]
    assert before.rstrip().endswith(cue.strip())
    rest = tokenizer.decode(after[:-1])
    assert rest.strip() == answer
    assert tokenizer.decode(after[:1]).strip()  # no blank is the first token
    places.append((tokens[at], *after))
  assert places[0] == places[1]


def test_a_tokenizer_that_parts_blank_and_number_has_the_cue_at_the_blank(
  tokenizer, row, rng
):
  made = codi(tokenizer, cue=' ####').document(PROMPT, row, 0, rng)
  cues = tokenizer.convert_ids_to_tokens(
    made.tokens[made.align_position].tolist()
  )
  assert cues == ['Ġ', 'Ġ']
  made = codi(tokenizer, cue=' ####').document(
    PROMPT, row | {'answer': 'He'}, 0, rng
  )
  cues = tokenizer.convert_ids_to_tokens(
    made.tokens[made.align_position].tolist()
  )
  assert cues == ['Ġ####', 'Ġ####']


def test_without_latents_the_student_answers_at_once(tokenizer, row, rng):
  made = codi(tokenizer, num_latents=0, cue=' ####').document(
    PROMPT, row, 0, rng
  )
  tokens, weights, latent, _ = parts(made)[0]
  plain = worked_solutions(tokenizer, steps=False)
  plain = plain.document(PROMPT, row, 0, rng)
  # Up to the two forced tokens.
  assert np.delete(tokens, [3, 4]).tolist() == plain.tokens.tolist()
  assert np.delete(weights, [3, 4]).tolist() == plain.weights.tolist()
  assert not latent.any()


def test_every_stage_is_the_same(tokenizer, row, rng):
  curriculum = codi(tokenizer)
  first = curriculum.document(PROMPT, row, 0, rng)
  later = curriculum.document(PROMPT, row, 5, rng)
  for a, b in zip(first, later, strict=True):
    np.testing.assert_array_equal(a, b)
  assert [*map(curriculum.num_latents, range(3))] == [6, 6, 6]
  assert curriculum.spans(1) == {'slots': 6, 'opening': True}


@pytest.mark.parametrize('answer', ['', '  ', ['28', '29']])
def test_an_answer_is_one_text(answer, tokenizer, row, rng):
  with pytest.raises(ValueError, match=r"row\['answer'\] = .*one text"):
    codi(tokenizer).document(PROMPT, row | {'answer': answer}, 0, rng)


@pytest.mark.parametrize(
  ('options', 'what'),
  [
    ({'num_latents': -1}, 'num_latents=-1: write 0 or more'),
    ({'cue': ''}, "cue='' has no token"),
    ({'start': '<bot>'}, r"\['<bot>'\].*config.model.new_tokens"),
  ],
)
def test_impossible_options_are_refused(options, what, tokenizer):
  with pytest.raises(ValueError, match=what):
    codi(tokenizer, **options)
