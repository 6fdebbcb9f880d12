"""Numbers for Prometheus: of requests as they end, of the engine whenever somebody looks."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from canvaslm.engine.result import Usage
from canvaslm.engine.serving.stats import Stats
from canvaslm.server.monitor.tally import Tally
from canvaslm.server.service import Service

SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
STEPS = (1, 2, 4, 6, 8, 12, 16, 24, 32, 48, 64)
PER_FORWARD = (0.5, 1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """What one server counts."""

    def __init__(self, service: Service) -> None:
        self.registry = CollectorRegistry()
        counter = partial(Counter, registry=self.registry)
        histogram = partial(Histogram, registry=self.registry)
        seconds = partial(histogram, buckets=SECONDS)
        self._requests = counter("canvaslm_requests", "Requests.", ["route", "status"])
        self._errors = counter("canvaslm_errors", "Errors, those in streams too.", ["code"])
        self._tokens = counter("canvaslm_tokens", "Tokens of answers.")
        self._prompt = counter("canvaslm_prompt_tokens", "Tokens of prompts.")
        self._seconds = seconds(
            "canvaslm_request_seconds", "From a request's head to the end of its answer.", ["route"]
        )
        self._first = seconds("canvaslm_first_text_seconds", "Until the first text was settled.")
        self._steps = histogram(
            "canvaslm_steps_per_canvas", "Denoising passes that a canvas took.", buckets=STEPS
        )
        self._per_forward = histogram(
            "canvaslm_tokens_per_forward",
            "Tokens of an answer over its denoising passes.",
            buckets=PER_FORWARD,
        )
        self.registry.register(EngineCollector(service))
        ProcessCollector(registry=self.registry)

    def count(self, *, route: str, status: int, seconds: float, tally: Tally) -> None:
        """Count a request at its end."""
        self._requests.labels(route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)
        if tally.failure is not None:
            self._errors.labels(tally.failure).inc()
        if tally.first is not None:
            self._first.observe(tally.first - tally.begun)
        self._tokens.inc(tally.tokens)
        self._prompt.inc(tally.prompt_tokens)
        for usage in tally.usages:
            self._count_answer(usage)

    def _count_answer(self, usage: Usage) -> None:
        if usage.canvases:
            self._steps.observe(usage.steps / usage.canvases)
        if usage.steps:
            self._per_forward.observe(usage.tokens_per_forward)

    def text(self) -> bytes:
        """All of them in Prometheus' text format."""
        return generate_latest(self.registry)


class EngineCollector(Collector):
    """Reads the engine's numbers when they are asked for."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def collect(self) -> Iterator[Metric]:
        """Nothing of the engine before there is one."""
        ready = self._service.status == "ok"
        yield GaugeMetricFamily("canvaslm_ready", "Whether requests are taken.", value=ready)
        if self._service.loaded:
            stats = self._service.engine.stats
            yield outcomes(stats)
            yield from counters(stats)
            yield from gauges(stats)


def outcomes(stats: Stats) -> Metric:
    """The engine's requests by what became of them; a request for n answers may count n times."""
    family = CounterMetricFamily(
        "canvaslm_engine_requests", "Requests to the engine by outcome.", labels=["outcome"]
    )
    for name in ("accepted", "refused", "finished", "cancelled", "failed"):
        family.add_metric([name], getattr(stats, name))
    return family


def counters(stats: Stats) -> Iterator[Metric]:
    """What only grows."""
    for name, help, value in (
        ("passes", "Passes of the network.", stats.passes),
        ("pass_rows", "Rows of all passes; over the passes the mean batch.", stats.rows),
        ("pass_tokens", "Tokens that passes computed.", stats.tokens),
        ("cache_hit_tokens", "Tokens of prompts found in the cache.", stats.cache_hits),
        ("cache_miss_tokens", "Tokens of prompts that were encoded.", stats.cache_misses),
        ("cache_evictions", "Pages given up for others.", stats.evictions),
    ):
        yield CounterMetricFamily(f"canvaslm_{name}", help, value=value)


def gauges(stats: Stats) -> Iterator[Metric]:
    """How it is now."""
    mean = stats.rows / stats.passes if stats.passes else 0.0
    for name, help, value in (
        ("queue_length", "Requests that wait.", stats.waiting),
        ("active", "Requests at work.", stats.active),
        ("pages", "Pages of keys and values in use.", stats.pages_in_use),
        ("cache_pages", "Those of them that the cache keeps.", stats.cache_pages),
        ("mean_rows", "Rows of a pass, on average since the start.", mean),
    ):
        yield GaugeMetricFamily(f"canvaslm_{name}", help, value=value)
    family = GaugeMetricFamily(
        "canvaslm_seconds_per_row",
        "Measured cost of denoising a canvas, by batch.",
        labels=["rows"],
    )
    for rows, seconds in sorted(stats.seconds_per_row.items()):
        family.add_metric([str(rows)], seconds)
    yield family
