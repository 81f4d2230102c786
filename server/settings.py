"""Settings of one server process: flags over environment over defaults, and the only reader of the environment.

Names are vLLM's where vLLM has one. ``MAVIS_`` + the upper-case name is the variable, ``--`` + the dashed name the
flag. An unknown ``MAVIS_`` variable is an error: a setting that is silently not applied (an API key, say) is worse
than a server that does not start. Lists are comma-separated.
"""

from __future__ import annotations

import difflib
import ipaddress
import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal

import orjson
from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from mavis_core.api.config import EngineConfig
from mavis_core.api.errors import InvalidRequestError, LoadError
from server.engine_watch import OnDeath
from server.stored.database import parse_url
from server.weights import parse_weights
from server.wire.descriptors import connections_that_fit
from server.wire.tls import tls_context

PREFIX = "MAVIS_"
MIN_ADMIN_KEY = 16
ROOT_PATH = re.compile(r"(/[A-Za-z0-9._~-]+)+")
ALLOWED_HOST = re.compile(r"\*|(\*\.)?[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*|[0-9A-Fa-f:]+(\.[0-9]+)*")
StringList = Annotated[tuple[str, ...], NoDecode]
SecretList = Annotated[tuple[SecretStr, ...], NoDecode]
WeightMap = Annotated[dict[str, float], NoDecode]


def default_database() -> SecretStr:
    """A file where the XDG base directory specification wants state that survives restarts.

    A user without a home gets the system's place; whether it can be written to, the first write will tell.
    """
    state = Path(os.environ.get("XDG_STATE_HOME", ""))
    home = Path(os.path.expanduser("~"))
    base = state if state.is_absolute() else home / ".local" / "state" if home.is_absolute() else Path("/var/lib")
    return SecretStr(f"sqlite:///{base / 'mavis' / 'mavis.db'}")


def own_threads() -> int | None:
    """What OpenMP's own variable says, which torch would follow too."""
    said = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    return int(said) if said.isdecimal() and int(said) else None


