"""The command ``mavis``, forked: see ``tests.forked``."""

from __future__ import annotations

from multiprocessing import forkserver

import pytest

from scripts.served import Served, free_port, ready
from server.cli.app import app
from tests.forked import Forked, fork_engines


def mavis(*words: str) -> None:
    """The command ``mavis`` with these words; an ``EngineProcess`` of its is forked, too."""
    with pytest.MonkeyPatch.context() as patch:
        # Python says that children use the fork server of their parents; left alone, each would start one (3.11).
        patch.setattr(forkserver._forkserver, "ensure_running", lambda: None)
        fork_engines(patch)
        app(list(words), prog_name="mavis")


def server(*options: str) -> Served:
    """``mavis serve``, ready, as ``scripts.served`` starts it; the caller has to end it."""
    port = free_port()
    return ready(Served(port, Forked(mavis, "serve", "--port", str(port), "--log-level", "error", *options)))
