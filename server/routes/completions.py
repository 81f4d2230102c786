"""``POST /v1/completions``: one engine request per prompt, answered together in order prompt, then choice."""

from __future__ import annotations

from dataclasses import replace

from fastapi import APIRouter
from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from mavis_core.api.sampling_params import SamplingParams
from server.answers.completions import Extras
from server.answers.text import TextAnswer
from server.http.disconnect import while_connected
from server.http.throttle import reserve_tokens
from server.openapi import body_of, errors, streamed
from server.protocol.completions import DEFAULT_MAX_TOKENS, Completion, CompletionRequest
from server.requests.resolved_request import ResolvedRequest, resolve_request
from server.requests.run_requests import respond_with
from server.requests.scoring import echo_requests, steered_echoes
from server.text.prompts import truncated, with_room

router = APIRouter()


@router.post(
    "/v1/completions",
    summary="Create a text completion",
    response_model=None,
    responses=streamed(Completion) | errors(400, 404, 413, 415, 429, 503),
    openapi_extra=body_of(CompletionRequest),
)
async def create_completion(http: HttpRequest) -> Response:
    resolved = await resolve_request(http, CompletionRequest)
    body, info, sampling = resolved.body, resolved.info, resolved.sampling
    prompts = await _prompts(resolved)
    limited = [with_room(prompt, _limited(sampling), info, "prompt") for prompt in prompts]
    echoing = await while_connected(http, echo_requests(resolved, prompts))
    if echoing:  # what is echoed is scored by them; ``prompt_logprobs`` are the model's own
        limited = [replace(limits, prompt_logprobs=body.prompt_logprobs) for limits in limited]
    requests = [
        resolved.request(prompt, limits, await resolved.prompted_text(prompt))
        for prompt, limits in zip(prompts, limited, strict=True)
    ]
    resolved.check_room(requests)
    allowance = reserve_tokens(http, [*echoing, *requests])
    echoes = await while_connected(http, steered_echoes(resolved, prompts, echoing, allowance)) if echoing else None
    answer = TextAnswer(
        f"cmpl-{body.request_id or resolved.id}",
        resolved.answer_context(prompts),
        Extras.of(body),
        await _echoed(resolved, prompts) if body.echo else None,
        body.prompt_logprobs,
        echoes,
    )
    return await respond_with(resolved, requests, answer, allowance=allowance)


async def _prompts(resolved: ResolvedRequest[CompletionRequest]) -> list[tuple[int, ...]]:
    body, limit = resolved.body, resolved.sampling.max_tokens
    room = resolved.info.max_model_len - (DEFAULT_MAX_TOKENS if limit is None else limit)
    special = body.add_special_tokens is not False
    most = None if body.truncate_prompt_tokens is not None else resolved.info.max_model_len - 1
    read = await while_connected(resolved.http, resolved.service.prompts.texts(body.prompts, special, most))
    return [truncated(prompt, body.truncate_prompt_tokens, body.truncation_side, room) for prompt in read]


async def _echoed(resolved: ResolvedRequest[CompletionRequest], prompts: list[tuple[int, ...]]) -> list[str]:
    """The prompts' texts as they were sent; decoded where only tokens were sent or a prompt was cut."""
    cut = resolved.body.truncate_prompt_tokens is not None
    both = list(zip(resolved.body.prompts, prompts, strict=True))
    unknown = [prompt for sent, prompt in both if cut or not isinstance(sent, str)]
    decoded = iter(await while_connected(resolved.http, resolved.service.prompts.decode(unknown)))
    return [sent if isinstance(sent, str) and not cut else next(decoded) for sent, _ in both]


def _limited(sampling: SamplingParams) -> SamplingParams:
    """The documented default of 16 tokens; not below ``min_tokens``."""
    if sampling.max_tokens is not None:
        return sampling
    return replace(sampling, max_tokens=max(DEFAULT_MAX_TOKENS, sampling.min_tokens))
