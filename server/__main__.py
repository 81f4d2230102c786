"""The command ``mavis``, and the composition root: the one place where the server meets an engine and models.

Torch, transformers and the model code are imported inside the commands, so that ``mavis --help`` is quick.
"""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

if TYPE_CHECKING:
    from mavis_core.api.config import EngineConfig
    from mavis_core.api.messages import ObjectiveInfo
    from mavis_core.engine import Engine
    from mavis_core.process.queue_client import QueueClient
    from mavis_core.search.scorer import SequenceScorer
    from server.protocol.presets import Preset
    from server.settings import Settings
    from value_models.training.run import Run

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
    values_dir: Annotated[Path | None, typer.Option(help="Folder whose values the admin may load at run time.")] = None,
    served_model_name: Annotated[Text, typer.Option(help="Names clients may ask for, comma-separated.")] = None,
    host: Annotated[Text, typer.Option(help="Address to listen on. Default: 127.0.0.1.")] = None,
    port: Annotated[Number, typer.Option(help="Port to listen on. Default: 8000.")] = None,
    api_key: Annotated[Text, typer.Option(help="Accepted bearer keys; better in MAVIS_API_KEY.")] = None,
    api_key_file: Annotated[Path | None, typer.Option(help="YAML list of keys with names and limits.")] = None,
    admin_api_key: Annotated[Text, typer.Option(help="Opens admin endpoints; better in MAVIS_ADMIN_API_KEY.")] = None,
    allow_unauthenticated: Annotated[Switch, typer.Option(help="Other addresses than loopback without keys.")] = None,
    objective_weights: Annotated[Text, typer.Option(help="Default weights: cheerful=0.5,concise=1.")] = None,
    presets: Annotated[Path | None, typer.Option(help="YAML file of presets: weights under a name.")] = None,
    database: Annotated[Text, typer.Option(help="URL, sqlite or postgresql. Default: a file of yours.")] = None,
    requests_per_minute: Annotated[Number, typer.Option(help="Of each key. Default: no limit.")] = None,
    tokens_per_minute: Annotated[Number, typer.Option(help="Of each key. Default: no limit.")] = None,
    chat_template: Annotated[Path | None, typer.Option(help="Jinja file in place of the tokenizer's.")] = None,
    dtype: Annotated[Text, typer.Option(help="auto, float32, bfloat16 or float16.")] = None,
    device: Annotated[Text, typer.Option(help="auto, cpu, cuda, cuda:1, ...")] = None,
    threads: Annotated[
        Number, typer.Option(help="Of a step on a CPU. Default: 1, or all cores if it is large.")
    ] = None,
    max_model_len: Annotated[Number, typer.Option(help="Most tokens of prompt and answer.")] = None,
    max_num_seqs: Annotated[Number, typer.Option(help="Rows decoded together. Default: 32.")] = None,
    max_num_batched_tokens: Annotated[Number, typer.Option(help="Tokens of one step. Default: 2048.")] = None,
    enable_chunked_prefill: Annotated[Switch, typer.Option(help="Prefill long prompts in pieces.")] = None,
    enable_prefix_caching: Annotated[Switch, typer.Option(help="Reuse the KV of prompts that begin alike.")] = None,
    block_size: Annotated[Number, typer.Option(help="Tokens per KV block. Default: 16.")] = None,
    kv_cache_tokens: Annotated[Number, typer.Option(help="KV slots. Default: derived.")] = None,
    gpu_memory_utilization: Annotated[Share, typer.Option(help="Share of GPU memory. Default: 0.85.")] = None,
    unknown_fields: Annotated[Text, typer.Option(help="Of requests: ignore or refuse. Default: ignore.")] = None,
    max_queue: Annotated[Number, typer.Option(help="Requests waiting before 429. Default: 128.")] = None,
    seed: Annotated[Number, typer.Option(help="Of requests that bring none, in turn. Default: random.")] = None,
    search_rewards: Annotated[Text, typer.Option(help="Rewards that guidance.search may choose by.")] = None,
    engine_process: Annotated[Switch, typer.Option(help="The engine in a process of its own.")] = None,
    on_engine_death: Annotated[Text, typer.Option(help="exit, restart or stay. Default: exit.")] = None,
    max_body_bytes: Annotated[Number, typer.Option(help="Largest body. Default: 2 MiB.")] = None,
    max_connections: Annotated[Number, typer.Option(help="Open at once. Default: what fits, up to 4096.")] = None,
    max_connections_per_address: Annotated[Number, typer.Option(help="Of one client. Default: half of them.")] = None,
    head_timeout: Annotated[Share, typer.Option(help="Seconds for TLS, and for a request's head.")] = None,
    body_timeout: Annotated[Share, typer.Option(help="Seconds for a request's body.")] = None,
    keep_alive_timeout: Annotated[Number, typer.Option(help="Seconds between two requests. Default: 5.")] = None,
    root_path: Annotated[Text, typer.Option(help="Path prefix that a proxy in front takes off.")] = None,
    allowed_hosts: Annotated[Text, typer.Option(help="Names to answer to, comma-separated.")] = None,
    allowed_origins: Annotated[Text, typer.Option(help="Origins whose pages may call, comma-separated.")] = None,
    allowed_methods: Annotated[Text, typer.Option(help="Methods that they may use. Default: any.")] = None,
    allowed_headers: Annotated[Text, typer.Option(help="Headers that they may send. Default: any.")] = None,
    allow_credentials: Annotated[Switch, typer.Option(help="They may send cookies.")] = None,
    ssl_certfile: Annotated[Path | None, typer.Option(help="Certificate chain (PEM): serve HTTPS.")] = None,
    ssl_keyfile: Annotated[Path | None, typer.Option(help="Its key. Default: in the same file.")] = None,
    ssl_ca_certs: Annotated[Path | None, typer.Option(help="Require client certificates of these.")] = None,
    drain_timeout: Annotated[Share, typer.Option(help="Seconds that SIGTERM leaves to requests.")] = None,
    write_timeout: Annotated[Share, typer.Option(help="Seconds that an answer may lie unread.")] = None,
    metrics_prefix: Annotated[Text, typer.Option(help="Of metrics that vLLM has: mavis or vllm.")] = None,
    playground: Annotated[Switch, typer.Option(help="The page with sliders at /. Default: on.")] = None,
    log_level: Annotated[Text, typer.Option(help="critical, error, warning, info or debug.")] = None,
) -> None:
    """Serve a model on an OpenAI-compatible port. Every option is also MAVIS_<NAME> in the environment."""
    settings = settings_or_exit(**locals())
    from rich.console import Console

    from mavis_core.api.errors import LoadError
    from server import serving
    from server.engine_watch import watch
    from server.wire.leaving import leave

    console = Console(stderr=True)
    logging.basicConfig(level=settings.log_level.upper(), format="%(levelname)s %(name)s: %(message)s")
    tasks: list[asyncio.Task[None]] = []
    with serving.LoadingBar(console) as bar:

        def announce() -> None:
            bar.__exit__()
            gc.freeze()  # what is loaded stays: to go through it again stalls the event loop for half a second
            console.print(serving.banner(settings, client.info), soft_wrap=True)

        def start() -> None:
            client.start()
            tasks.append(asyncio.create_task(watch(client, settings.on_engine_death, announce, server.give_up)))

        try:
            client = engine_client(settings, bar)
            server = serving.server_for(settings, client, lambda: client.tokenizer, start)
        except LoadError as error:
            bar.__exit__()
            fail(str(error))
        server.run()
    if server.failure is not None:
        typer.secho(server.failure, fg="red", err=True)
    if not client.stopped:
        leave(server.exit_code)
    raise typer.Exit(server.exit_code)


