"""The check of refused.yaml: what is proved passes, and every way in which the list can be wrong is found."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from scripts.compat.refusals import Body, Record, Refusal, differences, without

PATH = "/v1/chat/completions"
FIELDS = Refusal(tests={"chat.t": ["all"]}, of="POST /v1/chat/completions", fields={"audio": "", "tools[0].async": ""})
STORED = Refusal(tests={"chat.t": ["retrieve"]}, endpoint="GET /v1/chat/completions/{id}")
BODY: Body = {"audio": {}, "tools": [{"name": "f", "async": True}], "n": 1}


def server(path: str, body: Body) -> tuple[int, Any]:
    """Refuses both fields, and a request without ``n``."""
    if "audio" in body:
        return 400, {"param": "audio"}
    if "async" in body["tools"][0]:
        return 400, {"param": "tools[0].async"}
    return (200, "{}") if "n" in body else (400, {"param": "n"})


def record(name: str, outcome: str = "failed", **more: Any) -> Record:
    return Record(f"tests/api_resources/chat/t.py::TestT::test_{name}[strict]", outcome, "", **more)


def refused(param: str = "audio", body: Body = BODY) -> Record:
    return record("all", status=400, error={"param": param}, method="POST", path=PATH, body=copy.deepcopy(body))


def unsupported(path: str = f"{PATH}/x", code: str = "unsupported_endpoint", status: int = 404) -> Record:
    error = {"code": code, "message": f"GET {path} is not supported by this server: why"}
    return record("retrieve", status=status, error=error, method="GET", path=path)


def test_what_is_proved_is_no_difference() -> None:
    records = [refused(), unsupported(), unsupported(status=405), record("other", "passed")]
    assert differences(records, [FIELDS, STORED], server) == []
    lacks = Refusal(tests={"chat.t": ["all"]}, of="", lacks="n")
    body: Body = {"tools": [{}]}
    assert differences([refused("n", body)], [lacks], server) == []


@pytest.mark.parametrize(
    ("records", "says"),
    [
        ([refused()], "chat.t.test_retrieve: listed, but there is no such test"),
        ([refused(), unsupported(), record("other")], "test_other[strict]: failed"),
        ([refused(), unsupported(), record("other", "skipped")], "test_other[strict]: skipped"),
        ([refused(), unsupported(), record("all", "passed")], "passes, but is listed"),
        ([refused("n"), unsupported()], "not as listed: 400 {'param': 'n'}"),
        ([refused(), unsupported(code="not_found")], "not as listed"),
        ([refused(), unsupported(status=500)], "not as listed"),
        ([refused(), unsupported(path="/v1/responses/x")], "not as listed"),
        ([record("all"), unsupported()], "not as listed"),
        ([refused(body=without(BODY, ["n"])), unsupported()], "without the listed fields: not answered: 400"),
    ],
)
def test_a_list_that_is_wrong(records: list[Record], says: str) -> None:
    (wrong,) = differences(records, [FIELDS, STORED], server)
    assert says in wrong


def test_a_field_that_is_not_refused_by_its_name() -> None:
    listed = Refusal(tests={"chat.t": ["all"]}, of="", fields={"audio": "", "tools[0].async": "", "n": ""})
    wrong = differences([refused()], [listed], server)
    assert wrong == [
        "chat.t.test_all with n alone: not refused by that name: 200 {}",
        "chat.t.test_all without the listed fields: not answered: 400 {'param': 'n'}",
    ]


def test_without() -> None:
    assert without(BODY, ["audio", "tools[0].async"]) == {"tools": [{"name": "f"}], "n": 1}
    with pytest.raises(KeyError):  # the list names what the request does not have
        without(BODY, ["prediction"])
