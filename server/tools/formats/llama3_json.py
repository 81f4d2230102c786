"""Nothing but the call, with ``parameters`` for arguments: Llama 3.1 to 3.3. Several are separated by ``; ``."""

from server.tools.formats.json_format import JsonFormat

LLAMA3_JSON = JsonFormat(
    name="llama3_json",
    signs=(r"<\|python_tag\|>", r'"name"\s*:\s*function name'),
    opening="",
    head='{{"name": "{}", "parameters": ',
    tail="}",
    between="; ",
    optional="<|python_tag|>",
    markers=("<|python_tag|>",),
)