def comma_separated(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True, hide_input_in_errors=True)

    model: str | None = Field(default=None, description="policy: folder or hub id; none serves the model that ships")
    values: StringList = Field(default=(), description="value folders or hub ids")
    values_dir: Path | None = Field(default=None, description="folder whose values the admin may load at run time")
    served_model_name: StringList = Field(
        default=(), description="names clients may ask for; the first is the answer's"
    )
    host: str = Field(default="127.0.0.1", description="address to listen on")
    port: int = Field(default=8000, ge=0, le=65535, description="port to listen on; 0 picks a free one")
    api_key: SecretList = Field(default=(), description="accepted bearer keys")
    api_key_file: Path | None = Field(default=None, description="YAML list of keys with names and limits")
    admin_api_key: SecretStr | None = Field(default=None, description="key that opens the admin endpoints, too")
    allow_unauthenticated: bool = Field(default=False, description="serve other addresses than loopback without keys")
    objective_weights: WeightMap = Field(
        default={}, description="weights of requests that bring none: cheerful=0.5,concise=1"
    )
    presets: Path | None = Field(default=None, description="YAML file of presets: weights under a name")
    database: SecretStr = Field(
        default_factory=default_database, description="URL of stored presets and preferences, sqlite or postgresql"
    )
    requests_per_minute: int | None = Field(default=None, ge=1, description="of each key; none: no limit")
    tokens_per_minute: int | None = Field(default=None, ge=1, description="of each key; none: no limit")
    chat_template: Path | None = Field(default=None, description="Jinja file in place of the tokenizer's chat template")
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        default="auto", description="weights and activations"
    )
    device: str = Field(default="auto", description="auto, cpu, cuda, cuda:1, ...")
    threads: int | None = Field(
        default_factory=own_threads,
        ge=1,
        description="that a step uses on a CPU; none: OMP_NUM_THREADS, else 1 for a small model, all cores for a large",
    )
    max_model_len: int | None = Field(
        default=None, ge=2, description="most tokens of prompt and answer; none: the model's"
    )
    max_num_seqs: int = Field(default=32, ge=1, description="rows decoded together")
    max_num_batched_tokens: int = Field(default=2048, ge=1, description="tokens of one engine step")
    enable_chunked_prefill: bool = Field(default=True, description="prefill long prompts in pieces")
    enable_prefix_caching: bool = Field(default=True, description="reuse the KV of prompts that begin alike")
    block_size: int = Field(default=16, ge=1, description="tokens per KV block")
    kv_cache_tokens: int | None = Field(default=None, ge=1, description="KV slots; none derives it")
    gpu_memory_utilization: float = Field(default=0.85, gt=0, le=1, description="share of GPU memory to use")
    unknown_fields: Literal["ignore", "refuse"] = Field(
        default="ignore", description="of requests: leave them out and say so, or answer 400"
    )
    max_queue: int = Field(default=128, ge=0, description="choices in flight beyond max_num_seqs before 429")
    seed: int | None = Field(
        default=None, description="requests that bring no seed get theirs from it, in turn; none: random ones"
    )
    search_rewards: StringList = Field(default=(), description="rewards that guidance.search may choose by")
    engine_process: bool = Field(default=False, description="the engine in a process of its own, not on a thread")
    on_engine_death: OnDeath = Field(default="exit", description="exit, restart (an engine process) or stay")
    max_body_bytes: int = Field(default=2 * 2**20, ge=1024, description="largest request body; above it 413")
    max_connections: int | None = Field(
        default=None, ge=1, description="open at once; none: what the limit of file descriptors allows, at most 4096"
    )
    max_connections_per_address: int | None = Field(
        default=None, ge=1, description="of one client; none: half of them, and any number from this machine"
    )
    head_timeout: float = Field(default=20.0, gt=0, description="seconds for a TLS handshake, and for a request's head")
    body_timeout: float = Field(default=60.0, gt=0, description="seconds for a request's body")
    keep_alive_timeout: int = Field(default=5, ge=1, description="seconds that a connection may wait between requests")
    root_path: str = Field(default="", description="path prefix that a proxy in front takes off")
    allowed_hosts: StringList = Field(
        default=(), description="names to answer to, beside localhost; none: any, on loopback without keys no other"
    )
    allowed_origins: StringList = Field(default=(), description="origins whose pages may call (CORS); * is any")
    allowed_methods: StringList = Field(default=("*",), description="methods that they may use")
    allowed_headers: StringList = Field(default=("*",), description="headers that they may send")
    allow_credentials: bool = Field(default=False, description="they may send cookies; not with any origin")
    ssl_certfile: Path | None = Field(default=None, description="certificate chain (PEM): serve HTTPS")
    ssl_keyfile: Path | None = Field(default=None, description="its private key; none: in the same file")
    ssl_ca_certs: Path | None = Field(default=None, description="authorities whose client certificates are required")
    drain_timeout: float = Field(default=30.0, ge=0, description="seconds that SIGTERM leaves to requests in flight")
    write_timeout: float = Field(default=60.0, gt=0, description="seconds that a client may leave an answer unread")
    metrics_prefix: Literal["mavis", "vllm"] = Field(
        default="mavis", description="of the metrics that vLLM has too; vllm adds its labels"
    )
    playground: bool = Field(default=True, description="the page with sliders at /")
    log_level: Literal["critical", "error", "warning", "info", "debug"] = Field(
        default="info", description="of the log"
    )

    @field_validator(
        "values",
        "served_model_name",
        "api_key",
        "search_rewards",
        "allowed_hosts",
        "allowed_origins",
        "allowed_methods",
        "allowed_headers",
        mode="before",
    )
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            if value.startswith("["):  # vLLM's way to write its lists of origins, methods and headers
                return tuple(orjson.loads(value))
            return comma_separated(value)
        return value

    @field_validator("objective_weights", mode="before")
    @classmethod
    def _parse_weights(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        try:
            return parse_weights(value, "objective_weights")
        except InvalidRequestError as error:
            raise ValueError(str(error)) from None

    @field_validator("api_key")
    @classmethod
    def _no_empty_key(cls, keys: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        stripped = [key.get_secret_value().strip() for key in keys]  # as what a client sends is
        if not all(stripped):
            raise ValueError("a key is empty")
        return tuple(map(SecretStr, stripped))

    @field_validator("admin_api_key")
    @classmethod
    def _long_admin_key(cls, key: SecretStr | None) -> SecretStr | None:
        if key is None:
            return None
        stripped = key.get_secret_value().strip()
        if len(stripped) < MIN_ADMIN_KEY:
            raise ValueError(f"must have at least {MIN_ADMIN_KEY} characters; 'mavis key' makes one")
        return SecretStr(stripped)

    @field_validator("values_dir")
    @classmethod
    def _existing_folder(cls, folder: Path | None) -> Path | None:
        if folder is not None and not folder.is_dir():
            raise ValueError(f"{folder} is not a folder")
        return folder

    @field_validator("max_connections")
    @classmethod
    def _enough_descriptors(cls, count: int | None) -> int | None:
        if count is not None and count > connections_that_fit():
            raise ValueError(f"{count}: at most {connections_that_fit()} fit the limit of file descriptors (ulimit -n)")
        return count

    @field_validator("allowed_hosts")
    @classmethod
    def _names_of_hosts(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if not ALLOWED_HOST.fullmatch(name):
                raise ValueError(f"{name!r}: must be a name or address without port, *.name, or *")
        return names

    @field_validator("database")
    @classmethod
    def _usable_url(cls, address: SecretStr) -> SecretStr:
        parse_url(address.get_secret_value())
        return address

    @field_validator("root_path")
    @classmethod
    def _plain_prefix(cls, path: str) -> str:
        if path and not ROOT_PATH.fullmatch(path):
            raise ValueError("must begin with a slash and not end with one, for example /mavis")
        return path

    @model_validator(mode="after")
    def _no_cookies_for_everybody(self) -> Settings:
        if self.allow_credentials and (not self.allowed_origins or "*" in self.allowed_origins):
            raise ValueError("allow_credentials needs allowed_origins that are named one by one")
        return self

    @model_validator(mode="after")
    def _a_process_to_restart(self) -> Settings:
        if self.on_engine_death == "restart" and not self.engine_process:
            raise ValueError("on_engine_death='restart' needs engine_process: a device that failed outlives a thread")
        return self

    @model_validator(mode="after")
    def _usable_certificate(self) -> Settings:
        if self.ssl_certfile is not None:
            tls_context(self.ssl_certfile, self.ssl_keyfile, self.ssl_ca_certs)
        elif self.ssl_keyfile or self.ssl_ca_certs:
            raise ValueError("ssl_keyfile and ssl_ca_certs need ssl_certfile")
        return self

    @model_validator(mode="after")
    def _open_only_on_purpose(self) -> Settings:
        if not (self.api_key or self.api_key_file or self.allow_unauthenticated or is_loopback(self.host)):
            raise ValueError(
                f"host={self.host} is reachable from other machines and there are no API keys: "
                "give --api-key (or MAVIS_API_KEY) or --api-key-file, or say --allow-unauthenticated"
            )
        return self

    def engine_config(self) -> EngineConfig:
        return EngineConfig(
            max_model_len=self.max_model_len,
            max_num_seqs=self.max_num_seqs,
            max_num_batched_tokens=self.max_num_batched_tokens,
            enable_chunked_prefill=self.enable_chunked_prefill,
            enable_prefix_caching=self.enable_prefix_caching,
            block_size=self.block_size,
            kv_cache_tokens=self.kv_cache_tokens,
            gpu_memory_utilization=self.gpu_memory_utilization,
            max_queue=self.max_queue,
            dtype=self.dtype,
            device=self.device,
            threads=self.threads,
            seed=self.seed,
        )


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name: it may resolve to anything
        return False


def load_settings(**flags: Any) -> Settings:
    """Settings from ``flags`` (None: not given) over the environment.

    Raises:
        LoadError: one line per wrong setting; values are not shown, one of them may be a key.
    """
    known = [PREFIX + name.upper() for name in Settings.model_fields]
    for variable in os.environ:
        if variable.upper().startswith(PREFIX) and variable.upper() not in known:
            close = difflib.get_close_matches(variable.upper(), known, n=1)
            raise LoadError(f"unknown setting {variable}" + (f"; did you mean {close[0]}?" if close else ""))
    try:
        return Settings(**{name: flag for name, flag in flags.items() if flag is not None})
    except ValidationError as error:
        lines = [
            f"{'.'.join(map(str, e['loc']))}: {e['msg']}".removeprefix(": ")
            for e in error.errors(include_input=False, include_url=False)
        ]
        raise LoadError("; ".join(lines)) from None
