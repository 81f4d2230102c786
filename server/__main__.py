"""The command ``mavis``, and the composition root: the one place where the server meets an engine and models.

Torch, transformers and the model code are imported inside the commands, so that ``mavis --help`` is quick.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

if TYPE_CHECKING:
    from mavis_core.engine import Engine
    from mavis_core.engine_thread import EngineThread
    from mavis_core.tokenizer import Tokenizer
    from server.settings import Settings

app = typer.Typer(name="mavis", no_args_is_help=True, add_completion=False, help="Steerable LLM inference.")

Text = str | None
Number = int | None
Share = float | None
Switch = bool | None
TheModel = Annotated[Text, typer.Option(help="Policy: folder or hub id. Default: the model that ships.")]
TheValues = Annotated[Text, typer.Option(help="Value folders or hub ids, comma-separated.")]


@app.command()
def serve(
    model: TheModel = None,
    values: TheValues = None,
    served_model_name: Annotated[Text, typer.Option(help="Names clients may ask for, comma-separated.")] = None,
    host: Annotated[Text, typer.Option(help="Address to listen on. Default: 127.0.0.1.")] = None,
    port: Annotated[Number, typer.Option(help="Port to listen on. Default: 8000.")] = None,
    api_key: Annotated[Text, typer.Option(help="Accepted bearer keys; better in MAVIS_API_KEY.")] = None,
    allow_unauthenticated: Annotated[Switch, typer.Option(help="Other addresses than loopback without keys.")] = None,
    objective_weights: Annotated[Text, typer.Option(help="Default weights: cheerful=0.5,concise=1.")] = None,
    chat_template: Annotated[Path | None, typer.Option(help="Jinja file in place of the tokenizer's.")] = None,
    dtype: Annotated[Text, typer.Option(help="auto, float32, bfloat16 or float16.")] = None,
    device: Annotated[Text, typer.Option(help="auto, cpu, cuda, cuda:1, ...")] = None,
    max_model_len: Annotated[Number, typer.Option(help="Most tokens of prompt and answer.")] = None,
    max_num_seqs: Annotated[Number, typer.Option(help="Rows decoded together. Default: 32.")] = None,
    max_num_batched_tokens: Annotated[Number, typer.Option(help="Tokens of one step. Default: 2048.")] = None,
    enable_chunked_prefill: Annotated[Switch, typer.Option(help="Prefill long prompts in pieces.")] = None,
    block_size: Annotated[Number, typer.Option(help="Tokens per KV block. Default: 16.")] = None,
    kv_cache_tokens: Annotated[Number, typer.Option(help="KV slots. Default: derived.")] = None,
    gpu_memory_utilization: Annotated[Share, typer.Option(help="Share of GPU memory. Default: 0.85.")] = None,
    max_queue: Annotated[Number, typer.Option(help="Requests waiting before 429. Default: 128.")] = None,
    seed: Annotated[Number, typer.Option(help="Of requests that bring none. Default: 0.")] = None,
    max_body_bytes: Annotated[Number, typer.Option(help="Largest body. Default: 2 MiB.")] = None,
    drain_timeout: Annotated[Share, typer.Option(help="Seconds that SIGTERM leaves to requests.")] = None,
    log_level: Annotated[Text, typer.Option(help="critical, error, warning, info or debug.")] = None,
) -> None:
    """Serve a model on an OpenAI-compatible port. Every option is also MAVIS_<NAME> in the environment."""
    settings = settings_or_exit(**locals())
    from rich.console import Console

    from server import serving

    console = Console(stderr=True)
    logging.basicConfig(level=settings.log_level.upper(), format="%(levelname)s %(name)s: %(message)s")
    failed: list[Exception] = []
    with serving.LoadingBar(console) as bar:

        def done(engine: Engine) -> None:
            bar.__exit__()
            console.print(serving.banner(settings, engine.info), soft_wrap=True)

        def broken(error: Exception) -> None:
            bar.__exit__()
            failed.append(error)
            server.should_exit = True  # a server without a model ends, and does not answer 503 for ever

        client = engine_client(settings, bar, done, broken)
        server = serving.server_for(settings, client, lambda: tokenizer_of(client), client.start)
        server.run()
    if failed:
        fail(str(failed[0]))


@app.command()
def chat(
    url: Annotated[Text, typer.Option(help="A running server's; default: none, an engine right here.")] = None,
    api_key: Annotated[Text, typer.Option(envvar="MAVIS_API_KEY", help="Bearer key for --url.")] = None,
    model: TheModel = None,
    values: TheValues = None,
) -> None:
    """Chat in the terminal; weights change between turns and the KL is shown."""
    from rich.console import Console

    from server.terminal.http import HttpBackend
    from server.terminal.repl import Repl

    console = Console()

    async def talk() -> None:
        if url is not None:
            await Repl(HttpBackend(url, api_key), console).run()
            return
        from server.serving import LoadingBar
        from server.terminal.local import LocalBackend

        settings = settings_or_exit(model=model, values=values)
        with LoadingBar(console) as bar:
            client = engine_client(settings, bar, lambda _: None, lambda _: None)
            client.start()
            await client.wait_ready()
        if client.state != "ready":
            fail(client.reason)
        await Repl(LocalBackend(client, lambda: tokenizer_of(client)), console).run()

    asyncio.run(talk())


def engine_client(
    settings: Settings,
    progress: Callable[[str, float], None],
    done: Callable[[Engine], None],
    broken: Callable[[Exception], None],
) -> EngineThread:
    """An engine that loads on its own thread once started; ``done`` and ``broken`` are called there."""
    config = settings.engine_config()

    def build(report: Callable[[str, float], None]) -> Engine:
        report("importing torch", 0.0)
        from transformers.utils.logging import disable_progress_bar

        disable_progress_bar()  # ours is enough
        from server.weights import check_weights
        from value_models.loading import build_engine

        try:
            engine = build_engine(settings.model, settings.values, config, report)
            check_weights(settings.objective_weights, engine.info.objectives)
        except Exception as error:
            broken(error)
            raise
        done(engine)
        return engine

    from mavis_core.engine_thread import EngineThread

    return EngineThread(build, config, progress)


def tokenizer_of(client: EngineThread) -> Tokenizer:
    tokenizer = client.engine.tokenizer
    assert tokenizer is not None, "build_engine always loads one"
    return tokenizer


def settings_or_exit(**flags: Any) -> Settings:
    from mavis_core.errors import LoadError
    from server.settings import load_settings

    try:
        return load_settings(**flags)
    except LoadError as error:
        fail(str(error))


def fail(message: str) -> NoReturn:
    typer.secho(message, fg="red", err=True)
    raise typer.Exit(1)


def main() -> None:
    """The console script ``mavis``."""
    app()


if __name__ == "__main__":
    main()
