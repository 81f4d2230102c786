"""An engine whose steps take a fixed time and compute nothing: what a token costs behind the model.

What happens to a drawn token is the engine's own: rows by ``Admission``, text and statistics by ``Emitter``. Tokens
come from a text that is repeated. A step begins when as many rows are there as the engine waits for.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import cycle, islice

from transformers import AutoTokenizer

from mavis_core.api.messages import EngineInfo, ObjectiveInfo, Request, RequestOutput, StepStats
from mavis_core.api.tokenizer import Tokenizer
from mavis_core.emitter import Emitter
from mavis_core.grammar.compiler import GrammarCompiler
from mavis_core.grammar.matcher import Matcher
from mavis_core.sample.kl import DrawStats
from mavis_core.sample.sampler import SampledToken
from mavis_core.schedule.admission import Admission
from mavis_core.schedule.row import Row

TEXT = (
    "The lighthouse keeper, who had lived alone for 30 years, counted the ships twice each evening; when the fog came, "
    "he rang the bell until somebody on the water rang back.\n\nNobody ever asked him why. "
)
OBJECTIVES = ("cheerful", "concise", "formal", "vivid")
LONGEST = 4096  # tokens of a text


class PacedEngine:
    """Args:
    tokenizer: a folder.
    rows: that it waits for.
    step_seconds: from the beginning of a step to that of the next.
    """

    loader = None

    def __init__(self, tokenizer: str, rows: int, step_seconds: float, _: Callable[[str, float], None]) -> None:
        self.tokenizer: Tokenizer = AutoTokenizer.from_pretrained(tokenizer)
        tokens = self.tokenizer.encode(TEXT, add_special_tokens=False)
        vocabulary = self.tokenizer.backend_tokenizer.get_vocab_size()
        objectives = tuple(ObjectiveInfo(n, n, "head", n, 0.0, 1.0, 1.0, (-4.0, 4.0)) for n in OBJECTIVES)
        self.info = EngineInfo(
            "paced", LONGEST, vocabulary, rows, "float32", "cpu", objectives, {}, LONGEST * rows, 0, block_size=16
        )
        self.grammars = GrammarCompiler(None, vocabulary, ())
        self.last_step: StepStats | None = None
        self._admission = Admission(self.info.room, vocabulary, (), objectives, self.tokenizer, {})
        self._emitter = Emitter(objectives)
        self._tokens = list(islice(cycle(tokens), LONGEST))
        self._waits_for, self._seconds, self._next = rows, step_seconds, 0.0
        self._rows: dict[str, list[Row]] = {}

    @property
    def has_work(self) -> bool:
        return bool(self._rows) and sum(map(len, self._rows.values())) >= self._waits_for

    def add(self, request: Request, matcher: Matcher | None = None) -> None:
        self._rows[request.id] = self._admission.rows(request, matcher)

    def abort(self, request_id: str) -> None:
        self._rows.pop(request_id, None)

    def abort_all(self) -> list[str]:
        ids = list(self._rows)
        self._rows.clear()
        return ids

    def step(self) -> list[RequestOutput]:
        self._wait()
        rows = [row for rows in self._rows.values() for row in rows]
        deltas = self._emitter.emit(rows, [self._draw(row) for row in rows], [None] * len(rows))
        outputs = []
        for request_id, found in deltas.items():
            mine = self._rows[request_id]
            finished = all(row.finish_reason is not None for row in mine)
            outputs.append(RequestOutput(request_id, mine[0].prompt_length, tuple(found), finished))
        self._waits_for = len(rows)
        for output in outputs:
            if output.finished:
                self._waits_for -= len(self._rows.pop(output.request_id))
        self.last_step = StepStats(len(rows), 0, 0, len(rows), 0, 0.5, 0.01, 0.002)
        return outputs

    def idle_stats(self) -> StepStats:
        return StepStats(len(self._rows), 0, 0, 0, 0, 0.0, 0.0, 0.0, idle=True)

    def _wait(self) -> None:
        """Sleep until the next step is due."""
        now = time.monotonic()
        self._next = max(self._next + self._seconds, now)
        time.sleep(self._next - now)

    def _draw(self, row: Row) -> SampledToken:
        number = row.output_length
        stats = None
        if row.guided:
            drift = (number % 7) / 100
            stats = DrawStats(0.2 + drift, 0.01, -0.5 - drift, -0.7, [drift, 0.3, -0.2, 0.1], [1.5, 2.0, drift, 1.0])
        return SampledToken(self._tokens[number], True, stats)
