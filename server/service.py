"""What the routes of one app share: settings, the engine behind its seam, the tokenizer, metrics, names,
keys, limits and what is stored."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from functools import cached_property

from starlette.requests import Request

from mavis_core.api.engine_client import EngineClient
from mavis_core.api.errors import EngineUnavailableError
from mavis_core.api.messages import EngineInfo
from mavis_core.api.tokenizer import Tokenizer
from server.bounds.bounds_file import check_keys, read_bounds
from server.http.key_file import key_ring
from server.http.rate_limits import RateLimits
from server.objectives.declared import Declared, Objectives
from server.objectives.instruction import Place, find_place
from server.objectives.known import Known
from server.settings import Settings
from server.stored.database import Database
from server.stored.preferences import Preferences
from server.stored.presets import Presets, read_presets
from server.stored.scope import Scope
from server.telemetry.metrics import Metrics
from server.text.prompts import Prompts
from server.text.token_text import TokenText
from server.version import package_version

UNAVAILABLE = {
    "loading": "the model is still loading; try again shortly",
    "draining": "the server is shutting down and takes no new requests",
    "dead": "the engine has stopped; the server's log says why",
}


class Service:
    """Raises ConfigError where a file that the settings name cannot be used."""

    def __init__(self, settings: Settings, engine: EngineClient, tokenizer: Callable[[], Tokenizer]) -> None:
        self.settings = settings
        self.engine = engine
        self.metrics = Metrics()
        self.prompts = Prompts(tokenizer, settings.chat_template, settings.tool_call_parser, settings.reasoning_parser)
        self.keys = key_ring(settings)
        self.bounds = read_bounds(settings.bounds)
        check_keys(self.bounds, settings.bounds, self.keys)
        self.limits = RateLimits(settings.requests_per_minute, settings.tokens_per_minute)
        self.database = Database(settings.database.get_secret_value())
        self.presets = Presets(read_presets(settings.presets), self.database)
        self.preferences = Preferences(self.database)
        self.objectives = Objectives(Declared.read(settings.objectives, settings.model is None))
        self.started = int(time.time())
        self._tokenizer = tokenizer
        self._token_text: TokenText | None = None

    def ready_info(self) -> EngineInfo:
        """The engine's info; raises EngineUnavailableError unless it takes requests now."""
        self.refuse_unless("ready")
        return self.engine.info

    def refuse_unless(self, *states: str) -> None:
        if self.engine.state not in states:
            raise EngineUnavailableError(UNAVAILABLE.get(self.engine.state, f"the engine is {self.engine.state}"))

    def model_names(self, info: EngineInfo) -> tuple[str, ...]:
        """Those that are listed; ``settings.takes_any_model`` says whether others will do."""
        return self.settings.model_names(info.model)

    @property
    def scope(self) -> Scope:
        """The model whose stored presets and preferences count; raises EngineUnavailableError while loading."""
        info = self.engine.info
        return Scope(self.model_names(info)[0], self.known(info).infos)

    @cached_property
    def place(self) -> Place | None:
        """Where an instruction goes; None where the model takes none. Raises EngineUnavailableError while loading."""
        return find_place(self.prompts.render)

    def known(self, info: EngineInfo) -> Known:
        """The objectives of this server, loaded and in words."""
        return Known.of(info.objectives, {} if self.place is None else self.objectives.beside(info.objectives))

    def exposition(self) -> bytes:
        """The metrics as Prometheus reads them."""
        settings, config, info = self.settings, self.settings.engine, None
        if self.engine.state in ("ready", "draining"):
            info = self.engine.info
            self.metrics.describe_cache(
                block_size=config.block_size,
                num_gpu_blocks=info.kv_cache_tokens // config.block_size,
                enable_prefix_caching=config.enable_prefix_caching,
                gpu_memory_utilization=config.gpu_memory_utilization,
                cache_dtype=info.dtype,
            )
        if settings.metrics_prefix == "mavis":
            return self.metrics.text()
        return self.metrics.text(self.model_names(info)[0] if info else settings.model or "")

    def close(self) -> None:
        self.prompts.close()
        self.database.close()

    def fingerprint(self, info: EngineInfo) -> str:
        """A hash of everything that changes answers to the same seed: model, dtype, device and our version."""
        basis = "|".join((info.model, info.dtype, info.device, package_version()))
        return "fp_" + hashlib.sha256(basis.encode()).hexdigest()[:10]

    @property
    def token_text(self) -> TokenText:
        if self._token_text is None:
            self._token_text = TokenText(self._tokenizer())
        return self._token_text


def service_of(request: Request) -> Service:
    service = request.app.state.service
    assert isinstance(service, Service)
    return service
