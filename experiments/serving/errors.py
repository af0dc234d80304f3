"""Errors of requests, as OpenAI's API writes them."""

from typing import Any


class APIError(Exception):
  """A request that is not answered.

  Args:
    message: one sentence for the client.
    status: of the HTTP response.
    param: the field of the request that is at fault, if one is.
    code: a word for programs.
  """

  def __init__(
    self,
    message: str,
    status: int = 400,
    param: str | None = None,
    code: str | None = None,
  ):
    super().__init__(message)
    self.status, self._param, self._code = status, param, code

  def body(self) -> dict[str, Any]:
    """The JSON of the response."""
    kind = 'server_error' if self.status >= 500 else 'invalid_request_error'
    about = {'message': str(self), 'type': kind}
    return {'error': {**about, 'param': self._param, 'code': self._code}}


def invalid(param: str, value: Any, accepted: str) -> APIError:
  """The error of a field with a value that is not accepted."""
  value = [*value] if isinstance(value, tuple) else value  # JSON has lists
  message = f'{param} is {value!r:.80}: accepted is {accepted}'
  return APIError(message, 400, param, 'invalid_value')
