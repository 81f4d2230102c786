"""A command with a flag for each setting: made from the declarations, so that no setting is written down here."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection
from inspect import Parameter
from typing import Any

import typer
from typer.main import get_command

from server.settings.declared import SETTINGS, Setting


def command_with_flags(function: Callable[..., None], names: Collection[str] | None) -> Any:
    """``function`` as a command of its own.

    Args:
        function: takes the flags that were given, by name of setting, as its first argument; further ones are options
            of its own, as typer has them.
        names: the settings that it takes; None is every one.
    """
    chosen = [setting for setting in SETTINGS.values() if names is None or setting.name in names]
    own = list(inspect.signature(function, eval_str=True).parameters.values())[1:]
    parameters = [*map(_flag, chosen), *(each.replace(kind=Parameter.KEYWORD_ONLY) for each in own)]

    def command(**given: Any) -> None:
        flags = {setting.name: given.pop(setting.name) for setting in chosen}
        function({name: flag for name, flag in flags.items() if flag is not None}, **given)

    command.__name__, command.__doc__ = function.__name__, function.__doc__
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {each.name: each.annotation for each in parameters}
    alone = typer.Typer(add_completion=False)
    alone.command()(command)
    return get_command(alone)


def _flag(setting: Setting) -> Parameter:
    """Text, whatever the setting's type: one rule reads flags and variables, in ``server.settings``."""
    names = f"{setting.flag}/--no-{setting.flag.removeprefix('--')}" if setting.is_switch else setting.flag
    option = typer.Option(
        None,
        names,
        help=f"{setting.help} Default: {setting.shown_default}." if setting.shown_default else setting.help,
        metavar=None if setting.is_switch else f"<{setting.takes}>",
        show_default=False,
        rich_help_panel=setting.section,
    )
    kind: Any = bool | None if setting.is_switch else str | None
    return Parameter(setting.name, Parameter.KEYWORD_ONLY, default=option, annotation=kind)
