"""Prompts on disk: JSON lines of ``{"messages": [...]}`` (a chat that ends with the user) or ``{"prompt": text}``.

Rewards see a prompt as its author wrote it, the policy as token ids: a conversation through the tokenizer's chat
template, a plain text as it stands with the tokenizer's own special tokens. Torch-free.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from jinja2 import TemplateError

from mavis_core.api.errors import InvalidRequestError, RunError
from mavis_core.api.tokenizer import Tokenizer
from mavis_core.text.instruction import Place, find_place

Message = dict[str, str]
ROLES = ("system", "user", "assistant")


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a response answers: a conversation, or a plain text where ``messages`` is empty."""

    text: str
    messages: tuple[Message, ...] = ()

    @classmethod
    def chat(cls, messages: Sequence[Message]) -> Prompt:
        """A conversation; ``text`` is its last message."""
        return cls(messages[-1]["content"], tuple(messages))

    def told(self, instruction: str, place: Place | None) -> Prompt:
        """The same conversation with an instruction in it, where ``place_of`` found that it goes.

        Raises:
            RunError: it is a plain text, or the policy's chat template takes no instruction.
        """
        if not self.messages:
            raise RunError(f"prompt {self.text[:60]!r}: is a plain text; only a conversation can carry an instruction")
        if place is None:
            raise RunError("the policy has no chat template that takes an instruction")
        told, at = instruction.strip(), place.at([message["role"] for message in self.messages])
        if at is None:
            return replace(self, messages=({"role": place.role, "content": place.own(told)}, *self.messages))
        message = {**self.messages[at], "content": place.joined(self.messages[at]["content"], told)}
        return replace(self, messages=(*self.messages[:at], message, *self.messages[at + 1 :]))

    def encode(self, tokenizer: Tokenizer) -> list[int]:
        """Token ids up to where the response begins.

        Raises:
            RunError: the tokenizer has no chat template, or one that refuses these messages.
        """
        if not self.messages:
            return tokenizer.encode(self.text)
        try:
            rendered = _rendered(tokenizer, list(self.messages))
        except (ValueError, TemplateError) as error:
            raise RunError(f"prompt {self.text[:60]!r}: the policy's chat template: {error}") from error
        return tokenizer.encode(rendered, add_special_tokens=False)


def place_of(tokenizer: Tokenizer) -> Place | None:
    """Where an instruction goes in this tokenizer's conversations; None where it has no template that takes one."""

    def render(entries: list[dict[str, Any]]) -> str:
        try:
            return _rendered(tokenizer, entries)
        except (ValueError, TemplateError) as error:
            raise InvalidRequestError(str(error), "messages") from error

    return find_place(render)


def _rendered(tokenizer: Tokenizer, messages: list[dict[str, Any]]) -> str:
    text: str = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    return text


def read_prompts(path: Path, count: int | None = None) -> list[Prompt]:
    """The first ``count`` prompts of a file, all by default.

    Raises:
        RunError: naming the file, the line and what is wrong with it.
    """
    try:
        with path.open(encoding="utf-8") as lines:
            found: list[Prompt] = []
            for number, line in enumerate(lines, 1):
                if count is not None and len(found) == count:
                    break
                found.append(_parse(line, f"{path}, line {number}"))
    except (OSError, UnicodeDecodeError) as error:
        raise RunError(f"{path}: {error}") from error
    if count is not None and len(found) < count:
        raise RunError(f"{path}: has {len(found)} prompts, {count} are asked for")
    if not found:
        raise RunError(f"{path}: has no prompts")
    return found


def file_hash(path: Path) -> str:
    """Short hash of a file's bytes, for manifests."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def _parse(line: str, where: str) -> Prompt:
    try:
        data: Any = json.loads(line)
    except ValueError as error:
        raise RunError(f"{where}: not JSON: {error}") from error
    if isinstance(data, dict) and set(data) == {"prompt"} and isinstance(data["prompt"], str) and data["prompt"]:
        return Prompt(data["prompt"])
    messages = data.get("messages") if isinstance(data, dict) and set(data) == {"messages"} else None
    if not isinstance(messages, list) or not messages or not all(map(_is_message, messages)):
        raise RunError(f'{where}: must be {{"prompt": text}} or {{"messages": [{{"role": ..., "content": ...}}, ...]}}')
    for message in messages:
        if message["role"] not in ROLES:
            raise RunError(f"{where}: role={message['role']!r}: must be one of {', '.join(ROLES)}")
    if messages[-1]["role"] != "user":
        raise RunError(f"{where}: the last message must be the user's, it is the {messages[-1]['role']}'s")
    return Prompt.chat(messages)


def _is_message(item: Any) -> bool:
    return (
        isinstance(item, dict) and set(item) == {"role", "content"} and all(isinstance(x, str) for x in item.values())
    )
