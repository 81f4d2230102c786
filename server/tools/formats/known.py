"""All forms of calls, and the choice among them."""

from __future__ import annotations

import re
from typing import Literal

from server.tools.formats.format import ToolFormat
from server.tools.formats.granite import GRANITE, GRANITE_WITHOUT_BARS
from server.tools.formats.hermes import HERMES
from server.tools.formats.llama3_json import LLAMA3_JSON
from server.tools.formats.mistral import MISTRAL, MISTRAL_NAMED
from server.tools.formats.pythonic import PYTHONIC

ToolParser = Literal["auto", "hermes", "llama3_json", "mistral", "granite", "pythonic"]
TOLD = "--tool-call-parser"
# In the order in which their signs are looked for: what one tells from another comes first.
KNOWN: tuple[ToolFormat, ...] = (
    MISTRAL_NAMED, MISTRAL, GRANITE_WITHOUT_BARS, GRANITE, PYTHONIC, HERMES, LLAMA3_JSON,
)  # fmt: skip


def chosen(parser: ToolParser, template: str) -> tuple[ToolFormat, str]:
    """The form that ``parser`` names, in the variant that ``template`` has signs of, and why it is that one."""
    named = [form for form in KNOWN if parser in ("auto", form.name)]
    for form in named:
        for sign in form.signs:
            if found := re.search(sign, template):
                return form, f"the chat template has {found[0]}" if parser == "auto" else TOLD
    return (HERMES, "the chat template has no form of its own") if parser == "auto" else (named[-1], TOLD)
