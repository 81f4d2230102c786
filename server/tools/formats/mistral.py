"""Calls behind ``[TOOL_CALLS]``: as a JSON list, in newer models each by its name. Their templates take short ids."""

import hashlib
import re
import secrets
from dataclasses import dataclass

from server.tools.formats.json_format import JsonFormat

SHORT = re.compile(r"[a-zA-Z0-9]{9}")


@dataclass(frozen=True)
class MistralFormat(JsonFormat):
    def call_id(self) -> str:
        return secrets.token_hex(5)[:9]

    def shown_id(self, call_id: str) -> str:
        """Templates refuse ids of any other length, which conversations bring that other models began."""
        return call_id if SHORT.fullmatch(call_id) else hashlib.sha256(call_id.encode()).hexdigest()[:9]


MISTRAL_NAMED = MistralFormat(
    name="mistral",
    signs=(r"\[ARGS\]",),
    opening="[TOOL_CALLS]",
    head="{}[ARGS]",
    between="[TOOL_CALLS]",
    markers=("[TOOL_CALLS]", "[ARGS]"),
)
MISTRAL = MistralFormat(
    name="mistral",
    signs=(r"\[TOOL_CALLS\]",),
    opening="[TOOL_CALLS]",
    head='{{"name": "{}", "arguments": ',
    tail="}",
    first="[",
    between=", ",
    last="]",
    markers=("[TOOL_CALLS]",),
)
