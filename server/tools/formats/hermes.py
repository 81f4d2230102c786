"""``<tool_call>`` around each call: Hermes, Qwen 2.5 and 3, Granite 4 and many more."""

from server.tools.formats.json_format import JsonFormat

HERMES = JsonFormat(
    name="hermes",
    signs=(r"<tool_call>",),
    opening="<tool_call>",
    head='\n{{"name": "{}", "arguments": ',
    tail="}\n</tool_call>",
    between="\n<tool_call>",
    markers=("<tool_call>", "</tool_call>"),
)
