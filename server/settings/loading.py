"""Flags over environment over defaults; the only reader of the environment.

A variable that is empty counts as not set. One that begins with ``MAVIS_`` and is no setting is an error: a setting
that is silently not applied (an API key, say) is worse than a server that does not start.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Container
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from mavis_core.api.errors import ConfigError
from server.settings.declared import PREFIX, SETTINGS, Setting
from server.settings.settings import Settings

WORD = re.compile(r"\w+")
MAX_SHOWN = 80  # characters of a wrong value


def load_settings(**flags: Any) -> Settings:
    """Settings from ``flags`` (text or values; None: not given) over the environment.

    Raises:
        ConfigError: one line, naming each wrong flag or variable, what was got and what is allowed; no secrets.
    """
    given = {name: flag for name, flag in flags.items() if flag is not None}
    environment = _environment()
    try:
        return Settings.model_validate(environment | given)
    except ValidationError as error:
        findings = [_sentence(finding, given) for finding in error.errors(include_url=False)]
        raise ConfigError("; ".join(findings)) from None
    except ConfigError as error:  # settings of the engine that do not go together, by their names
        sources = {name: _source(setting, given) for name, setting in SETTINGS.items()}
        raise ConfigError(WORD.sub(lambda word: sources.get(word[0], word[0]), str(error))) from None


def _environment() -> dict[str, str]:
    """Text by name of setting."""
    known = {setting.variable: setting.name for setting in SETTINGS.values()}
    found = {variable.upper(): text for variable, text in os.environ.items() if variable.upper().startswith(PREFIX)}
    for variable in found.keys() - known.keys():
        close = difflib.get_close_matches(variable, known, n=1)
        raise ConfigError(f"unknown setting {variable}" + (f"; did you mean {close[0]}?" if close else ""))
    return {known[variable]: text for variable, text in found.items() if text}


def _source(setting: Setting, flags: Container[str]) -> str:
    """What the operator wrote, or could write."""
    from_environment = setting.name not in flags and os.environ.get(setting.variable)
    return setting.variable if from_environment else setting.flag


def _sentence(finding: ErrorDetails, flags: Container[str]) -> str:
    """``--port='x': must be a valid integer``, or ``MAVIS_PORT=...`` where it comes from there."""
    rule = finding["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
    rule = rule.partition(", unable to")[0]  # parse what was written, as one can see
    setting = next((SETTINGS[part] for part in finding["loc"] if isinstance(part, str) and part in SETTINGS), None)
    if setting is None:  # a name that is none of ours, or several settings that do not go together
        return f"unknown setting {finding['loc'][0]}" if finding["loc"] else rule
    source = _source(setting, flags)
    return f"{source}: {rule}" if setting.is_secret else f"{source}={repr(finding['input'])[:MAX_SHOWN]}: {rule}"
