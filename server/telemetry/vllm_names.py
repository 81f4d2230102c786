"""The metrics that vLLM has too, under vLLM's prefix and with its labels, for dashboards made for it.

Done where metrics are written out, so that whoever counts has one name for each.
"""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.samples import Sample

PREFIX = "vllm:"
OURS = frozenset({
    "num_requests_running", "num_requests_waiting", "num_requests_waiting_by_reason", "kv_cache_usage_perc",
    "num_preemptions", "prefix_cache_queries", "prefix_cache_hits", "prompt_tokens", "generation_tokens",
    "iteration_tokens_total", "cache_config_info", "request_success", "time_to_first_token_seconds",
    "inter_token_latency_seconds", "e2e_request_latency_seconds", "request_queue_time_seconds",
    "request_prefill_time_seconds", "request_decode_time_seconds", "request_inference_time_seconds",
    "request_time_per_output_token_seconds", "request_prompt_tokens", "request_generation_tokens",
    "request_max_num_generation_tokens", "request_params_max_tokens", "request_params_n",
})  # fmt: skip


class VllmNames:
    """Args:
    registry: whose metrics are shown.
    prefix: of those that may be vLLM's.
    model: what vLLM calls ``model_name``.
    """

    def __init__(self, registry: CollectorRegistry, prefix: str, model: str) -> None:
        self._registry, self._prefix = registry, prefix
        self._labels = {"model_name": model, "engine": "0"}

    def collect(self) -> Iterable[Metric]:
        for family in self._registry.collect():
            name = family.name.removeprefix(self._prefix)
            yield self._renamed(family) if name in OURS else family

    def _renamed(self, family: Metric) -> Metric:
        made = Metric(self._name(family.name), family.documentation, family.type, family.unit)
        made.samples = [
            Sample(self._name(s.name), self._labels | s.labels, s.value, s.timestamp, s.exemplar)
            for s in family.samples
        ]
        return made

    def _name(self, name: str) -> str:
        return PREFIX + name.removeprefix(self._prefix)
