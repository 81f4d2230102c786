"""Every form of calls with a vocabulary that has its markers as tokens, and readers and grammars to try it with."""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import cache
from typing import Any

from tokenizers import AddedToken

from server.text.dialect import Dialect
from server.tools.formats.format import Special, ToolFormat
from server.tools.formats.known import KNOWN
from server.tools.grammar import lark
from server.tools.held import held
from server.tools.parts import AnswerText, Reader, ReasoningText, ToolCallArguments, ToolCallBegin
from server.tools.use import Function, ToolUse
from tests.vocabularies import byte_tokenizer

FORMS = [pytest_id for pytest_id in KNOWN]
SPECIALS = ["[TOOL_CALLS]", "[ARGS]", "<|python_tag|>", "<|tool_call|>", "[THINK]", "[/THINK]"]
TAGS = ["<tool_call>", "</tool_call>", "<think>", "</think>"]  # tokens, but not special ones, as in Qwen's vocabularies
EOS = 256
