"""A progress bar in the terminal that loading moves."""

from __future__ import annotations

from dataclasses import dataclass, field

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn


@dataclass(slots=True)
class LoadingBar:
    console: Console
    _bar: Progress = field(init=False)

    def __post_init__(self) -> None:
        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
        self._bar = Progress(*columns, console=self.console, transient=True)
        self._bar.add_task("loading", total=1.0)

    def __enter__(self) -> LoadingBar:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def __call__(self, stage: str, fraction: float) -> None:
        self._bar.update(self._bar.task_ids[0], description=escape(stage), completed=fraction)
