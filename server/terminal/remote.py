"""The terminal chat against a running server, over the same endpoints that every client uses."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import fields
from typing import Any

import httpx
import orjson

from mavis_core.api.messages import ObjectiveInfo
from server.terminal.backend import BackendError, Piece, Turn


class HttpBackend:
    def __init__(self, url: str, api_key: str | None = None) -> None:
        base = url.rstrip("/").removesuffix("/v1")
        headers = {"authorization": f"Bearer {api_key}"} if api_key else {}
        self._client = httpx.AsyncClient(base_url=base, headers=headers, timeout=httpx.Timeout(600, connect=5))

    async def objectives(self) -> list[ObjectiveInfo]:
        try:
            response = await self._client.get("/v1/objectives")
        except httpx.HTTPError as error:
            raise BackendError(f"no answer from {self._client.base_url}: {error}") from None
        if response.status_code != httpx.codes.OK:
            raise BackendError(_message(response.content))
        known = {field.name for field in fields(ObjectiveInfo)}
        cards = [{k: v for k, v in card.items() if k in known} for card in response.json()["data"]]
        ranges = [{k: tuple(v) for k, v in card.items() if k.endswith("_range") and v is not None} for card in cards]
        return [ObjectiveInfo(**card | own) for card, own in zip(cards, ranges, strict=True)]

    async def answer(self, turn: Turn) -> AsyncGenerator[Piece, None]:
        body: dict[str, Any] = {"messages": turn.messages, "stream": True, "objective_weights": turn.weights}
        if turn.beta is not None:
            body["guidance"] = {"beta": turn.beta}
        if turn.seed is not None:
            body["seed"] = turn.seed
        if turn.temperature is not None:
            body["temperature"] = turn.temperature
        try:
            async with self._client.stream("POST", "/v1/chat/completions", json=body) as response:
                if response.status_code != httpx.codes.OK:
                    raise BackendError(_message(await response.aread()))
                async for line in response.aiter_lines():
                    if line.startswith("data: {"):
                        yield _piece(orjson.loads(line.removeprefix("data: ")))
        except httpx.HTTPError as error:
            raise BackendError(f"the connection broke: {error}") from None

    async def close(self) -> None:
        await self._client.aclose()


def _piece(chunk: dict[str, Any]) -> Piece:
    if "error" in chunk:
        raise BackendError(chunk["error"]["message"])
    choice = chunk["choices"][0]
    text = choice["delta"].get("content") or ""
    if choice["finish_reason"] is None:
        return Piece(text)
    guidance = choice["guidance"]
    return Piece(text, guidance["kl_nats"], guidance["kl_per_token"], guidance["values"])


def _message(content: bytes) -> str:
    try:
        return str(orjson.loads(content)["error"]["message"])
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return content[:200].decode(errors="replace")
