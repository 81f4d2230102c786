"""Text completions: "The completion object" page; its chunks have the same shape."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mavis_core.messages import ChoiceDelta, TokenLogprobs
from server.answers.base import Answer, Choice


class TextAnswer(Answer):
    object_name = "text_completion"
    chunk_name = "text_completion"

    def __init__(self, *, echo: Sequence[str] | None, **common: Any) -> None:
        """``echo``: each prompt's text, to come before its answers; None where not asked for."""
        super().__init__(**common)
        self._echo = echo

    def _whole_choice(self, choice: Choice) -> dict[str, Any]:
        echoed = self._echo[choice.index // self._n] if self._echo else ""
        return {
            "index": choice.index,
            "text": echoed + "".join(choice.text),
            "logprobs": self._logprobs(choice, choice.logprobs),
            "finish_reason": choice.finish_reason,
            "stop_reason": choice.stop_reason,
            "guidance": self._guidance(choice.guidance, choice.reports),
        }

    def _opening(self, prompt: int, choice: Choice) -> list[dict[str, Any]]:
        if not self._echo:
            return []
        return [{"index": choice.index, "text": self._echo[prompt], "logprobs": None, "finish_reason": None}]

    def _chunk_choice(self, choice: Choice, delta: ChoiceDelta) -> dict[str, Any]:
        made: dict[str, Any] = {
            "index": choice.index,
            "text": delta.text,
            "logprobs": self._logprobs(choice, delta.logprobs),
            "finish_reason": delta.finish_reason,
        }
        return self._with_ending(made, delta)

    def _logprobs(self, choice: Choice, positions: Sequence[TokenLogprobs]) -> dict[str, Any] | None:
        """Two tokens with the same text share an entry of ``top_logprobs``; the likelier one is kept."""
        if not self._wants_logprobs:
            return None
        made: dict[str, list[Any]] = {"tokens": [], "token_logprobs": [], "top_logprobs": [], "text_offset": []}
        for position in positions:
            text = self._token_text(position.token_id)[0]
            top = {text: position.logprob}
            for token_id, logprob in position.top:
                top.setdefault(self._token_text(token_id)[0], logprob)
            made["tokens"].append(text)
            made["token_logprobs"].append(position.logprob)
            made["top_logprobs"].append(top)
            made["text_offset"].append(choice.text_length)
            choice.text_length += len(text)
        return made
