"""Range checks for numbers that come from a request.

One rule for all of them: a real, finite number inside the stated closed range, else an ``InvalidRequestError`` that
names the field, the value and the range. Tensors are float32, whose smallest normal number is 2^-126: a number closer
to 0 is set to 0 here, and not somewhere on a device, so that whoever asks whether a number is 0 (is this request
guided? is it greedy?) gets the answer that the tensors act on.
"""

from __future__ import annotations

from collections.abc import Collection

from mavis_core.api.errors import InvalidRequestError

SMALLEST = 2.0**-126


def check_number(param: str, value: object, low: float, high: float) -> float:
    """Return ``value`` as float if it is a finite number in [low, high], 0.0 for a denormal; bools are not numbers.

    Raises:
        InvalidRequestError: naming ``param``, the value and the range.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InvalidRequestError(f"{param}={value!r}: must be a number from {low:g} to {high:g}", param)
    if not low <= value <= high:  # false for NaN and infinities; an integer may be too big for a float
        shown = f"{value:g}" if isinstance(value, float) else value
        raise InvalidRequestError(f"{param}={shown}: must be {low:g} to {high:g}", param)
    return 0.0 if abs(value) < SMALLEST else float(value)


def check_positive(param: str, value: float, high: float, least: float) -> float:
    """Return ``value`` if it is in (0, high]; a number below ``least`` counts as ``least``."""
    number = check_number(param, value, 0, high)
    if value == 0:
        raise InvalidRequestError(f"{param}=0: must be above 0, up to {high:g}", param)
    return max(number, least)


def check_integer(param: str, value: object, low: int, high: int) -> int:
    """Return ``value`` if it is an integer in [low, high]; 3.0 and True are not integers."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidRequestError(f"{param}={value!r}: must be an integer from {low} to {high}", param)
    if not low <= value <= high:
        raise InvalidRequestError(f"{param}={value}: must be {low} to {high}", param)
    return value


def check_token_ids(param: str, token_ids: Collection[int], vocab_size: int) -> None:
    """Refuse ids that the vocabulary does not have, naming the first of them."""
    if token_ids and not 0 <= min(token_ids) <= max(token_ids) < vocab_size:
        wrong = next(token for token in token_ids if not 0 <= token < vocab_size)
        raise InvalidRequestError(f"{param}: token id {wrong} is not from 0 to {vocab_size - 1}", param)
