"""Turns messages or text into token ids that fit the engine.

The chat template belongs to the tokenizer and already writes the special tokens, so chat prompts are encoded without
adding any, and users' text is never read as one of them (``control_tokens.py``); plain text is encoded as the tokenizer
does by default. Long work runs beside the event loop (``text/lanes.py``), and texts that cannot fit are refused before
it (``text/bound.py``).
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache, cached_property, partial
from pathlib import Path
from typing import Any

import orjson
from jinja2 import TemplateError

from mavis_core.api.bounds import check_integer, check_token_ids
from mavis_core.api.errors import ConfigError, ContextLengthError, InvalidRequestError
from mavis_core.api.messages import EngineInfo
from mavis_core.api.reasoning import Reasoning
from mavis_core.api.sampling_params import MAX_TOKEN_ID, SamplingParams
from mavis_core.api.tokenizer import Tokenizer
from server.protocol.chat_messages import ChatMessage, conversation
from server.reasoning.markers import ReasoningParser
from server.text.bound import characters_per_token
from server.text.control_tokens import ControlTokens, control_tokens_of
from server.text.dialect import Dialect
from server.text.lanes import SHORT, TextLanes
from server.text.rendering import (
    PROBE,
    Rendering,
    brings_tools,
    fitted,
    mentions,
    template_arguments,
    with_known_variables,
)
from server.tools.formats.known import ToolParser

log = logging.getLogger(__name__)

DEFAULT = Rendering()
ENTRY = 32  # what an empty message costs a template, in characters
TAIL = 32  # tokens at a prompt's end in which a template opens or closes the reasoning


class Prompts:
    """Renders, encodes and decodes; ``tokenizer`` is called at each use, as there is none while the engine loads.

    ``most`` is how many tokens a prompt may have, or None where a longer one is welcome (it will be truncated): texts
    that certainly have more are refused before they are encoded. All raise TextsWaitingError, see ``text/lanes.py``.

    ``tool_parser`` and ``reasoning_parser`` name how the model writes calls and reasoning, or leave it to the template.
    """

    def __init__(
        self,
        tokenizer: Callable[[], Tokenizer],
        chat_template: Path | None = None,
        tool_parser: ToolParser = "auto",
        reasoning_parser: ReasoningParser = "auto",
    ) -> None:
        self._tokenizer = tokenizer
        self._parsers = (tool_parser, reasoning_parser)
        self._template = None if chat_template is None else _template(chat_template)
        self._lanes = TextLanes()
        self._per_token = cache(lambda: characters_per_token(tokenizer()))

    def close(self) -> None:
        """End the threads."""
        self._lanes.close()

    @cached_property
    def dialect(self) -> Dialect:
        """How this model writes calls and reasoning."""
        known = self._template or self._tokenizer().chat_template or ""
        text = "\n".join(known.values()) if isinstance(known, dict) else known
        return Dialect.of(self._tokenizer().backend_tokenizer, text, *self._parsers)

    def reasoning(self, prompt: Sequence[int], continued: str) -> Reasoning | None:
        """How an answer to ``prompt`` reasons, ``continued`` being what the last message has of it already."""
        if (marks := self.dialect.marks) is None:
            return None
        return marks.reasoning(self._tokenizer().decode(list(prompt[-TAIL:])), continued)

    async def chat(
        self, messages: Sequence[ChatMessage], rendering: Rendering = DEFAULT, most: int | None = None
    ) -> tuple[int, ...]:
        entries = conversation(messages, rendering.param)
        rendering = self._fitting(rendering)
        special, param, size = rendering.add_special_tokens, rendering.param, _size(messages, rendering)
        control = control_tokens_of(self._tokenizer().backend_tokenizer, self._current_template(rendering) or "")
        written = [entries, [function.definition() for function in rendering.functions], rendering.variables]
        if not control.spelled_in(written):
            text = await self._lanes.run(size, partial(self.render, entries, rendering))
            (read,) = await self._encode([text], partial(self._read, special=special), param, most)
            return read
        size = max(size, SHORT)  # off the event loop, because the tokenizer that reads marks is made at its first use
        try:
            entries, rendering = control.marked(entries), _marked(rendering, control)
        except RecursionError:
            raise _too_deep(param) from None
        text = await self._lanes.run(size, partial(self.render, entries, rendering))
        reader = partial(control.encode, add_special_tokens=special, param=param)
        (read,) = await self._encode([text], reader, param, most, size)
        return read

    async def texts(
        self, prompts: Sequence[str | list[int]], special: bool = True, most: int | None = None
    ) -> list[tuple[int, ...]]:
        """The token ids of prompts, some of which may be ids already."""
        texts = [prompt for prompt in prompts if isinstance(prompt, str)]
        read = iter(await self._encode(texts, partial(self._read, special=special), "prompt", most))
        return [next(read) if isinstance(prompt, str) else tuple(prompt) for prompt in prompts]

    async def tokens(self, text: str, special: bool) -> list[int]:
        """The token ids of any text, also of an empty one."""
        return await self._lanes.run(len(text), partial(self._read, text, special))

    async def decode(self, prompts: Sequence[Sequence[int]]) -> list[str]:
        return await self._lanes.run(
            sum(map(len, prompts)), lambda: [self._tokenizer().decode(list(token_ids)) for token_ids in prompts]
        )

    async def spelled(self, token_ids: Sequence[int]) -> list[str]:
        """Tokens as the vocabulary writes them."""
        return await self._lanes.run(len(token_ids), lambda: self._tokenizer().convert_ids_to_tokens(list(token_ids)))

    def described(self) -> dict[str, Any]:
        """The tokenizer's class, the text of its special tokens where it has such, and the chat template in use."""
        tokenizer = self._tokenizer()
        names = ("bos_token", "eos_token", "unk_token", "pad_token")
        tokens = {name: getattr(tokenizer, name, None) for name in names}
        told = {name: None if token is None else str(token) for name, token in tokens.items()}
        return told | {
            "tokenizer_class": type(tokenizer).__name__,
            "chat_template": self._current_template(DEFAULT),
        }

    def unused(self, rendering: Rendering) -> list[str]:
        """Variables of the request that the chat template does not have."""
        known = self._fitting(rendering).variables
        return [name for name in rendering.variables if name not in known]

    def _fitting(self, rendering: Rendering) -> Rendering:
        try:
            return with_known_variables(rendering, self._current_template(rendering) or "")
        except TemplateError as error:
            reason = f"the chat template cannot be read: {error}"
            raise InvalidRequestError(reason, "chat_template_kwargs") from None

    def render(self, entries: list[dict[str, Any]], rendering: Rendering = DEFAULT) -> str:
        """Raises InvalidRequestError where there is no template or it refuses the messages."""
        field = rendering.param
        template = self._current_template(rendering)
        if not template:
            raise InvalidRequestError("this model has no chat template: use /v1/completions", field)
        try:
            shows_tools = self._shows_tools(entries, rendering, template)
            return self._applied(entries, rendering, template, shows_tools)
        except InvalidRequestError:
            raise
        except TemplateError as error:  # raised by the template itself
            raise InvalidRequestError(f"the chat template refuses these messages: {error}", field) from None
        except Exception as error:  # anything in the messages that the template did not foresee
            if rendering.continue_final_message and isinstance(error, ValueError):  # transformers looks for it
                raise InvalidRequestError(
                    "continue_final_message: the chat template does not write the last message as it is",
                    "continue_final_message",
                ) from None
            log.info("the chat template cannot render a request's messages", exc_info=True)
            reason = f"the chat template cannot render these messages ({type(error).__name__})"
            raise InvalidRequestError(reason, field) from None

    def _shows_tools(self, entries: list[dict[str, Any]], rendering: Rendering, template: str) -> bool:
        """Whether this template shows the tools of this conversation, tried with a tool that no request has."""
        if not brings_tools(entries, rendering.functions) or not mentions(template, "tools"):
            return False
        try:
            return PROBE.name in self._applied(entries, replace(rendering, functions=(PROBE,)), template, True)
        except InvalidRequestError:
            raise
        except Exception:  # a template that fails on tools or tool messages does not show them
            return False

    def _applied(self, entries: list[dict[str, Any]], rendering: Rendering, template: str, shows_tools: bool) -> str:
        text = self._tokenizer().apply_chat_template(
            fitted(entries, rendering.functions, template, shows_tools, self.dialect.calls),
            tokenize=False,
            chat_template=template,
            **template_arguments(rendering, template, shows_tools),
        )
        assert isinstance(text, str)
        return text

    def _current_template(self, rendering: Rendering) -> str | None:
        """The server's template, else the tokenizer's, which may have several by name."""
        known = self._template or self._tokenizer().chat_template
        if isinstance(known, dict):
            named = known.get("tool_use") if rendering.functions else None
            return named or known.get("default")
        return known

    async def _encode(
        self,
        texts: Sequence[str],
        read: Callable[[str], list[int]],
        param: str,
        most: int | None,
        size: int = 0,
    ) -> list[tuple[int, ...]]:
        """Each text's token ids by ``read``, as work on ``size`` characters where the texts have fewer."""
        longest = max(map(len, texts), default=0)
        if most is not None and longest >= SHORT:
            await self._refuse_hopeless(longest, most, param)
        found = await self._lanes.run(max(size, sum(map(len, texts))), lambda: list(map(read, texts)))
        if not all(found):
            raise InvalidRequestError(f"{param}: the prompt is empty, at least one token is needed", param)
        return [tuple(token_ids) for token_ids in found]

    async def _refuse_hopeless(self, length: int, most: int, param: str) -> None:
        """Raises ContextLengthError where any text of so many characters has more tokens than ``most``."""
        per_token = await self._lanes.run(SHORT, self._per_token)  # looks at the vocabulary once, which takes a moment
        if per_token is not None and (least := math.ceil(length / per_token)) > most:
            raise ContextLengthError(least, most, param, at_least=True)

    def _read(self, text: str, special: bool) -> list[int]:
        # By keyword: the second position of a transformers tokenizer is a second text.
        return self._tokenizer().encode(text, add_special_tokens=special)


