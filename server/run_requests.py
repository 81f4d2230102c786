"""Runs the engine requests of one HTTP request and answers with their outputs.

Everything before the first output (queue full, engine down, refused prompt) becomes a proper status, also for a
stream: its response starts only once the first output is there.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any

from starlette.responses import Response

from mavis_core.api.messages import Request, RequestOutput
from server.answers.answer import Answer
from server.held_outputs import outputs_of
from server.http.disconnect import while_connected
from server.http.left_out import left_out_of
from server.http.rate_limits import Allowance
from server.http.streams import AnswerStream, Outputs
from server.http.throttle import reserve_tokens
from server.observation import Observation
from server.resolved_request import ResolvedRequest


async def respond_with(resolved: ResolvedRequest[Any], requests: Sequence[Request], answer: Answer) -> Response:
    allowance = reserve_tokens(resolved.http, requests)
    engine, constraint, left_out = resolved.service.engine, resolved.constraint, left_out_of(resolved.http)
    runs = [
        run(i, request, outputs_of(engine, request, constraint, left_out), _observation(resolved, request), allowance)
        for i, request in enumerate(requests)
    ]
    outputs = runs[0] if len(runs) == 1 else fan_in(runs)
    if resolved.body.stream:
        first = await while_connected(resolved.http, first_of(outputs))
        return AnswerStream(answer, first, outputs)
    await while_connected(resolved.http, collect(outputs, answer))
    return Response(answer.whole(), media_type="application/json")


def _observation(resolved: ResolvedRequest[Any], request: Request) -> Observation:
    return Observation(resolved.service.metrics, request.sampling, resolved.steering.brought)


async def collect(outputs: Outputs, answer: Answer) -> None:
    async with aclosing(outputs):
        async for prompt, output in outputs:
            answer.collect(prompt, output)


async def first_of(outputs: Outputs) -> tuple[int, RequestOutput]:
    return await anext(outputs)


async def run(
    number: int,
    request: Request,
    outputs: AsyncGenerator[RequestOutput, None],
    observation: Observation,
    allowance: Allowance,
) -> Outputs:
    """The request's outputs with the number of its prompt. Companions are charged as what they are: prompts more."""
    prompts = request.prompts
    unread = sum(map(len, prompts))  # charged once something has come of it
    async with aclosing(outputs):
        try:
            async for output in outputs:
                observation.see(output)
                drawn = sum(len(delta.token_ids) for delta in output.deltas)
                allowance.spent += unread + drawn * len(prompts)
                unread = 0
                yield number, output
        except (GeneratorExit, asyncio.CancelledError):
            observation.give_up()
            raise


async def fan_in(runs: Sequence[Outputs]) -> Outputs:
    """The outputs of several requests as they come; the first error ends all of them.

    Plain tasks and not a TaskGroup: a generator may be advanced from one task and closed from another.
    """
    arrived: asyncio.Queue[tuple[int, RequestOutput] | Exception | None] = asyncio.Queue()

    async def pump(outputs: Outputs) -> None:
        try:
            async with aclosing(outputs):
                async for output in outputs:
                    arrived.put_nowait(output)
            arrived.put_nowait(None)
        except Exception as error:  # handed over, raised below
            arrived.put_nowait(error)

    tasks = [asyncio.ensure_future(pump(outputs)) for outputs in runs]
    try:
        left = len(tasks)
        while left:
            item = await arrived.get()
            if isinstance(item, Exception):
                raise item
            if item is None:
                left -= 1
            else:
                yield item
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
