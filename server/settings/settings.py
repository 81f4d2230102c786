"""Every setting of a server, each declared here alone; those of the engine in ``mavis_core.api.config``.

From a declaration follow the flag of ``mavis serve``, the ``MAVIS_`` variable, what is accepted, the help text and the
row in ``docs/settings.md`` (``python -m scripts.settings_tables`` writes it). Names are vLLM's where vLLM has one.
"""

from __future__ import annotations

from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from mavis_core.api.config import EngineConfig
from server.engine_watch import OnDeath
from server.reasoning.markers import ReasoningParser
from server.settings.texts import (
    AdminKey,
    Connections,
    DatabaseUrl,
    Folder,
    HostList,
    KeyList,
    ObjectiveSources,
    RootPath,
    TextList,
    ValueSources,
    WeightMap,
    default_database,
    is_loopback,
)
from server.tools.formats.known import ToolParser
from server.wire.tls import tls_context

# An engine repeats itself unless told otherwise and wastes no time; a server does neither, for those who read along.
ENGINE = EngineConfig(seed=None, step_stretch=1.8, compile="auto")
ANY_MODEL = "*"


def setting(default: Any, description: str, **bounds: float) -> Any:
    """A field with its help text; ``bounds`` as pydantic names them: ge, gt, le."""
    return Field(default=default, description=description, **bounds)  # type: ignore[call-overload]


