"""The commands of ``mavis`` under one roof: what is wrong with a setting, a file or a model ends them with one line."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from mavis_core.api.errors import MavisError
from server.cli.chat import chat
from server.cli.evaluate import baseline, evaluate
from server.cli.key import key
from server.cli.serve import serve
from server.cli.train import distill, fit, label, measure, rollouts, train

# Their flags are the settings, which are made of pydantic: training needs neither.
WITH_SETTINGS = {"serve": (serve, None), "chat": (chat, ("model", "values"))}


class Commands(TyperGroup):
    def list_commands(self, ctx: Any) -> list[str]:
        return [*WITH_SETTINGS, *super().list_commands(ctx)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in WITH_SETTINGS:
            return super().get_command(ctx, cmd_name)
        from server.cli.flags import command_with_flags

        return command_with_flags(*WITH_SETTINGS[cmd_name])

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except MavisError as error:
            typer.secho(" ".join(str(error).split()), fg="red", err=True)
            raise typer.Exit(1) from None


app = typer.Typer(name="mavis", cls=Commands, add_completion=False)
for command in (key, rollouts, label, train, fit, measure, distill, baseline, evaluate):
    app.command()(command)


def show_version(wanted: bool) -> None:
    if wanted:
        from server.version import package_version

        typer.echo(f"mavis {package_version()}")
        raise typer.Exit


@app.callback(no_args_is_help=True)
def mavis(
    version: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Inference that its users steer: an OpenAI-compatible server, and the training of the values that steer it."""
