"""The outputs of an engine request, which is asked again with less to hold to where its structure is refused.

What becomes of a structure is known only when the engine has compiled it, before anything is generated. A constraint
that may be looser (``tools/loosening.py``) then costs a second try, and not the request.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace

from mavis_core.api.engine_client import EngineClient
from mavis_core.api.errors import InvalidRequestError
from mavis_core.api.messages import Request, RequestOutput
from server.http.left_out import LeftOut
from server.tools.use import Constraint, in_clients_words


async def outputs_of(
    engine: EngineClient, request: Request, constraint: Constraint | None, left_out: LeftOut
) -> AsyncGenerator[RequestOutput, None]:
    """What is let go of ``constraint``, that of the request's structure, is added to ``left_out`` before any output.

    Raises:
        InvalidRequestError: in the client's words, and all others that the engine raises.
    """
    begun = False
    while True:
        try:
            async with aclosing(engine.generate(request)) as outputs:
                async for output in outputs:
                    begun = True
                    yield output
            return
        except InvalidRequestError as error:
            if constraint is None:
                raise
            told = in_clients_words(error, constraint.field)
            if told is error or begun or constraint.looser is None:
                raise told from None
            constraint = constraint.looser(error)
        for place in constraint.relaxed:
            left_out.add(place)
        request = replace(request, sampling=replace(request.sampling, structure=constraint.structure))
