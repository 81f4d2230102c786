"""A pytest plugin: how each test ended, and what the server said to one that failed, as lines of JSON.

It runs in the other project's environment, so it imports nothing of ours. Where a test fails because the official
client raised, the exception has the request that was sent and the error that came back, whatever the transport.
"""

from __future__ import annotations

import json
import os
from collections.abc import Generator
from typing import Any

import pytest

RECORDS = "COMPAT_RECORDS"


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: Any, call: Any) -> Generator[None, Any, None]:
    report = (yield).get_result()
    if report.when != "call" and report.passed:
        return
    raised: Any = None if call.excinfo is None else call.excinfo.value
    record = {"test": item.nodeid, "outcome": report.outcome, "raised": repr(raised)[:500]}
    if hasattr(raised, "status_code") and hasattr(raised, "response"):
        sent = raised.response.request
        record |= {
            "status": raised.status_code,
            "error": raised.body,
            "method": sent.method,
            "path": sent.url.path,
            "body": json.loads(sent.content or b"null"),
        }
    with open(os.environ[RECORDS], "a", encoding="utf-8") as lines:
        lines.write(json.dumps(record) + "\n")
