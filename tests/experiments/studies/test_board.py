"""The board in the repository is that of the recorded rows."""

from experiments.studies import board
from experiments.studies.__main__ import load_studies


def test_the_board_and_the_page_are_those_of_the_raw_files():
  studies = load_studies()
  page = board.RESULTS.read_text()
  assert board.with_board(page, board.markdown(studies)) == page
  page = board.PAGE.read_text()
  assert board.with_claims(page, studies) == page
