"""The metrics for Prometheus: vLLM's names, types and buckets under ``mavis:``, and those of steering.

One registry per app, so two apps in one process (tests, Ray Serve) do not collide. Labels come from configured names
only (objectives, sources, finish reasons, routes): a client cannot create series. ``docs/metrics.md`` lists all
metrics, and a test compares.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, get_type_hints

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

from mavis_core.api.messages import StepStats
from server.telemetry.token_histogram import TokenHistogram
from server.telemetry.vllm_names import VllmNames

disable_created_metrics()  # type: ignore[no-untyped-call]  # a series more for each, which says when the process began
PREFIX: Final = "mavis:"
FIRST_TOKEN = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80, 160,
               640, 2560)  # fmt: skip
BETWEEN_TOKENS = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80)
WHOLE_REQUEST = (0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480, 960, 1920, 7680)
STEP_TOKENS = (1, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384)
REQUEST_TOKENS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000)
CHOICES = (1, 2, 5, 10, 20)
TOKEN_NATS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10)
REQUEST_NATS = (0.1, 0.3, 1, 2, 3, 5, 10, 20, 30, 50, 100, 200, 300, 500, 1000)
MASS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 0.999, 1)
SPREAD = (0.01, 0.03, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 5)
Z_UNITS = (-3, -2, -1.5, -1, -0.75, -0.5, -0.25, 0, 0.25, 0.5, 0.75, 1, 1.5, 2, 3)
HTTP_SECONDS = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
CACHE_CONFIG = ("block_size", "num_gpu_blocks", "enable_prefix_caching", "gpu_memory_utilization", "cache_dtype")
FORWARD = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.2, 0.5, 1, 2, 5)


class Metrics:
    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._declare_steps()
        self._declare_times()
        self._declare_sizes()
        self._declare_steering()
        self._declare_answers()
        ProcessCollector(registry=self.registry)

    def on_step(self, step: StepStats) -> None:
        for field, gauge in self._gauges.items():
            gauge.set(getattr(step, field))
        self.num_requests_waiting.set(step.waiting + step.compiling)
        if step.idle:
            return
        for field, counter in self._counters.items():
            counter.inc(getattr(step, field))
        for field, seconds in self._seconds.items():
            seconds.observe(getattr(step, field))
        self.iteration_tokens_total.observe(step.prompt_tokens + step.generation_tokens + step.companion_tokens)

    def describe_cache(self, **config: object) -> None:
        """Of ``CACHE_CONFIG``; a description before this one is forgotten."""
        self.cache_config_info.clear()
        self.cache_config_info.labels(**{name: str(config[name]) for name in CACHE_CONFIG}).set(1)

    def text(self, vllm_model: str | None = None) -> bytes:
        """``vllm_model``: the model's name, where vLLM's metrics are to have vLLM's prefix and labels."""
        shown = self.registry if vllm_model is None else VllmNames(self.registry, PREFIX, vllm_model)
        return generate_latest(shown)  # type: ignore[arg-type]  # asks for collect() alone

    def names(self) -> list[str]:
        """Every metric as it is exposed, counters with their ``_total``."""
        return sorted(
            family.name + ("_total" if family.type == "counter" else "") for family in self.registry.collect()
        )

    def _declare_steps(self) -> None:
        """What ``StepStats`` says of its own fields, and what follows from several of them."""
        self._gauges: dict[str, Gauge] = {}  # these three by field of ``StepStats``
        self._counters: dict[str, Counter] = {}
        self._seconds: dict[str, Histogram] = {}
        labelled: dict[str, Gauge] = {}  # by name; several fields share one
        for field, annotation in get_type_hints(StepStats, include_extras=True).items():
            for metric in getattr(annotation, "__metadata__", ()):
                match metric.kind:
                    case "gauge" if metric.label is None:
                        self._gauges[field] = self._gauge(metric.name, metric.about)
                    case "gauge":
                        label, value = metric.label
                        if metric.name not in labelled:
                            labelled[metric.name] = self._gauge(metric.name, metric.about, (label,))
                        self._gauges[field] = labelled[metric.name].labels(value)
                    case "counter":
                        self._counters[field] = self._counter(metric.name, metric.about)
                    case "seconds":
                        self._seconds[field] = self._histogram(metric.name, metric.about, FORWARD)
        self.num_requests_waiting = self._gauge("num_requests_waiting", "Requests waiting, whatever for")
        self.iteration_tokens_total = self._histogram("iteration_tokens_total", "Tokens per engine step", STEP_TOKENS)
        self.cache_config_info = self._gauge("cache_config_info", "1; what the KV cache is like", CACHE_CONFIG)

    def _declare_times(self) -> None:
        self.time_to_first_token_seconds = self._histogram(
            "time_to_first_token_seconds", "From arrival to the first token", FIRST_TOKEN
        )
        self.inter_token_latency_seconds = self._per_token(
            "inter_token_latency_seconds", "Between two tokens of a request", BETWEEN_TOKENS
        )
        self.e2e_request_latency_seconds = self._histogram(
            "e2e_request_latency_seconds", "From arrival to the last token", WHOLE_REQUEST
        )
        self.request_queue_time_seconds = self._histogram(
            "request_queue_time_seconds", "From reaching the engine to a place in the batch", WHOLE_REQUEST
        )
        self.request_prefill_time_seconds = self._histogram(
            "request_prefill_time_seconds", "From a place in the batch to the first token", WHOLE_REQUEST
        )
        self.request_decode_time_seconds = self._histogram(
            "request_decode_time_seconds", "From the first token to the last", WHOLE_REQUEST
        )
        self.request_inference_time_seconds = self._histogram(
            "request_inference_time_seconds", "From a place in the batch to the last token", WHOLE_REQUEST
        )
        self.request_time_per_output_token_seconds = self._histogram(
            "request_time_per_output_token_seconds", "Mean time between the tokens of a request", BETWEEN_TOKENS
        )

    def _declare_sizes(self) -> None:
        """What requests asked for, and what they got."""
        self.request_success = self._counter("request_success", "Finished choices", ("finished_reason",))
        self.request_prompt_tokens = self._histogram("request_prompt_tokens", "Prompt tokens", REQUEST_TOKENS)
        self.request_generation_tokens = self._histogram(
            "request_generation_tokens", "Generated tokens per request, over its choices", REQUEST_TOKENS
        )
        self.request_max_num_generation_tokens = self._histogram(
            "request_max_num_generation_tokens", "Tokens of a request's longest choice", REQUEST_TOKENS
        )
        self.request_params_max_tokens = self._histogram(
            "request_params_max_tokens", "Most tokens that a request asked for, as far as they fit", REQUEST_TOKENS
        )
        self.request_params_n = self._histogram("request_params_n", "Choices asked for", CHOICES)

    def _declare_steering(self) -> None:
        self.token_kl_nats = self._per_token("token_kl_nats", "Exact KL of one guided token's step", TOKEN_NATS)
        self.request_kl_nats = self._histogram("request_kl_nats", "Exact KL of one guided choice", REQUEST_NATS)
        self.topk_base_mass = self._histogram("topk_base_mass", "Mean base mass of the candidates", MASS)
        self.value_spread = self._histogram("value_spread", "Mean max - min over candidates", SPREAD, ("objective",))
        self.value_mean = self._histogram("value_mean", "Mean value of the chosen tokens", Z_UNITS, ("objective",))
        self.requests_by_objective = self._counter(
            "requests_by_objective", "Requests with a non-zero weight", ("objective",)
        )
        self.weights_source = self._counter("weights_source", "Where a request's weights came from", ("source",))

    def _declare_answers(self) -> None:
        """Over HTTP; the last two are named as by prometheus-fastapi-instrumentator, which vLLM has."""
        self.scored_answers = self._counter("scored_answers", "Given answers and echoed prompts scored under weights")
        self.rate_limited = self._counter("rate_limited", "Requests refused by a key's limit", ("limit",))
        self.request_rejections = self._counter("request_rejections", "Requests answered with an error", ("code",))
        self.http_requests = Counter(
            "http_requests",
            "Answers by route, method and status",
            ("handler", "method", "status"),
            registry=self.registry,
        )
        self.http_request_duration_seconds = Histogram(
            "http_request_duration_seconds",
            "From a request's head to the last byte of its answer",
            ("handler", "method"),
            registry=self.registry,
            buckets=HTTP_SECONDS,
        )

    def _gauge(self, name: str, about: str, labels: Iterable[str] = ()) -> Gauge:
        return Gauge(PREFIX + name, about, labels, registry=self.registry)

    def _counter(self, name: str, about: str, labels: Iterable[str] = ()) -> Counter:
        return Counter(PREFIX + name, about, labels, registry=self.registry)

    def _histogram(self, name: str, about: str, buckets: Iterable[float], labels: Iterable[str] = ()) -> Histogram:
        return Histogram(PREFIX + name, about, labels, buckets=tuple(buckets), registry=self.registry)

    def _per_token(self, name: str, about: str, buckets: Sequence[float]) -> TokenHistogram:
        return TokenHistogram(PREFIX + name, about, buckets, self.registry)
