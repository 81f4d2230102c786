"""What is served: ``/v1/models`` (OpenAI's "List models", "Retrieve model") and ``/v1/objectives``."""

from __future__ import annotations

import dataclasses

from fastapi import APIRouter
from starlette.requests import Request as HttpRequest

from mavis_core.messages import EngineInfo
from server.openapi import errors
from server.protocol.listing import ModelCard, ModelList, ObjectiveCard, ObjectiveList
from server.service import Service, service_of

router = APIRouter()


@router.get("/v1/models", summary="List the served models", responses=errors(503))
async def list_models(http: HttpRequest) -> ModelList:
    service = service_of(http)
    info = service.ready_info()
    return ModelList(object="list", data=[_card(service, name, info) for name in service.model_names(info)])


@router.get("/v1/models/{model:path}", summary="Describe one model", responses=errors(404, 503))
async def retrieve_model(http: HttpRequest, model: str) -> ModelCard:
    service = service_of(http)
    info = service.ready_info()
    return _card(service, service.check_model(model, info), info)


@router.get("/v1/objectives", summary="List what answers can be steered towards", responses=errors(503))
async def list_objectives(http: HttpRequest) -> ObjectiveList:
    info = service_of(http).ready_info()
    cards = [ObjectiveCard(object="objective", **dataclasses.asdict(objective)) for objective in info.objectives]
    return ObjectiveList(object="list", data=cards)


def _card(service: Service, name: str, info: EngineInfo) -> ModelCard:
    return ModelCard(
        id=name,
        object="model",
        created=service.started,
        owned_by="mavis",
        root=info.model,
        max_model_len=info.max_model_len,
    )
