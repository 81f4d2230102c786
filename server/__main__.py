"""The command ``mavis``, and the composition root: the one place where the server meets an engine and models.

Torch, transformers and the model code are imported inside the commands, so that ``mavis --help`` is quick.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

if TYPE_CHECKING:
    from mavis_core.config import EngineConfig
    from mavis_core.engine import Engine
    from mavis_core.queue_client import QueueClient
    from mavis_core.search.scorer import SequenceScorer
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
    search_rewards: Annotated[Text, typer.Option(help="Rewards that guidance.search may choose by.")] = None,
    engine_process: Annotated[Switch, typer.Option(help="The engine in a process of its own.")] = None,
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
    failed: list[str] = []
    tasks: list[asyncio.Task[None]] = []
    with serving.LoadingBar(console) as bar:

        async def announce() -> None:
            await client.wait_ready()
            bar.__exit__()
            if client.state != "dead":
                console.print(serving.banner(settings, client.info), soft_wrap=True)
            elif not server.should_exit:
                failed.append(client.reason)
                server.should_exit = True  # a server without a model ends, and does not answer 503 for ever

        def start() -> None:
            client.start()
            tasks.append(asyncio.create_task(announce()))

        client = engine_client(settings, bar)
        server = serving.server_for(settings, client, lambda: client.tokenizer, start)
        server.run()
    if failed:
        fail(failed[0])


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
            client = engine_client(settings, bar)
            client.start()
            await client.wait_ready()
        if client.state != "ready":
            fail(client.reason)
        await Repl(LocalBackend(client, lambda: client.tokenizer), console).run()

    asyncio.run(talk())


def engine_client(settings: Settings, progress: Callable[[str, float], None]) -> QueueClient:
    """An engine that loads once started, on a thread or in a process of its own."""
    config = settings.engine_config()
    scorer = reward_scorer(settings.search_rewards)
    build = partial(load_engine, settings.model, settings.values, settings.objective_weights, config)
    if settings.engine_process:
        from mavis_core.engine_process import EngineProcess

        return EngineProcess(build, config, progress, scorer)
    from mavis_core.engine_thread import EngineThread

    return EngineThread(build, config, progress, scorer)


def reward_scorer(names: Sequence[str]) -> SequenceScorer | None:
    """What searches may choose by, beside values; the process ends if it cannot be loaded."""
    if not names:
        return None
    from mavis_core.errors import LoadError
    from value_models.rewards.scorer import RewardScorer

    try:
        return RewardScorer(names)
    except LoadError as error:
        fail(str(error))


def load_engine(
    model: str | None,
    values: Sequence[str],
    weights: Mapping[str, float],
    config: EngineConfig,
    report: Callable[[str, float], None],
) -> Engine:
    """The engine, if it can serve these default weights; runs where the engine will."""
    report("importing torch", 0.0)
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()  # ours is enough
    from server.weights import check_weights
    from value_models.loading import build_engine

    engine = build_engine(model, values, config, report)
    check_weights(weights, engine.info.objectives)
    return engine


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
    from server.__main__ import main as named_main  # an engine process can import ``load_engine`` from there, not here

    named_main()
