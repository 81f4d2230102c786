"""Bodies of ``/v1/messages``."""

from __future__ import annotations

from typing import Any

from tests.server.tools import PARAMETERS

PATH = "/v1/messages"
TURN: dict[str, Any] = {"role": "user", "content": "hi"}
ASK: dict[str, Any] = {"model": "fake/model", "max_tokens": 400, "messages": [TURN]}
TOOLS: list[Any] = [
    {"name": "weather", "description": "Of a city.", "input_schema": PARAMETERS},
    {"name": "now", "input_schema": {"type": "object", "properties": {}}},
]
SEARCH = {"type": "web_search_20250305", "name": "web_search", "max_uses": 5}
EPHEMERAL = {"type": "ephemeral"}

# As Claude Code sends it: long system blocks, tools by the dozen, reminders, thoughts and results of earlier turns.
CLAUDE_CODE: dict[str, Any] = {
    "model": "fake/model",
    "max_tokens": 32000,
    "stream": True,
    "system": [
        {"type": "text", "text": "x-anthropic-billing-header: cc_version=2.1.220.85f; cc_entrypoint=cli; cch=3f1c2;"},
        {"type": "text", "text": "You are Claude Code, a CLI.", "cache_control": EPHEMERAL | {"ttl": "1h"}},
        {"type": "text", "text": "# Tone\n" + "Be brief. " * 40, "cache_control": EPHEMERAL | {"ttl": "1h"}},
    ],
    "messages": [
        {"role": "user", "content": [
            {"type": "text", "text": "<system-reminder>A CLAUDE.md</system-reminder>"},
            {"type": "text", "text": "Read a.py", "cache_control": EPHEMERAL},
        ]},
        {"role": "assistant", "content": [
            {"type": "thinking", "thinking": "A file.", "signature": "EqQBCkgIBRABGAIiQL"},
            {"type": "redacted_thinking", "data": "opaque"},
            {"type": "text", "text": "I read it."},
            {"type": "tool_use", "id": "toolu_1", "name": "Read", "input": {"file_path": "/a.py"}},
            {"type": "tool_use", "id": "toolu_2", "name": "Bash", "input": {"command": "ls"}},
        ]},
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "toolu_1", "content": [{"type": "text", "text": "x = 1"}]},
            {"type": "tool_result", "tool_use_id": "toolu_2", "is_error": True, "content": "no such folder",
             "cache_control": EPHEMERAL},
            {"type": "text", "text": "<system-reminder>Todo list empty</system-reminder>"},
        ]},
        {"role": "system", "content": "The user opened b.py."},
    ],
    "tools": [
        {"name": name, "description": f"{name} of a file.", "input_schema": {
            "$schema": "http://json-schema.org/draft-07/schema#", "type": "object", "additionalProperties": False,
            "properties": {"file_path": {"type": "string"}, "command": {"type": "string"}}}}
        for name in ("Task", "Bash", "Glob", "Grep", "Read", "Edit", "Write", "TodoWrite", "mcp__git__log", "WebFetch")
    ] + [SEARCH],
    "metadata": {"user_id": '{"device_id":"d1","account_uuid":"","session_id":"4f60"}'},
    "thinking": {"type": "adaptive", "display": "summarized"},
    "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
    "output_config": {"effort": "medium"},
    "betas": ["claude-code-20250219", "context-management-2025-06-27"],
}  # fmt: skip
CLAUDE_CODE_HEADERS = {
    "anthropic-version": "2023-06-01",
    "anthropic-beta": "claude-code-20250219,interleaved-thinking-2025-05-14,context-management-2025-06-27",
    "anthropic-dangerous-direct-browser-access": "true",
    "x-app": "cli",
    "user-agent": "claude-cli/2.1.220 (external, cli)",
    "x-stainless-retry-count": "0",
    "x-claude-code-session-id": "4f60",
}
