"""What the feedbacks share: a state that is empty, a score that is the
token's."""


def stateless(batch: int) -> tuple:
  """The state of a feedback that remembers nothing."""
  return ()


def token_log_prob(model, hidden, record, token_log_probs):
  """The score of a step whose only random choice is its token."""
  return token_log_probs
