"""The OpenAPI document is true: schemathesis sends what it allows and what it forbids, and knows every answer."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from tests.server.conftest import make_app
from tests.server.fake_engine import NAMES, FakeEngine
from tests.thorough import times

ENGINE = FakeEngine()
ADMIN = "admin-key-0123456789"
# Bodies that are too large are refused with another status than what is wrong in them, and tested elsewhere.
APP = make_app(ENGINE, admin_api_key=ADMIN, max_body_bytes=1 << 26)
SCHEMA = schemathesis.openapi.from_asgi("/openapi.json", APP)
# Not among them: "what the schema allows is accepted". A schema cannot say which model and objectives are loaded or
# how long a prompt may be.
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    negative_data_rejection,
    unsupported_method,
]


@SCHEMA.hook
def map_body(context: Any, body: Any) -> Any:
    """What the schema cannot say: which names exist. Without this hardly a request would reach the engine."""
    if isinstance(body, dict):
        if isinstance(body.get("model"), str):
            body["model"] = "fake/model"
        weights = body.get("objective_weights")
        if isinstance(weights, dict) and len(weights) <= len(NAMES):
            body["objective_weights"] = dict(zip(NAMES, weights.values(), strict=False))
    return body


@SCHEMA.parametrize()
@settings(
    max_examples=times(20, 40),
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_schemathesis(case: Any) -> None:
    ENGINE.state = "ready"  # every call is the whole life of a server, which closes its engine
    case.call_and_validate(checks=CHECKS, headers={"Authorization": f"Bearer {ADMIN}"})
    assert not ENGINE.running


def test_every_endpoint_is_documented() -> None:
    page = Path("docs/api.md").read_text(encoding="utf-8")
    named = set(re.findall(r"^## `([A-Z]+ \S+)`", page, re.MULTILINE))
    paths = APP.openapi()["paths"]
    assert named == {f"{method.upper()} {path}" for path, methods in paths.items() for method in methods}


@pytest.mark.parametrize(
    "model",
    [
        "ChatCompletionRequest",
        "CompletionRequest",
        "ResponsesRequest",
        "MessagesRequest",
        "CountTokensRequest",
        "TokenizeRequest",
        "GuidanceOptions",
        "Preset",
        "LoadValueRequest",
    ],
)
def test_every_field_is_documented(model: str) -> None:
    page = Path("docs/api.md").read_text(encoding="utf-8")
    fields = APP.openapi()["components"]["schemas"][model]["properties"]
    assert not [field for field in fields if f"`{field}`" not in page]


def test_keys_are_in_the_document() -> None:
    document = make_app(FakeEngine(), api_key="k").openapi()
    assert "401" in document["paths"]["/v1/models"]["get"]["responses"]
    assert "401" not in document["paths"]["/health"]["get"]["responses"]