@app.command()
def key(
    name: Annotated[Text, typer.Option(help="Who it is for; stands in messages and logs.")] = None,
    requests_per_minute: Annotated[Number, typer.Option(min=1, help="Limit of its own.")] = None,
    tokens_per_minute: Annotated[Number, typer.Option(min=1, help="Limit of its own.")] = None,
) -> None:
    """Make a random API key: the key on the error stream, its line for --api-key-file on the output."""
    from mavis_core.api.errors import LoadError
    from server.http.key_file import new_entry

    try:
        made, line = new_entry(name, requests_per_minute, tokens_per_minute)
    except LoadError as error:
        fail(str(error))
    typer.secho(f"the key, shown only here: {made}", err=True)
    typer.echo(line)


@app.command()
def chat(
    url: Annotated[Text, typer.Option(help="A running server's; default: none, an engine right here.")] = None,
    api_key: Annotated[Text, typer.Option(envvar="MAVIS_API_KEY", help="Bearer key for --url.")] = None,
    model: TheModel = None,
    values: TheValues = None,
) -> None:
    """Chat in the terminal; weights change between turns and the KL is shown."""
    from rich.console import Console

    from server.terminal.remote import HttpBackend
    from server.terminal.repl import Repl

    console = Console()

    async def talk() -> None:
        if url is not None:
            await Repl(HttpBackend(url, api_key), console).run()
            return
        from mavis_core.api.errors import LoadError
        from server.serving import LoadingBar
        from server.terminal.local import LocalBackend

        settings = settings_or_exit(model=model, values=values)
        with LoadingBar(console) as bar:
            try:
                client = engine_client(settings, bar)
            except LoadError as error:
                bar.__exit__()
                fail(str(error))
            client.start()
            await client.wait_ready()
        if client.state != "ready":
            fail(client.reason)
        await Repl(LocalBackend(client, lambda: client.tokenizer), console).run()

    asyncio.run(talk())