class Settings(BaseModel):
    """Made from text or values by the settings' names; those of ``engine`` may stand among the others."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    engine: EngineConfig = ENGINE
    model: str | None = setting(
        None,
        "The language model: a folder, a GGUF file, or the id of one on the Hugging Face hub (owner/name, or "
        "owner/name:file.gguf). "
        "Default: the small one that ships.",
    )
    values: ValueSources = setting(
        (),
        "Values that answers can be steered by, comma-separated: folders, ids on the Hugging Face hub, shipped:heads, "
        "shipped:lm or shipped:smollm2; folder#name is one of several; none is none. Default: those that ship for the "
        "model, which is shipped:heads for the small one that ships and shipped:smollm2 for SmolLM2-135M-Instruct.",
    )
    values_dir: Folder | None = setting(
        None, "Folder whose sub-folders are values that the holder of the admin key may load into the running server."
    )
    served_model_name: TextList = setting(
        (),
        "Names that clients may ask for the model by, comma-separated; answers carry the one that was asked for, or "
        "the first. * takes any name, so that applications written for another model run unchanged. "
        "Default: what --model says.",
    )
    host: str = setting("127.0.0.1", "Address to listen on; 0.0.0.0 is every IPv4 address of this machine.")
    port: int = setting(8000, "Port to listen on; 0 takes one that is free.", ge=0, le=65535)
    api_key: KeyList = setting(
        (),
        "Keys, comma-separated, of which clients must send one. As a flag every user of this machine can read them: "
        "prefer the variable, or --api-key-file.",
    )
    api_key_file: Path | None = setting(
        None, "YAML file of keys that clients may send, each with a name and rate limits; 'mavis key' makes its lines."
    )
    admin_api_key: AdminKey | None = setting(
        None,
        "Key for everything, the administration of values and presets included. As a flag every user of this machine "
        "can read it: prefer the variable.",
    )
    allow_unauthenticated: bool = setting(
        False, "Serve without keys although other machines can reach --host: whoever reaches it may use it."
    )
    objective_weights: WeightMap = setting(
        {}, "How strongly requests that say nothing about it are steered: cheerful=0.5,concise=1, or the same as JSON."
    )
    objectives: ObjectiveSources = setting(
        ("auto",),
        "Objectives in words, comma-separated: shipped (a set for everyday use), YAML files of yours, or both; none; "
        "or auto, which is shipped for any model but the small one that ships.",
    )
    max_request_objectives: int = setting(
        8, "Most objectives that one request may describe in words of its own; 0 forbids it.", ge=0, le=64
    )
    presets: Path | None = setting(
        None, "YAML file of presets: named sets of weights, which clients choose by asking for <model>:<preset>."
    )
    database: DatabaseUrl = Field(
        default_factory=default_database,
        description="Where presets and users' preferences are stored: sqlite:///path or postgresql://user@host/name. "
        "Default: a SQLite file in ~/.local/state/mavis.",
    )
    bounds: Path | None = setting(
        None,
        "YAML file of bounds on weights, strength and KL that no request can leave, by key and for all others.",
    )
    requests_per_minute: int | None = setting(
        None, "Most requests in a minute by one key that has no limit of its own. Default: any number.", ge=1
    )
    tokens_per_minute: int | None = setting(
        None,
        "Most tokens in a minute, prompts and answers together, by one key that has no limit of its own. "
        "Default: any number.",
        ge=1,
    )
    chat_template: Path | None = setting(
        None,
        "Jinja file that turns a conversation into the model's prompt. Default: the template in the model's folder.",
    )
    tool_call_parser: ToolParser = setting(
        "auto", "The form in which the model writes calls of tools; auto goes by what the chat template shows."
    )
    reasoning_parser: ReasoningParser = setting(
        "auto",
        "The marks around what the model thinks before it answers, which is then told apart from the answer; auto goes "
        "by what the chat template has. deepseek_r1 is think for models that never write the first mark.",
    )
    search_rewards: TextList = setting(
        (), "Reward functions, comma-separated, by which requests with guidance.search may choose among answers."
    )
    engine_process: bool = setting(
        False,
        "Run the model in a process of its own: many streams no longer slow it down, at the price of some memory.",
    )
    on_engine_death: OnDeath = setting(
        "exit",
        "What to do when the engine has failed for good: end the server, restart the engine (needs --engine-process), "
        "or stay and answer 503.",
    )
    unknown_fields: Literal["ignore", "refuse"] = setting(
        "ignore",
        "What happens to a request with fields that this server does not know: ignore leaves them out and names them "
        "in a header, refuse answers 400.",
    )
    max_body_bytes: int = setting(
        2 * 2**20, "Largest body of a request, in bytes; larger ones are refused with 413.", ge=1024
    )
    max_connections: Connections | None = setting(
        None,
        "Most connections that may be open at the same time. "
        "Default: what the limit of file descriptors allows, at most 4096.",
        ge=1,
    )
    max_connections_per_address: int | None = setting(
        None,
        "Most connections from one address. Default: half of all, and no limit for clients on this machine.",
        ge=1,
    )
    head_timeout: float = setting(
        20.0, "Seconds in which a client must have finished its TLS handshake, and then a request's headers.", gt=0
    )
    body_timeout: float = setting(60.0, "Seconds in which a client must have sent the body of a request.", gt=0)
    keep_alive_timeout: int = setting(
        5, "Seconds that a connection is kept open for another request after an answer.", ge=1
    )
    root_path: RootPath = setting(
        "", "Path under which a proxy in front publishes this server and which it strips: /mavis."
    )
    allowed_hosts: HostList = setting(
        (),
        "Host names, comma-separated, that requests may be addressed to beside localhost; *.name and * are patterns. "
        "Default: any, but none beside localhost while the server is on loopback and asks for no keys.",
    )
    allowed_origins: TextList = setting(
        (),
        "Origins (https://app.example), comma-separated, whose web pages may call this server (CORS); * is every one.",
    )
    allowed_methods: TextList = setting(
        ("*",), "HTTP methods, comma-separated, that pages of --allowed-origins may use; * is every one."
    )
    allowed_headers: TextList = setting(
        ("*",), "Request headers, comma-separated, that pages of --allowed-origins may send; * is every one."
    )
    allow_credentials: bool = setting(
        False, "Let pages of --allowed-origins send cookies; the origins must then be named one by one."
    )
    ssl_certfile: Path | None = setting(
        None, "File with the server's certificate and those that vouch for it (PEM): serve HTTPS instead of HTTP."
    )
    ssl_keyfile: Path | None = setting(
        None, "File with the private key of --ssl-certfile (PEM). Default: the key is in the certificate's file."
    )
    ssl_ca_certs: Path | None = setting(
        None,
        "File with certificates of authorities (PEM): let in only clients that show a certificate from one of them.",
    )
    drain_timeout: float = setting(
        30.0,
        "Seconds that running requests are given to finish once the server is told to stop (SIGTERM, Ctrl-C).",
        ge=0,
    )
    write_timeout: float = setting(
        60.0, "Seconds after which a client that does not read its answer is disconnected.", gt=0
    )
    metrics_prefix: Literal["mavis", "vllm"] = setting(
        "mavis",
        "How the metrics begin that vLLM has, too; vllm adds vLLM's labels, for dashboards that were made for it.",
    )
    playground: bool = setting(True, "Serve a web page at / that chats with the model and has a slider per objective.")
    log_level: Literal["critical", "error", "warning", "info", "debug"] = setting(
        "info", "How much is logged to the error stream; debug has a line for every request."
    )

    @property
    def takes_any_model(self) -> bool:
        """Whether clients may ask for the model by any name."""
        return ANY_MODEL in self.served_model_name

    def model_names(self, model: str) -> tuple[str, ...]:
        """The names of ``model``, which was loaded, that are listed."""
        return tuple(name for name in self.served_model_name if name != ANY_MODEL) or (model,)

    @model_validator(mode="before")
    @classmethod
    def _gather_engine(cls, given: dict[str, Any]) -> dict[str, Any]:
        of_engine = {field.name for field in fields(EngineConfig)} & given.keys()
        if not of_engine:
            return given
        others = {name: value for name, value in given.items() if name not in of_engine}
        return others | {"engine": asdict(given.get("engine", ENGINE)) | {name: given[name] for name in of_engine}}

    @model_validator(mode="after")
    def _settings_that_go_together(self) -> Self:
        if self.allow_credentials and (not self.allowed_origins or "*" in self.allowed_origins):
            raise ValueError("--allow-credentials needs --allowed-origins that are named one by one")
        if self.on_engine_death == "restart" and not self.engine_process:
            raise ValueError(
                "--on-engine-death=restart needs --engine-process: a device that failed stays failed for its process"
            )
        if self.ssl_certfile is not None:
            tls_context(self.ssl_certfile, self.ssl_keyfile, self.ssl_ca_certs)
        elif self.ssl_keyfile or self.ssl_ca_certs:
            raise ValueError("--ssl-keyfile and --ssl-ca-certs need --ssl-certfile")
        if not (self.api_key or self.api_key_file or self.allow_unauthenticated or is_loopback(self.host)):
            raise ValueError(
                f"--host={self.host} is reachable from other machines and there are no API keys: "
                "give --api-key (or MAVIS_API_KEY) or --api-key-file, or say --allow-unauthenticated"
            )
        return self
