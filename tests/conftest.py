"""Before anything imports torch or the hub: one thread (the machine is shared) and no network.

Properties are checked on the same examples every time, so that a red test is about the change at hand.
"""

from __future__ import annotations

import os

import pytest
from hypothesis import settings

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["HF_HUB_OFFLINE"] = "1"
settings.register_profile("repeatable", derandomize=True, deadline=None, database=None)
settings.load_profile("repeatable")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--write-pictures", action="store_true", help="take the pictures of docs/playground.md anew")
    parser.addoption("--picture-server", help="the README's, of a server with the model that it shows")
