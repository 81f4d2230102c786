"""Somebody who has only the pages: types what they say, and notes how long it took and where it did not go on.

A dead end is a command that fails, output that complains, an answer that is none, or a step that no page describes. The
clock runs from the first command to the first success and stands still while packages are installed.
"""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scripts.first_runs.documented import NotDocumentedError, Page
from scripts.first_runs.environment import DOCUMENTED_PORT, Environment, free_port

PATIENCE = 600
READY = "or: mavis chat --url "
"""Begins the last line that a server prints when it is ready."""
COMPLAINTS = re.compile(
    r"Traceback|\b\w*(?:Error|Exception|Warning)\b|\b(?:error|warning|failed|denied|not found)\b", re.IGNORECASE
)
TOLD = 400
"""Characters of a dead end that are kept."""


class StuckError(Exception):
    """There is no way on."""


class CannotBeHadError(Exception):
    """This machine cannot be what the newcomer has."""


@dataclass(frozen=True, slots=True)
class Step:
    typed: str
    seconds: float


@dataclass(frozen=True, slots=True)
class DeadEnd:
    step: str
    text: str


@dataclass(slots=True)
class Newcomer:
    """
    Args:
        environment: shared with others.
        home: fresh; what they make themselves goes here.
        before: words of a command line that others run before all of this one's, and variables of the shell.
    """

    environment: Environment
    home: Path
    before: tuple[str, ...] = ()
    variables: dict[str, str] | None = None
    port: int = field(default_factory=free_port)
    steps: list[Step] = field(default_factory=list)
    dead_ends: list[DeadEnd] = field(default_factory=list)
    installing: float = 0.0
    success: str | None = None
    seconds: float | None = None
    _began: float = field(default_factory=time.monotonic)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def page(self, name: str) -> Page:
        return self.environment.page(name)

    def installs(self, command: str, folder: Path) -> None:
        began = time.monotonic()
        self.types(command, folder, complaints=False)  # what pip has to say of other packages is not ours
        self.installing += time.monotonic() - began

    def types(self, command: str, folder: Path, typed: str = "", complaints: bool = True) -> str:
        """What a command printed, where it ended well; StuckError where it did not.

        Args:
            typed: into it, line by line.
            complaints: on its error stream are dead ends; else only a failure is.
        """
        began = time.monotonic()
        done = subprocess.run(
            self._shell(command), cwd=folder, env=self._variables(), input=typed, capture_output=True, text=True,
            timeout=PATIENCE,
        )  # fmt: skip
        self.steps.append(Step(self._anywhere(command), round(time.monotonic() - began, 2)))
        if done.returncode:
            raise self.stuck(command, f"ended with {done.returncode}: {(done.stdout + done.stderr)[-TOLD:]}")
        if complaints:
            self.listen(command, done.stderr)
        return done.stdout

    @contextmanager
    def serves(self, command: str, folder: Path) -> Iterator[str]:
        """What a server printed until it said what to type next; it is ended behind the block."""
        began = time.monotonic()
        with tempfile.NamedTemporaryFile() as log:
            process = subprocess.Popen(
                self._shell(command), cwd=folder, env=self._variables(), stdout=log, stderr=subprocess.STDOUT
            )
            try:
                while READY not in (said := _read(log.name)) or not said.endswith("\n"):
                    if process.poll() is not None or time.monotonic() - began > PATIENCE:
                        raise self.stuck(command, f"is not ready: {said[-TOLD:]}")
                    time.sleep(0.1)
                self.steps.append(Step(self._anywhere(command), round(time.monotonic() - began, 2)))
                yield said
            finally:
                process.terminate()
                ended = process.wait(PATIENCE)
            self.expects(ended == 0, command, f"the server ended with {ended}")
            self.listen(command, _read(log.name))

    def pastes(self, said: str, folder: Path) -> dict[str, Any]:
        """The answer to the request that a server printed for pasting, which has to be steered."""
        found = re.search(r"^curl .*?(?=\nor:)", said, re.DOTALL | re.MULTILINE)
        if found is None:
            raise self.stuck("reading what the server printed", said)
        return self.steered(found[0], self.types(found[0], folder))

    def steered(self, step: str, answer: str) -> dict[str, Any]:
        """A chat completion; StuckError: it is none, or was not steered."""
        try:
            choice: dict[str, Any] = json.loads(answer)["choices"][0]
        except (ValueError, LookupError):
            raise self.stuck(step, answer) from None
        self.expects(choice["message"]["content"] and choice["guidance"]["kl_nats"] > 0, step, f"not steered: {answer}")
        return choice

    def listen(self, step: str, said: str) -> None:
        """Whether output complains of anything."""
        for line in said.splitlines():
            if COMPLAINTS.search(line):
                self._meets(step, line)

    def expects(self, good: object, step: str, text: str) -> None:
        """Raises StuckError with ``text`` where it is not."""
        if not good:
            raise self.stuck(step, text)

    def succeeds(self, what: str) -> None:
        """The first time: the clock stops."""
        if self.success is None:
            self.success = what
            self.seconds = round(time.monotonic() - self._began - self.installing, 2)

    def stuck(self, step: str, text: str) -> StuckError:
        self._meets(step, text)
        return StuckError(text)

    @contextmanager
    def on_the_way(self) -> Iterator[None]:
        """What ends the way there is a dead end, whoever notices it."""
        try:
            yield
        except CannotBeHadError:
            raise
        except StuckError:
            pass  # noted where it was raised
        except NotDocumentedError as error:
            self._meets("looking it up", str(error))
        except Exception as error:  # whatever a browser or a client of ours met stops a newcomer just as much
            self._meets("going on", f"{type(error).__name__}: {error}")

    def _meets(self, step: str, text: str) -> None:
        self.dead_ends.append(DeadEnd(self._anywhere(step), self._anywhere(text.strip())[:TOLD]))

    def _shell(self, command: str) -> Sequence[str]:
        command = command.replace(f"127.0.0.1:{DOCUMENTED_PORT}", f"127.0.0.1:{self.port}")
        return [*self.before, "sh", "-c", f"exec {command}" if "mavis serve" in command else command]

    def _variables(self) -> dict[str, str]:
        mine = self.environment.variables(self.home) if self.variables is None else self.variables
        return mine | {"MAVIS_PORT": str(self.port)}  # the documented port may be somebody else's on this machine

    def _anywhere(self, text: str) -> str:
        """Without the folders of this machine, and with the port that the pages have."""
        text = text.replace(str(self.home), "~").replace(str(self.environment.folder), "")
        return text.replace(str(self.port), str(DOCUMENTED_PORT))


def _read(file: str) -> str:
    return Path(file).read_text(encoding="utf-8", errors="replace")