def _size(messages: Sequence[ChatMessage], rendering: Rendering) -> int:
    """About how many characters a template has to handle; raises InvalidRequestError for endless nesting."""
    written = sum(len(message.text) + len(message.thought) + ENTRY for message in messages)
    calls = [call for message in messages for call in message.tool_calls or ()]
    tools = [function.definition() for function in rendering.functions]
    try:
        given = len(orjson.dumps([tools, dict(rendering.variables)]))
    except TypeError:  # orjson does not write such deep nesting, although it reads it
        raise _too_deep(rendering.param) from None
    return written + sum(_length(call.function.arguments) + ENTRY for call in calls) + given


def _length(arguments: str | Mapping[str, Any] | None) -> int:
    return len(arguments) if isinstance(arguments, str) else len(orjson.dumps(arguments or {}))


def _too_deep(param: str) -> InvalidRequestError:
    return InvalidRequestError(f"{param}: nested too deeply for a chat template", param)


def _marked(rendering: Rendering, control: ControlTokens) -> Rendering:
    functions = tuple(
        replace(f, description=control.marked(f.description), parameters=control.marked(f.parameters))
        for f in rendering.functions
    )
    return replace(rendering, functions=functions, variables=control.marked(rendering.variables))


def truncated(token_ids: tuple[int, ...], keep: int | None, side: str | None, room: int) -> tuple[int, ...]:
    """At most ``keep`` tokens (-1: ``room``), leaving out the first of them unless ``side`` is "right"."""
    if keep is None:
        return token_ids
    check_integer("truncate_prompt_tokens", keep, -1, MAX_TOKEN_ID)
    if keep == 0:
        raise InvalidRequestError("truncate_prompt_tokens=0: must be -1 or at least 1", "truncate_prompt_tokens")
    if keep == -1 and room < 1:
        raise InvalidRequestError(
            "truncate_prompt_tokens=-1: the limit of the answer leaves the prompt no room", "truncate_prompt_tokens"
        )
    most = room if keep == -1 else keep
    return token_ids[:most] if side == "right" else token_ids[-most:]


def with_room(token_ids: Sequence[int], sampling: SamplingParams, info: EngineInfo, param: str) -> SamplingParams:
    """``sampling`` with no more tokens than the prompt leaves; every id exists.

    Raises:
        ContextLengthError: the prompt leaves no room at all. InvalidRequestError: not enough for ``min_tokens``.
    """
    length, longest = len(token_ids), info.max_model_len
    if length >= longest:
        raise ContextLengthError(length, longest - 1, param)
    for name, ids in (
        (param, token_ids),
        ("logit_bias", sampling.logit_bias),
        ("stop_token_ids", sampling.stop_token_ids),
    ):
        check_token_ids(name, ids, info.vocab_size)
    if length + sampling.min_tokens > longest:
        raise InvalidRequestError(
            f"min_tokens={sampling.min_tokens}: the prompt has {length} tokens, which leaves {longest - length} of "
            f"{longest}",
            "min_tokens",
            "context_length_exceeded",
        )
    if sampling.max_tokens is None:
        return sampling
    return replace(sampling, max_tokens=min(sampling.max_tokens, longest - length))


def _template(path: Path) -> str:
    """Raises ConfigError: it cannot be read."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--chat-template={path}: cannot be read: {error}") from None