TheRun = Annotated[Path, typer.Argument(help="YAML file of the run, see docs/training.md.")]


@app.command()
def rollouts(config: TheRun) -> None:
    """Sample trees of responses to a run's prompts. Resumes where it stopped."""
    with a_run(config) as run:
        run.roll_out()


@app.command()
def label(config: TheRun) -> None:
    """Score the sampled responses by every reward of a run. Resumes where it stopped."""
    with a_run(config) as run:
        run.label()


@app.command()
def train(config: TheRun) -> None:
    """Train a run's value on its labelled rollouts. Resumes after its last whole epoch."""
    with a_run(config) as run:
        run.train()


@app.command()
def fit(config: TheRun) -> None:
    """From prompts and rewards to a value: rollouts, label and train in one. Resumes where it stopped."""
    with run_file(config):
        from value_models.training.iterate import runs
        from value_models.training.run import Run
        from value_models.training.run_config import load_config

        for each in runs(load_config(config)):
            Run(each, say=typer.echo).fit()


@app.command()
def measure(
    config: TheRun,
    values: Annotated[list[str], typer.Option(help="As of serve; may be given several times.")],
    out: Annotated[Path | None, typer.Option(help="JSON file for all figures.")] = None,
) -> None:
    """How well values foresee the rewards of a run's held-out trees, beside the trivial predictors."""
    if out is not None and not out.parent.is_dir():
        fail(f"--out {out}: there is no folder {out.parent}")
    with a_run(config) as run:
        from server.settings import comma_separated
        from value_models.training.compare_values import compare_values

        found = compare_values(run, [value for each in values for value in comma_separated(each)])
        for value, objectives in found.items():
            for name, m in objectives.items():
                typer.echo(
                    f"{value}  {name}: MSE {m['mse']:.3f} (constant {m['mse_constant']:.3f}, mean of the prompt "
                    f"{m['mse_prompt_mean']:.3f}), siblings ranked right {m['ranking']:.3f}"
                )
        if out is not None:
            out.write_text(json.dumps(found, indent=1) + "\n")


