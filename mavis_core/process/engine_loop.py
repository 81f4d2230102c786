"""The loop that owns an engine: it reads the inbox, runs steps, emits their outputs and counts failures.

It is the same on a thread and in a process of its own; its caller hands it the inbox and ``emit``. It uses no event
loop, and torch only through ``build``, so a server can open its port before torch is imported.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, assert_never

from mavis_core.api.errors import InvalidRequestError, LoadError, MavisError
from mavis_core.api.messages import (
    Abort,
    EngineInfo,
    LoadValue,
    Request,
    RequestOutput,
    Steer,
    StepStats,
    UnloadValue,
    failure,
)
from mavis_core.api.sampling_params import SamplingParams
from mavis_core.api.structure import Structure
from mavis_core.grammar.matcher import Matcher
from mavis_core.grammar.processes import GrammarProcesses
from mavis_core.grammar.worker import Compiled, GrammarThread

if TYPE_CHECKING:
    from mavis_core.engine import Engine
    from mavis_core.values.protocol import ValueFunction, ValueLoader

log = logging.getLogger(__name__)

MAX_FAILURES = 3


@dataclass(frozen=True, slots=True)
class Loading:
    """A stage of building the engine and the fraction done."""

    stage: str
    fraction: float


@dataclass(frozen=True, slots=True)
class Ready:
    """The engine is built; ``tokenizer_source`` is where its tokenizer came from, None for none or an unnamed one."""

    info: EngineInfo
    tokenizer_source: str | None


@dataclass(frozen=True, slots=True)
class Stepped:
    """The outputs of one step, or a refused request's, which belongs to no step and has no ``stats``."""

    outputs: tuple[RequestOutput, ...]
    stats: StepStats | None


@dataclass(frozen=True, slots=True)
class ValuesChanged:
    """The answer to ``LoadValue`` or ``UnloadValue``: the engine's new info, or why nothing has changed."""

    id: str
    outcome: EngineInfo | MavisError


@dataclass(frozen=True, slots=True)
class Steered:
    """The answer to ``Steer``: for each choice the number of the first token that it counts for, or why it does not."""

    id: str
    outcome: tuple[int, ...] | MavisError


@dataclass(frozen=True, slots=True)
class ValuesRead:
    """What the thread that reads values sends to the loop, through the inbox."""

    id: str
    values: Sequence[ValueFunction] = ()
    error: MavisError | None = None


@dataclass(frozen=True, slots=True)
class Dead:
    """The engine will not answer any more."""

    why: str


EngineEvent = Loading | Ready | Stepped | ValuesChanged | Steered | Dead
Emit = Callable[[EngineEvent], None]
LoadProgress = Callable[[str, float], None]  # a stage of loading, and the fraction done of all
Build = Callable[[LoadProgress], "Engine"]
InboxMessage = Request | Compiled | Steer | Abort | LoadValue | UnloadValue | ValuesRead
Inbox = queue.SimpleQueue[InboxMessage | None]


def run_engine(build: Build, inbox: Inbox, emit: Emit) -> None:
    """Build an engine and serve ``inbox`` with it, until None arrives or the engine cannot go on.

    Args:
        build: makes the engine; reports (stage, fraction done).
        inbox: drained before every step.
        emit: called in order, one ``Stepped`` per step; must not block for long.
    """
    try:
        engine = build(lambda stage, fraction: emit(Loading(stage, fraction)))
    except Exception as error:
        if not isinstance(error, MavisError):  # else the reason says all, and whoever waits for it tells it
            log.exception("loading failed")
        emit(Dead(f"loading failed: {error}"))
        return
    emit(Ready(engine.info, getattr(engine.tokenizer, "name_or_path", None) or None))
    processes = GrammarProcesses(engine.grammars.vocabulary)
    grammars = GrammarThread(processes.start, inbox.put)
    try:
        _serve(engine, grammars, inbox, emit)
    except BaseException as error:  # even aborting all requests failed, as it does after a device error
        log.exception("the engine cannot go on")
        emit(Dead(f"the engine failed: {error}"))
    finally:
        grammars.close()
        processes.close()


