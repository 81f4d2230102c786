"""OpenAI's own Python client with weights, and the guidance of its answers as a typed object.

    client = with_weights(OpenAI(base_url="http://127.0.0.1:8000/v1", api_key="none"), {"cheerful": 1})
    answer = client.chat.completions.create(model="...", messages=[...])
    print(guidance_of(answer.choices[0]).kl_per_token)

Not a client of its own: weights travel in a header, so that every method of the official one, sync or async, streaming
or not, chat, text, responses, parsing helpers, is steered without further arguments. ``extra_body`` still wins for a
single request, and is the way for ``guidance`` (beta, KL budget, reports). ``openai`` is an optional dependency (extra
``client``) and not imported here.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

from mavis_core.api.errors import InvalidRequestError
from server.protocol.answers import ChoiceGuidance
from server.weights import HEADER

if TYPE_CHECKING:
    from openai import AsyncOpenAI, OpenAI
    from pydantic import BaseModel

    Client = TypeVar("Client", OpenAI, AsyncOpenAI)


def with_weights(client: Client, weights: Mapping[str, float]) -> Client:
    """A copy of ``client``, on the same connections, whose requests are steered; {} asks for the plain model.

    Raises:
        InvalidRequestError: a weight is not a finite number.
    """
    for name, weight in weights.items():
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not math.isfinite(weight):
            raise InvalidRequestError(f"weights[{name!r}]={weight!r}: must be a finite number", "weights")
    return client.with_options(default_headers={HEADER: json.dumps(dict(weights))})


def steer(
    client: OpenAI | AsyncOpenAI, answer_id: str, weights: Mapping[str, float] | None = None, **guidance: float | None
) -> Any:
    """Steer an answer that is being streamed otherwise from its next token on; await it where ``client`` is async.

    Args:
        answer_id: the ``id`` of its chunks.
        weights: in place of all weights; None: as they are.
        guidance: ``beta`` and ``max_kl_per_token``; None is the server's default.

    Returns:
        The server's answer, a dict: what is in force, and ``from_token`` for each choice.
    """
    body: dict[str, Any] = {} if weights is None else {"objective_weights": dict(weights)}
    if guidance:
        body["guidance"] = guidance
    return client.patch(f"/requests/{quote(answer_id, safe='')}/steering", cast_to=object, body=body)


def guidance_of(answer: BaseModel) -> ChoiceGuidance | None:
    """What steering did to a choice, streamed or not, or to a response of ``/v1/responses``.

    None where there is nothing: a chunk before a choice's last, or another server's answer. Fields that a newer server
    adds are ignored.
    """
    found = (answer.model_extra or {}).get("guidance")
    if not isinstance(found, dict) or "source" not in found:  # a chunk before the last has tokens and changes only
        return None
    return ChoiceGuidance.model_validate(found, extra="ignore")
