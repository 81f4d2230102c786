"""What metrics record of one request: times, counts and KL, taken from its engine outputs."""

from __future__ import annotations

import time
from collections.abc import Container

from mavis_core.api.messages import GuidanceStats, RequestOutput
from mavis_core.api.sampling_params import SamplingParams
from server.steering import Steering
from server.telemetry.metrics import Metrics

BROUGHT = "(request)"


class Observation:
    """Sees each output of one engine request once, in order; ``brought`` are objectives that it made up."""

    def __init__(self, metrics: Metrics, sampling: SamplingParams, brought: Container[str] = ()) -> None:
        n = sampling.n
        self._brought = brought
        self._metrics = metrics
        self._arrival = time.perf_counter()
        self._first: float | None = None
        self._last = self._arrival
        self._tokens = [0] * n
        self._ended = False
        metrics.request_params_n.observe(n)
        if sampling.max_tokens is not None:
            metrics.request_params_max_tokens.observe(sampling.max_tokens)

    def see(self, output: RequestOutput) -> None:
        now = time.perf_counter()
        new = 0
        for delta in output.deltas:
            new += len(delta.token_ids)
            self._tokens[delta.index] += len(delta.token_ids)
            for nats in delta.kl_nats:
                self._metrics.token_kl_nats.observe(nats)
            if delta.finish_reason:
                self._metrics.request_success.labels(delta.finish_reason).inc()
            if delta.guidance is not None:
                self._see_guidance(delta.guidance)
        if new:
            if self._first is None:
                self._first = now
                self._metrics.time_to_first_token_seconds.observe(now - self._arrival)
            else:
                self._metrics.inter_token_latency_seconds.observe(now - self._last)
            self._last = now
        if output.finished:
            self._ended = True
            if output.error is None:
                self._see_end(output, now)

    def give_up(self) -> None:
        """Nobody reads on, whether there is more or not."""
        if not self._ended:
            self._ended = True
            self._metrics.request_success.labels("abort").inc(len(self._tokens))

    def _see_end(self, output: RequestOutput, now: float) -> None:
        metrics, queued = self._metrics, output.queue_seconds
        first = now if self._first is None else self._first
        inference = max(0.0, now - self._arrival - queued)
        decode = now - first
        metrics.e2e_request_latency_seconds.observe(now - self._arrival)
        metrics.request_queue_time_seconds.observe(queued)
        metrics.request_inference_time_seconds.observe(inference)
        metrics.request_prefill_time_seconds.observe(max(0.0, inference - decode))
        metrics.request_decode_time_seconds.observe(decode)
        if max(self._tokens) > 1:
            metrics.request_time_per_output_token_seconds.observe(decode / (max(self._tokens) - 1))
        metrics.request_prompt_tokens.observe(output.prompt_tokens)
        metrics.request_generation_tokens.observe(sum(self._tokens))
        metrics.request_max_num_generation_tokens.observe(max(self._tokens))

    def _see_guidance(self, stats: GuidanceStats) -> None:
        self._metrics.request_kl_nats.observe(stats.steering_nats + stats.truncation_nats)
        if stats.tokens:
            self._metrics.topk_base_mass.observe(stats.topk_base_mass)
            for objective, mean in stats.values.items():
                self._metrics.value_mean.labels(label_of(objective, self._brought)).observe(mean)
            for objective, spread in stats.value_spread.items():
                self._metrics.value_spread.labels(label_of(objective, self._brought)).observe(spread)


class ScoringObservation:
    """Of answers that are given: how many. All else that is recorded of requests is about what was generated."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def see(self, output: RequestOutput) -> None:
        self._metrics.scored_answers.inc(sum(delta.finish_reason is not None for delta in output.deltas))

    def give_up(self) -> None:
        """Nobody reads on; what was scored to its end is counted."""


def count_request(metrics: Metrics, steering: Steering) -> None:
    """Count an accepted HTTP request; its names have been checked, so labels stay within the configured ones."""
    metrics.weights_source.labels(steering.weights.source).inc()
    for objective in steering.guidance.named:
        if steering.guidance.steers(objective):
            metrics.requests_by_objective.labels(label_of(objective, steering.brought)).inc()


def label_of(objective: str, brought: Container[str]) -> str:
    """One label for all that requests make up: they must not make series."""
    return BROUGHT if objective in brought else objective
