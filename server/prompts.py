"""From messages or text to token ids that the engine can hold.

The chat template belongs to the tokenizer and already writes the special tokens, so chat prompts are encoded without
adding any; plain text is encoded as the tokenizer would. Long text is encoded on one worker thread: a prompt of a
megabyte takes a second, and every stream would stand still for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from jinja2 import TemplateError

from mavis_core.errors import ContextLengthError, InvalidRequestError
from mavis_core.messages import EngineInfo
from mavis_core.sampling_params import SamplingParams
from mavis_core.tokenizer import Tokenizer
from server.protocol.chat import ChatMessage

LONG_TEXT = 8192


class Prompts:
    """Renders and encodes; ``tokenizer`` is asked for at each use, there is none while the engine loads."""

    def __init__(self, tokenizer: Callable[[], Tokenizer], chat_template: Path | None = None) -> None:
        self._tokenizer = tokenizer
        self._template = None if chat_template is None else chat_template.read_text(encoding="utf-8")
        self._worker: ThreadPoolExecutor | None = None

    def close(self) -> None:
        """End the worker; the next long text would start another."""
        if self._worker is not None:
            self._worker.shutdown(wait=False, cancel_futures=True)
            self._worker = None

    async def chat(self, messages: Sequence[ChatMessage]) -> tuple[int, ...]:
        text = self.render([conversation_entry(message, self._current_template()) for message in messages])
        return await self._encode(text, special=False, param="messages")

    async def text(self, prompt: str | list[int]) -> tuple[int, ...]:
        if isinstance(prompt, str):
            return await self._encode(prompt, special=True, param="prompt")
        return tuple(prompt)

    async def decode(self, token_ids: Sequence[int]) -> str:
        text: str = await self._off_loop(len(token_ids), self._tokenizer().decode, list(token_ids))
        return text

    def render(self, conversation: list[dict[str, Any]]) -> str:
        """Raises InvalidRequestError where there is no template or it refuses the messages."""
        if not self._current_template():
            raise InvalidRequestError("this model has no chat template: use /v1/completions", "messages")
        given = {"chat_template": self._template} if self._template else {}
        try:
            text = self._tokenizer().apply_chat_template(
                conversation, tokenize=False, add_generation_prompt=True, **given
            )
        except (TemplateError, TypeError) as error:  # templates fail with either on messages they do not foresee
            raise InvalidRequestError(f"the chat template refuses these messages: {error}", "messages") from None
        assert isinstance(text, str)
        return text

    def _current_template(self) -> str | None:
        return self._template or self._tokenizer().chat_template

    async def _encode(self, text: str, *, special: bool, param: str) -> tuple[int, ...]:
        # By keyword: the second position of a transformers tokenizer is a second text.
        encode = partial(self._tokenizer().encode, text, add_special_tokens=special)
        token_ids = await self._off_loop(len(text), encode)
        if not token_ids:
            raise InvalidRequestError(f"{param}: the prompt is empty, at least one token is needed", param)
        return tuple(token_ids)

    async def _off_loop(self, size: int, work: Callable[..., Any], *args: Any) -> Any:
        if size < LONG_TEXT:
            return work(*args)
        if self._worker is None:
            self._worker = ThreadPoolExecutor(1, "tokenizer")
        return await asyncio.get_running_loop().run_in_executor(self._worker, work, *args)


def conversation_entry(message: ChatMessage, template: str | None) -> dict[str, Any]:
    """A message as templates expect it: text parts joined by newlines (as vLLM), ``developer`` as ``system`` where
    the template has never heard of developers (OpenAI's newer name for the same role)."""
    content = message.content if isinstance(message.content, str) else "\n".join(p.text for p in message.content)
    role = "system" if message.role == "developer" and "developer" not in (template or "") else message.role
    entry: dict[str, Any] = {"role": role, "content": content}
    return entry if message.name is None else entry | {"name": message.name}


def check_fits(token_ids: Sequence[int], sampling: SamplingParams, info: EngineInfo, param: str, limit: str) -> None:
    """That prompt and answer fit and every id exists; ``limit`` is the client's name for ``max_tokens``.

    Raises:
        ContextLengthError, InvalidRequestError.
    """
    length, longest = len(token_ids), info.max_model_len
    if length >= longest:
        raise ContextLengthError(length, longest - 1, param)
    for token_id in (min(token_ids), max(token_ids)):
        if not 0 <= token_id < info.vocab_size:
            raise InvalidRequestError(f"{param}: token id {token_id} is not from 0 to {info.vocab_size - 1}", param)
    for name, wanted in ((limit, sampling.max_tokens), ("min_tokens", sampling.min_tokens)):
        if wanted is not None and length + wanted > longest:
            raise InvalidRequestError(
                f"{name}={wanted}: the prompt has {length} tokens, which leaves {longest - length} of {longest}",
                name,
                "context_length_exceeded",
            )
    for name, ids in (("logit_bias", sampling.logit_bias), ("stop_token_ids", sampling.stop_token_ids)):
        if ids and max(ids) >= info.vocab_size:
            raise InvalidRequestError(f"{name}: token id {max(ids)} is not from 0 to {info.vocab_size - 1}", name)
