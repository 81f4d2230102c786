"""``/tokenize``, ``/detokenize`` and ``/tokenizer_info``: text to token ids and back, without running the model."""

from __future__ import annotations

import orjson
from fastapi import APIRouter
from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from mavis_core.api.bounds import check_token_ids
from server.http.disconnect import while_connected
from server.openapi import body_of, errors
from server.protocol.tokens import Detokenized, DetokenizeRequest, Tokenized, TokenizeRequest, TokenizerInfo
from server.requests.read_request import read_request
from server.requests.unknown_fields import note_unused
from server.service import service_of
from server.steering import find_model
from server.text.prompts import Prompts

router = APIRouter()
REFUSALS = errors(400, 404, 413, 415, 429, 503)


@router.post(
    "/tokenize",
    summary="Text or messages to token ids",
    response_model=Tokenized,
    responses=REFUSALS,
    openapi_extra=body_of(TokenizeRequest),
)
async def tokenize(http: HttpRequest) -> Response:
    service, info, body = await read_request(http, TokenizeRequest)
    await find_model(service, body.model, info)
    body.check()
    if body.messages is not None:
        note_unused(http, body.rendering())
    tokens, spelled = await while_connected(http, _read(service.prompts, body))
    answer = {"count": len(tokens), "max_model_len": info.max_model_len, "tokens": tokens, "token_strs": spelled}
    return Response(orjson.dumps(answer), media_type="application/json")  # a model would check every id


async def _read(prompts: Prompts, body: TokenizeRequest) -> tuple[list[int], list[str] | None]:
    if body.messages is not None:
        tokens = list(await prompts.chat(body.messages, body.rendering()))
    else:
        tokens = await prompts.tokens(body.prompt or "", body.add_special_tokens is not False)
    return tokens, await prompts.spelled(tokens) if body.return_token_strs else None


@router.get("/tokenizer_info", summary="Describe the tokenizer", responses=errors(503))
async def tokenizer_info(http: HttpRequest) -> TokenizerInfo:
    service = service_of(http)
    info = service.ready_info()
    return TokenizerInfo(model_max_length=info.max_model_len, vocab_size=info.vocab_size, **service.prompts.described())


@router.post("/detokenize", summary="Token ids to text", responses=REFUSALS, openapi_extra=body_of(DetokenizeRequest))
async def detokenize(http: HttpRequest) -> Detokenized:
    service, info, body = await read_request(http, DetokenizeRequest)
    await find_model(service, body.model, info)
    check_token_ids("tokens", body.tokens, info.vocab_size)
    (text,) = await while_connected(http, service.prompts.decode([body.tokens]))
    return Detokenized(prompt=text)