@app.command()
def distill(config: Annotated[Path, typer.Argument(help="YAML file, see docs/training.md.")]) -> None:
    """Teach one value what several say. Resumes after its last whole epoch."""
    with run_file(config):
        from value_models.training import distill as distillation

        distillation.distill(distillation.load_config(config), say=typer.echo)


@app.command()
def baseline(config: Annotated[Path, typer.Argument(help="YAML file, see docs/baselines.md.")]) -> None:
    """Train policies by RL to compare values with: MORLHF, RSoup, MOD. Resumes after its last checkpoint."""
    with run_file(config):
        from value_models.baselines.config import load_config
        from value_models.baselines.train import train_policies

        train_policies(load_config(config), say=typer.echo)


@app.command()
def evaluate(config: Annotated[Path, typer.Argument(help="YAML file, see docs/evaluation.md.")]) -> None:
    """Compare ways of steering at equal KL, on the same prompts; writes a report. Resumes where it stopped."""
    with run_file(config):
        from value_models.evaluation.config import load_config
        from value_models.evaluation.evaluate import Evaluation

        Evaluation(load_config(config), say=typer.echo).run()


@contextmanager
def a_run(path: Path) -> Iterator[Run]:
    """The run of a YAML file."""
    with run_file(path):
        from value_models.training.run import Run
        from value_models.training.run_config import load_config

        yield Run(load_config(path), say=typer.echo)


@contextmanager
def run_file(path: Path) -> Iterator[None]:
    """Work on a YAML file, beside which lie the modules that its rewards may name; errors end the command."""
    from transformers.utils.logging import disable_progress_bar

    from mavis_core.api.errors import MavisError

    disable_progress_bar()  # ours are enough
    sys.path.insert(0, str(path.resolve().parent))
    try:
        yield
    except (MavisError, OSError) as error:  # OSError: an unwritable folder, a full disk
        fail(" ".join(str(error).split()))


def engine_client(settings: Settings, progress: Callable[[str, float], None]) -> QueueClient:
    """An engine that loads once started, on a thread or in a process of its own; raises LoadError."""
    config = settings.engine_config()
    from server.stored.presets import read_presets

    scorer = reward_scorer(settings.search_rewards)
    check = partial(check_steering, settings.objective_weights, read_presets(settings.presets), settings.presets)
    build = partial(load_engine, settings.model, settings.values, check, config)
    if settings.engine_process:
        from mavis_core.process.engine_process import EngineProcess

        return EngineProcess(build, config, progress, scorer)
    from mavis_core.process.engine_thread import EngineThread

    return EngineThread(build, config, progress, scorer)


def reward_scorer(names: Sequence[str]) -> SequenceScorer | None:
    """What searches may choose by, beside values; raises LoadError."""
    if not names:
        return None
    from value_models.rewards.scorer import RewardScorer

    return RewardScorer(names)


def load_engine(
    model: str | None,
    values: Sequence[str],
    check: Callable[[Sequence[ObjectiveInfo]], None],
    config: EngineConfig,
    report: Callable[[str, float], None],
) -> Engine:
    """The engine, if ``check`` accepts its objectives; runs where the engine will."""
    report("importing torch", 0.0)
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()  # ours is enough
    from value_models.loading import build_engine

    engine = build_engine(model, values, config, report)
    check(engine.info.objectives)
    return engine


def check_steering(
    default: Mapping[str, float],
    presets: Mapping[str, Preset],
    presets_file: Path | None,
    objectives: Sequence[ObjectiveInfo],
) -> None:
    """That the loaded values can serve the default weights and the presets of the file."""
    from server.stored.presets import check_presets
    from server.weights import check_weights

    check_weights(default, objectives)
    check_presets(presets, presets_file, objectives)


def settings_or_exit(**flags: Any) -> Settings:
    from mavis_core.api.errors import LoadError
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
