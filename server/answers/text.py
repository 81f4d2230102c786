"""Text completions: "The completion object" page; its chunks have the same shape."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mavis_core.messages import ChoiceDelta, TokenLogprobs
from server.answers.asked import Asked
from server.answers.completions import Choice, CompletionsAnswer, Extras


class TextAnswer(CompletionsAnswer):
    object_name = "text_completion"
    chunk_name = "text_completion"

    def __init__(
        self, id: str, asked: Asked, extras: Extras, echoed: Sequence[str] | None, prompt_logprobs: int | None
    ) -> None:
        """``echoed``: each prompt's text, to come before its answers; None where not asked for.

        ``prompt_logprobs``: what the client asked for by that name.
        """
        super().__init__(id, asked, extras)
        self._echoed, self._asked_prompt_logprobs = echoed, prompt_logprobs
        self._text_length = [0] * len(self._choices)

    def _whole_choice(self, choice: Choice) -> dict[str, Any]:
        prompt = choice.index // self._n
        echoed = self._echoed[prompt] if self._echoed else ""
        positions = [*self._echoed_logprobs(prompt), *choice.logprobs]
        made = {
            "index": choice.index,
            "text": echoed + "".join(choice.text),
            "logprobs": self._logprobs(choice, positions),
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
        logprobs = self._logprobs(choice, self._echoed_logprobs(prompt)) if self._echoed else None
        text = self._echoed[prompt] if self._echoed else ""
        return [self._chunk([self._part(choice, text) | {"logprobs": logprobs} | self._prompt_ids(prompt)])]

    def _chunk_parts(self, choice: Choice, delta: ChoiceDelta) -> list[dict[str, Any]]:
        text = self._text(delta)
        return [self._part(choice, text)] if text else []

    def _empty_part(self, choice: Choice) -> dict[str, Any]:
        return self._part(choice, "")

    def _part(self, choice: Choice, text: str) -> dict[str, Any]:
        return {"index": choice.index, "text": text, "logprobs": None, "finish_reason": None}

    def _prompt_ids(self, prompt: int) -> dict[str, Any]:
        return {"prompt_token_ids": self._asked.prompts[prompt]} if self._extras.token_ids else {}

    def _echoed_logprobs(self, prompt: int) -> list[TokenLogprobs | int]:
        """Of the prompt's tokens where they are echoed; a first token has none, only its id."""
        if not self._echoed or self._asked.sampling.logprobs is None:
            return []
        tokens = self._asked.prompts[prompt]
        return [found or tokens[i] for i, found in enumerate(self._prompt_logprobs[prompt])]

    def _logprobs(self, choice: Choice, positions: Sequence[TokenLogprobs | int]) -> dict[str, Any] | None:
        """Two tokens with the same text share an entry of ``top_logprobs``; the likelier one is kept."""
        most = self._asked.sampling.logprobs
        if most is None:
            return None
        made: dict[str, list[Any]] = {"tokens": [], "token_logprobs": [], "top_logprobs": [], "text_offset": []}
        for position in positions:
            token_id = position if isinstance(position, int) else position.token_id
            made["tokens"].append(self._token_name(token_id))
            made["token_logprobs"].append(None if isinstance(position, int) else position.logprob)
            made["top_logprobs"].append(None if isinstance(position, int) else self._top(position, most))
            made["text_offset"].append(self._text_length[choice.index])
            self._text_length[choice.index] += len(self._asked.token_text(token_id)[0])
        return made

    def _top(self, position: TokenLogprobs, most: int) -> dict[str, float]:
        top = {self._token_name(position.token_id): position.logprob}
        for token_id, logprob in position.top[:most]:
            top.setdefault(self._token_name(token_id), logprob)
        return top