def _serve(engine: Engine, grammars: GrammarThread, inbox: Inbox, emit: Emit) -> None:
    failures = 0
    while _receive(engine, grammars, inbox, emit):
        if not engine.has_work:
            emit(Stepped((), replace(engine.idle_stats(), compiling=grammars.waiting)))
            continue
        try:
            outputs = engine.step()
            failures = 0
        except BaseException as error:  # a panic of a library written in Rust is no Exception
            log.exception("an engine step failed")
            failures += 1
            outputs = [failure(i, 0, f"the engine failed: {type(error).__name__}") for i in engine.abort_all()]
            if failures >= MAX_FAILURES:
                emit(Stepped(tuple(outputs), None))
                emit(Dead(f"the engine failed {failures} times in a row: {error}"))
                return
        stats = engine.last_step
        emit(Stepped(tuple(outputs), stats and replace(stats, compiling=grammars.waiting)))


def _receive(engine: Engine, grammars: GrammarThread, inbox: Inbox, emit: Emit) -> bool:
    """Handle every message in the inbox, waiting for one while there is no work; False after None, the end."""
    block = not engine.has_work
    while True:
        try:
            message = inbox.get(block=block)
        except queue.Empty:
            return True
        if message is None:
            return False
        _handle(engine, grammars, message, inbox, emit)
        block = False


def _handle(engine: Engine, grammars: GrammarThread, message: InboxMessage, inbox: Inbox, emit: Emit) -> None:
    match message:
        case Request(sampling=SamplingParams(structure=Structure() as structure)):
            grammars.submit(message, structure)
        case Request():
            _add(engine, message, None, emit)
        case Compiled(request, result):
            if (held := grammars.take(message)) is not None:
                _add(engine, request, result, emit)
                _steer(engine, held, emit)
        case Steer():
            if not grammars.hold(message):
                _steer(engine, [message], emit)
        case Abort():
            engine.abort(message.request_id)
            _steer(engine, grammars.forget(message.request_id), emit)
        case LoadValue():
            threading.Thread(target=_read, args=(engine.loader, message, inbox), daemon=True).start()
        case ValuesRead(id, values, error):
            emit(ValuesChanged(id, error or _change(engine, partial(engine.load_values, values))))
        case UnloadValue(id, name):
            emit(ValuesChanged(id, _change(engine, partial(engine.unload_value, name))))
        case _:
            assert_never(message)


def _steer(engine: Engine, messages: Sequence[Steer], emit: Emit) -> None:
    for message in messages:
        outcome: tuple[int, ...] | MavisError
        try:
            outcome = engine.steer(message.request_id, message.guidance, message.prompted)
        except MavisError as error:
            outcome = error
        emit(Steered(message.id, outcome))


def _read(loader: ValueLoader | None, message: LoadValue, inbox: Inbox) -> None:
    """Read values while the engine goes on, and put them into the inbox."""
    try:
        if loader is None:
            raise LoadError("this engine was built without a loader of values")
        read = ValuesRead(message.id, loader.load(message.source))
    except Exception as error:
        read = ValuesRead(message.id, error=_refusal(error))
    inbox.put(read)


def _change(engine: Engine, change: Callable[[], None]) -> EngineInfo | MavisError:
    try:
        change()
    except Exception as error:
        return _refusal(error)
    return engine.info


def _refusal(error: Exception) -> MavisError:
    if isinstance(error, MavisError):
        return error
    log.error("changing the values failed", exc_info=error)
    return LoadError(f"{type(error).__name__}: {error}")


def _add(engine: Engine, request: Request, matcher: Matcher | InvalidRequestError | None, emit: Emit) -> None:
    try:
        if isinstance(matcher, InvalidRequestError):
            raise matcher
        engine.add(request, matcher)
    except InvalidRequestError as error:
        refused = failure(request.id, len(request.prompt_token_ids), str(error), error.param or "")
        emit(Stepped((refused,), None))
    except BaseException as error:  # whatever it is, only this request fails
        log.exception("request %s could not be taken in", request.id)
        why = f"the engine failed this request on its way in: {type(error).__name__}"
        emit(Stepped((failure(request.id, len(request.prompt_token_ids), why),), None))
