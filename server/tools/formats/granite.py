"""A JSON list behind a marker, which has bars or not: Granite 3."""

from dataclasses import replace

from server.tools.formats.json_format import JsonFormat

GRANITE = JsonFormat(
    name="granite",
    signs=(r"<\|tool_call\|>",),
    opening="<|tool_call|>",
    head='{{"name": "{}", "arguments": ',
    tail="}",
    first="[",
    between=", ",
    last="]",
    markers=("<|tool_call|>",),
)
GRANITE_WITHOUT_BARS = replace(
    GRANITE, signs=(r"<tool_call>\W*followed by a JSON list",), opening="<tool_call>", markers=("<tool_call>",)
)
