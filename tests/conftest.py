"""Before anything imports torch or the hub: one thread (the machine is shared) and no network.

Properties are checked on the same examples every time, so that a red test is about the change at hand.

The files that take longest come first, so that no worker is left with one of them when the other has nothing to do.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Generator

import pytest
from hypothesis import settings

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["HF_HUB_OFFLINE"] = "1"
# Certificates that a machine trusts are of no use on loopback, and to read them takes each httpx client 40 ms.
os.environ.pop("SSL_CERT_FILE", None)
os.environ["SSL_CERT_DIR"] = "/nowhere"
settings.register_profile("repeatable", derandomize=True, deadline=None, database=None)
settings.load_profile("repeatable")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

LONGEST = (
    "tests/value_models/training/test_killed.py",
    "tests/integration/browser/test_page.py",
    "tests/integration/browser/test_accessibility.py",
    "tests/integration/test_served.py",
    "tests/integration/browser/test_chat_faults.py",
    "tests/integration/browser/test_lost_connection.py",
    "tests/mavis_core/test_engine.py",
    "tests/mavis_core/test_structured_answers.py",
    "tests/mavis_core/test_isolation.py",
    "tests/mavis_core/test_exactness.py",
    "tests/integration/test_hot_values.py",
    "tests/scripts/test_theory.py",
    "tests/server/test_engine_process.py",
    "tests/value_models/training/test_bad_input.py",
    "tests/value_models/training/test_run.py",
    "tests/value_models/training/test_joint_rounds.py",
    "tests/value_models/training/test_joint.py",
    "tests/value_models/training/test_theory.py",
    "tests/value_models/training/test_trainer.py",
    "tests/value_models/training/test_distill.py",
    "tests/server/test_openapi.py",
    "tests/server/test_restart.py",
    "tests/server/test_signals.py",
    "tests/integration/test_soak.py",
    "tests/integration/browser/test_newcomer.py",
    "tests/mavis_core/process/test_engine_process.py",
    "tests/mavis_core/schedule/test_row_fault.py",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--write-pictures", action="store_true", help="take the pictures of docs/playground.md anew")
    parser.addoption("--picture-server", help="the README's, of a server with the model that it shows")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = {path: place for place, path in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.nodeid.partition("::")[0], len(places)))


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is imported and collected is never garbage: nothing looks for any while it is, nor in it later."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()
