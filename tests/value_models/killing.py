"""Commands of ``mavis`` in a process of their own that SIGKILLs itself at a chosen moment.

The process is forked from one that has imported everything and run nothing, so that dozens of them take seconds.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain, cycle
from pathlib import Path
from typing import Any

from tests.forked import context


@dataclass(frozen=True)
class Moment:
    """The ``count``-th time that ``what`` happens.

    Attributes:
        what: "write" (of a file that is whole or absent; not of report.json, which every process writes anew),
            "engine step", "training step" or "judge's answer".
        how: of a write: "after" it, in the "middle" of it, or before its "rename".
    """

    what: str
    count: int
    how: str = "after"


AT_WRITES = (Moment("write", 4), Moment("write", 5, "middle"), Moment("write", 6, "rename"))
"""Every fourth write or so is the last of its process; an epoch writes two, so every process gets on."""


def killed_again_and_again(command: str, path: Path, first: tuple[Moment, ...] = ()) -> Iterator[Moment]:
    """Run ``command`` until it ends by itself, killed at ``first``, then at ``AT_WRITES``; the moments it died at."""
    for moment in chain(first, cycle(AT_WRITES)):
        process = context().Process(target=_run, args=(command, str(path), moment))
        process.start()
        process.join(200)
        if process.exitcode == 0:
            return
        assert process.exitcode == -signal.SIGKILL, (moment, process.exitcode)
        yield moment


def _run(command: str, path: str, moment: Moment) -> None:
    import torch

    from mavis_core.engine import Engine
    from server.cli.app import app
    from value_models import durable
    from value_models.rewards.judge_cache import JudgeCache
    from value_models.training import trainer

    torch.set_num_threads(1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    if moment.what == "write":
        durable.replace = _deadly_write(durable.replace, moment)  # type: ignore[assignment]
    else:
        owner: Any = {"engine step": Engine, "training step": trainer, "judge's answer": JudgeCache}[moment.what]
        name = {"engine step": "step", "training step": "_step", "judge's answer": "put"}[moment.what]
        setattr(owner, name, _deadly(getattr(owner, name), moment))
    app([command, path], standalone_mode=False)


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _deadly(function: Callable[..., Any], moment: Moment) -> Callable[..., Any]:
    left = moment.count

    def wrapped(*args: Any, **named: Any) -> Any:
        nonlocal left
        found = function(*args, **named)
        left -= 1
        if not left:
            _die()
        return found

    return wrapped


def _deadly_write(replace: Callable[..., Any], moment: Moment) -> Callable[..., Any]:
    left = moment.count

    def wrapped(path: Path, write: Callable[[Path], object]) -> None:
        nonlocal left
        if path.name == "report.json":
            replace(path, write)
            return
        left -= 1
        if left or moment.how == "after":
            replace(path, write)
        if left:
            return
        if moment.how != "after":
            unfinished = path.with_name(path.name + ".unfinished")
            unfinished.parent.mkdir(parents=True, exist_ok=True)
            write(unfinished)
            if moment.how == "middle":
                os.truncate(unfinished, unfinished.stat().st_size // 2)
        _die()

    return wrapped
