"""The conversation itself: read a line, obey a slash command or stream an answer, show what steering cost.

Input and output are arguments, so that a test can run a conversation.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mavis_core.api.bounds import check_integer, check_number
from mavis_core.api.errors import InvalidRequestError
from mavis_core.api.guidance import MAX_BETA
from server.terminal.backend import Backend, BackendError, Piece, Turn
from server.weights import check_weights, parse_weights

HELP = """/weights cheerful=1 concise=-0.5   steer from the next turn on; without names: show them
/weights off                       the plain model
/beta 2                            strength; /beta auto: the recommended one
/temperature 0                     the likeliest tokens alone; /temperature auto: as the model has it
/seed 7                            repeatable answers; /seed off
/objectives                        what there is to steer towards
/reset                             forget the conversation
/quit"""


async def read_terminal() -> str:
    return await asyncio.to_thread(input, "> ")


@dataclass(slots=True)
class Repl:
    backend: Backend
    console: Console
    read: Callable[[], Awaitable[str]] = read_terminal
    weights: dict[str, float] = field(default_factory=dict)
    beta: float | None = None
    temperature: float | None = None
    seed: int | None = None
    messages: list[dict[str, str]] = field(default_factory=list)

    async def run(self) -> None:
        """Run the conversation until /quit, the end of input or Ctrl-C."""
        try:
            await self._objectives("")
            self.console.print("[dim]/weights name=1 steers, /help lists the commands[/]")
            while True:
                line = (await self.read()).strip()
                if line in ("/quit", "/exit"):
                    return
                if line.startswith("/"):
                    await self._obey(line)
                elif line:
                    await self._ask(line)
        except BackendError as error:  # of the first request; errors of a turn are shown and the conversation goes on
            self._complain(error)
        except (EOFError, KeyboardInterrupt, asyncio.CancelledError):
            self.console.print()
        finally:
            await self.backend.close()

    async def _obey(self, line: str) -> None:
        name, _, rest = line[1:].partition(" ")
        commands = {
            "weights": self._weights,
            "beta": self._beta,
            "temperature": self._temperature,
            "seed": self._seed,
            "objectives": self._objectives,
            "reset": self._reset,
            "help": self._help,
        }
        command = commands.get(name)
        if command is None:
            self._complain(f"unknown command /{name}; /help lists them")
            return
        try:
            await command(rest.strip())
        except (InvalidRequestError, BackendError) as error:
            self._complain(error)

    async def _ask(self, line: str) -> None:
        messages = (*self.messages, {"role": "user", "content": line})
        turn = Turn(messages, dict(self.weights), self.beta, self.seed, self.temperature)
        said, last = [], Piece("")
        try:
            async for piece in self.backend.answer(turn):
                self.console.print(piece.text, end="", markup=False, highlight=False, soft_wrap=True)
                said.append(piece.text)
                last = piece
        except BackendError as error:
            self._complain(error)
            return
        self.messages = [*turn.messages, {"role": "assistant", "content": "".join(said)}]
        self.console.print()
        self._show_cost(last)

    def _show_cost(self, last: Piece) -> None:
        values = "  ".join(f"{name} {mean:+.2f}" for name, mean in last.values.items())
        if last.kl_nats:
            cost = f"KL {last.kl_nats:.2f} nats, {last.kl_per_token:.3f} per token   {values}"
        else:
            cost = "not steered"
        self.console.print(f"[dim]{escape(cost)}[/]")

    async def _weights(self, rest: str) -> None:
        if rest == "off":
            self.weights = {}
        elif rest:
            weights = parse_weights(",".join(rest.replace(",", " ").split()), "/weights")
            check_weights(weights, await self.backend.objectives())
            self.weights = weights
        shown = ", ".join(f"{name}={weight:g}" for name, weight in self.weights.items())
        self.console.print(f"weights: {escape(shown) or 'none, the plain model'}")

    async def _beta(self, rest: str) -> None:
        self.beta = None if rest == "auto" else check_number("beta", _number(rest), 0, MAX_BETA)
        self.console.print(f"beta: {'recommended' if self.beta is None else self.beta}")

    async def _temperature(self, rest: str) -> None:
        self.temperature = None if rest == "auto" else check_number("temperature", _number(rest), 0, 2)
        self.console.print(f"temperature: {'as the model has it' if self.temperature is None else self.temperature}")

    async def _seed(self, rest: str) -> None:
        self.seed = None if rest == "off" else check_integer("seed", _number(rest, int), -(2**63), 2**63 - 1)
        self.console.print(f"seed: {'none' if self.seed is None else self.seed}")

    async def _objectives(self, _: str) -> None:
        table = Table("objective", "what it is", "beta", "weights", box=None)
        for objective in await self.backend.objectives():
            low, high = objective.weight_range
            beta = f"{objective.recommended_beta:g}"
            table.add_row(objective.name, escape(objective.description), beta, f"{low:g} to {high:g}")
        self.console.print(table)

    async def _reset(self, _: str) -> None:
        self.messages = []
        self.console.print("the conversation is forgotten; weights stay")

    async def _help(self, _: str) -> None:
        self.console.print(HELP, markup=False, highlight=False)

    def _complain(self, what: object) -> None:
        self.console.print(f"[red]{escape(str(what))}[/]")


def _number(text: str, kind: type[int] | type[float] = float) -> object:
    """The number, or the text itself, which the range check then refuses by name."""
    try:
        return kind(text)
    except ValueError:
        return text
