"""Text completions: "The completion object" page; its chunks have the same shape."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mavis_core.api.messages import ChoiceDelta, GuidanceStats, TokenLogprobs
from mavis_core.text.token_bytes import REPLACEMENT
from server.answers.completions import Choice, CompletionsAnswer, Extras
from server.answers.context import AnswerContext
from server.answers.steered_echo import SteeredEcho
from server.text.token_text import Reading
from server.tools.parts import AnswerPart, AnswerText

Told = tuple[str, float | None, dict[str, float] | None, int]  # a token's entry in each list of the answer's logprobs


class TextAnswer(CompletionsAnswer):
    object_name = "text_completion"
    chunk_name = "text_completion"

    def __init__(
        self,
        id: str,
        context: AnswerContext,
        extras: Extras,
        echoed: Sequence[str] | None,
        prompt_logprobs: int | None,
        echoes: Sequence[SteeredEcho] | None = None,
    ) -> None:
        """``echoed``: each prompt's text, which stands before its answers; None if not asked for.

        ``prompt_logprobs``: the request's field of that name. ``echoes``: of each prompt, where weights steer.
        """
        super().__init__(id, context, extras)
        self._echoed, self._asked_prompt_logprobs, self._echoes = echoed, prompt_logprobs, echoes

    def _whole_choice(self, choice: Choice) -> dict[str, Any]:
        prompt = choice.index // self._n
        told = self._told(choice, choice.logprobs)
        made = {
            "index": choice.index,
            "text": self._echo(prompt) + "".join(choice.text),
            "logprobs": None if told is None else _shape([*(self._echoed_logprobs(prompt) or []), *told]),
        } | self._prompt_ids(prompt)
        if self._asked_prompt_logprobs is not None:
            made["prompt_logprobs"] = self._shown_prompt_logprobs(prompt, self._asked_prompt_logprobs)
        return made

    def _whole_extras(self) -> dict[str, Any]:
        return {}

    def _opening(self, choice: Choice) -> list[bytes]:
        prompt = choice.index // self._n
        if not (self._echoed or self._extras.token_ids):
            return []
        told = self._echoed_logprobs(prompt)
        logprobs = {"logprobs": None if told is None else _shape(told)}
        echo = self._shape(choice, AnswerText(self._echo(prompt)))
        return [self._chunk([echo | logprobs | self._prompt_ids(prompt)])]

    def _parts(self, choice: Choice, delta: ChoiceDelta) -> list[AnswerPart]:
        text = self._text(choice, delta)
        return [AnswerText(text)] if text else []

    def _shape(self, choice: Choice, part: AnswerPart | None) -> dict[str, Any]:
        text = part.text if isinstance(part, AnswerText) else ""
        return {"index": choice.index, "text": text, "logprobs": None, "finish_reason": None} | self._no_ids()

    def _prompt_ids(self, prompt: int) -> dict[str, Any]:
        return {"prompt_token_ids": self._context.prompts[prompt]} if self._extras.token_ids else {}

    def _report(self, choice: Choice, stats: GuidanceStats | None, tokens: list[dict[str, Any]]) -> dict[str, Any]:
        report = super()._report(choice, stats, tokens)
        if self._echoes is None:
            return report
        prompt, reading = choice.index // self._n, None
        if self._context.wants_report:
            reading = self._context.token_text.reading(False, self._context.prompts[prompt][:1])
        return report | {"echo": self._echoes[prompt].told(reading)}

    def _echo(self, prompt: int) -> str:
        return self._echoed[prompt] if self._echoed else ""

    def _logprobs(self, choice: Choice, positions: Sequence[TokenLogprobs]) -> dict[str, Any] | None:
        told = self._told(choice, positions)
        return None if told is None else _shape(told)

    def _told(self, choice: Choice, positions: Sequence[TokenLogprobs]) -> list[Told] | None:
        """Log-probabilities of the answer's tokens, which stand behind the echo."""
        if self._context.sampling.logprobs is None:
            return None
        told, reading = [], choice.logprob_reading
        begin = len(self._echo(choice.index // self._n))
        for position in positions:
            told.append(self._tell(reading, position.token_id, position, begin))
            reading.read(position.token_id)
        return told

    def _echoed_logprobs(self, prompt: int) -> list[Told] | None:
        """Log-probabilities of an echoed prompt's tokens; the first token has only a name."""
        if not self._echoed or self._context.sampling.logprobs is None:
            return None
        told, reading = [], self._context.token_text.reading(skip_special_tokens=False)
        logprobs = self._prompt_logprobs[prompt] if self._echoes is None else self._echoes[prompt].logprobs
        for token_id, position in zip(self._context.prompts[prompt], logprobs, strict=False):
            told.append(self._tell(reading, token_id, position, 0))
            reading.read_in(self._echoed[prompt], token_id)
        return told

    def _tell(self, reading: Reading, token_id: int, position: TokenLogprobs | None, begin: int) -> Told:
        name, offset = self._token_name(reading, token_id), begin + reading.offset
        if position is None:
            return name, None, None, offset
        top = {name: position.logprob}
        for other, logprob in position.top[: self._context.sampling.logprobs]:
            top.setdefault(self._token_name(reading, other), logprob)
        return name, position.logprob, top, offset

    def _token_name(self, reading: Reading, token_id: int) -> str:
        """A token that is part of a character is named by its bytes, as OpenAI does; this form has no other place."""
        name = super()._token_name(reading, token_id)
        if REPLACEMENT not in name or name.encode() == reading.bytes_of(token_id):
            return name
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in reading.bytes_of(token_id))


def _shape(told: Sequence[Told]) -> dict[str, Any]:
    """Two tokens with the same text share an entry of ``top_logprobs``; the likelier one is kept."""
    names = ("tokens", "token_logprobs", "top_logprobs", "text_offset")
    return {name: [position[i] for position in told] for i, name in enumerate(names)}
