"""Chat completions: "The chat completion object" and "The chat completion chunk object" pages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mavis_core.messages import ChoiceDelta, TokenLogprobs
from server.answers.base import Answer, Choice


class ChatAnswer(Answer):
    object_name = "chat.completion"
    chunk_name = "chat.completion.chunk"

    def _whole_choice(self, choice: Choice) -> dict[str, Any]:
        return {
            "index": choice.index,
            "message": {"role": "assistant", "content": "".join(choice.text), "refusal": None},
            "logprobs": self._logprobs(choice.logprobs),
            "finish_reason": choice.finish_reason,
            "stop_reason": choice.stop_reason,
            "guidance": self._guidance(choice.guidance, choice.reports),
        }

    def _opening(self, prompt: int, choice: Choice) -> list[dict[str, Any]]:
        delta = {"role": "assistant", "content": ""}
        return [{"index": choice.index, "delta": delta, "logprobs": None, "finish_reason": None}]

    def _chunk_choice(self, choice: Choice, delta: ChoiceDelta) -> dict[str, Any]:
        made: dict[str, Any] = {
            "index": choice.index,
            "delta": {"content": delta.text} if delta.text else {},
            "logprobs": self._logprobs(delta.logprobs),
            "finish_reason": delta.finish_reason,
        }
        return self._with_ending(made, delta)

    def _logprobs(self, positions: Sequence[TokenLogprobs]) -> dict[str, Any] | None:
        if not self._wants_logprobs:
            return None
        return {
            "content": [
                self._token(p.token_id, p.logprob) | {"top_logprobs": [self._token(*top) for top in p.top]}
                for p in positions
            ],
            "refusal": None,
        }

    def _token(self, token_id: int, logprob: float) -> dict[str, Any]:
        text, data = self._token_text(token_id)
        return {"token": text, "bytes": data, "logprob": logprob}
