"""The metrics of the whole fleet: one table, increments that any process hands in, and the Prometheus text.

Workers behind NAT cannot be scraped, so the totals live in one Redis hash, `coop:metrics`. `count` and `observe` say
which fields of it grow and by how much; whoever changes a job's record adds them in the same atomic step.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Literal, NamedTuple

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

METRICS_KEY = "coop:metrics"

_JOB_BUCKETS = (1.0, 2.5, 5.0, 7.5, 10.0, 15.0, 20.0, 30.0, 45.0, 60.0, 90.0, 120.0, 300.0, 600.0, 1800.0, 7200.0)
_STAGE_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0)
_HTTP_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0, 120.0)

Kind = Literal["counter", "gauge", "histogram"]


class Definition(NamedTuple):
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


DEFINITIONS: dict[str, Definition] = {
    "coop_jobs_total": Definition("counter", "Jobs that ended, by their status.", ("status",)),
    "coop_jobs_in_flight": Definition("gauge", "Jobs that a worker works on now, by stage.", ("stage",)),
    "coop_job_duration_seconds": Definition(
        "histogram", "From acceptance, or the last `retry`, to the end of the job.", buckets=_JOB_BUCKETS
    ),
    "coop_stage_duration_seconds": Definition(
        "histogram", "A stage that succeeded, or one POST of deliver, by stage.", ("stage",), _STAGE_BUCKETS
    ),
    "coop_stage_failures_total": Definition(
        "counter", "Attempts at a stage that failed, by error code.", ("stage", "code")
    ),
    "coop_queue_depth": Definition("gauge", "Jobs that wait for a worker at any stage, by priority.", ("priority",)),
    "coop_queue_oldest_seconds": Definition("gauge", "How long the job has waited that waits longest for its stage."),
    "coop_machines": Definition("gauge", "Worker machines that are alive."),
    "coop_slots": Definition("gauge", "Slots of all workers that are alive, busy or free.", ("state",)),
    "coop_callback_attempts_total": Definition("counter", "Callbacks sent, by how it went.", ("outcome",)),
    "coop_messages_refused_total": Definition(
        "counter", "Messages in the queues that no worker takes, by what is wrong with them.", ("reason",)
    ),
    "coop_cost_usd_total": Definition("counter", "Known cost of the engines, in US dollars.", ("model",)),
    "coop_http_requests_total": Definition("counter", "Answers of the gateways.", ("route", "status")),
    "coop_http_request_duration_seconds": Definition(
        "histogram", "From a request to the end of its answer's head.", ("route",), _HTTP_BUCKETS
    ),
}

Gauges = Mapping[str, Mapping[tuple[str, ...], float]]
"""Of each gauge, its value for each combination of label values; `()` for a gauge without labels."""

_SUM = "sum"
_VALUE = "value"


def count(name: str, amount: float = 1, **labels: str) -> dict[str, float]:
    """The increment of a counter, as a field of the hash and its amount. ValueError for an unknown metric or label."""
    return {_field(name, "counter", _VALUE, **labels): amount}


def observe(name: str, seconds: float, **labels: str) -> dict[str, float]:
    """The increments of a histogram for one observation: its bucket (not yet cumulative) and the sum."""
    buckets = DEFINITIONS[name].buckets if name in DEFINITIONS else ()
    place = bisect_left(buckets, seconds)
    bucket = str(buckets[place]) if place < len(buckets) else "+Inf"
    return {
        _field(name, "histogram", bucket, **labels): 1,
        _field(name, "histogram", _SUM, **labels): seconds,
    }


@lru_cache(maxsize=1024)  # the same few, request for request
def _field(name: str, kind: Kind, part: str, **labels: str) -> str:
    """A JSON list, since a label's value may hold any character: the name, the part, the label values in order."""
    definition = DEFINITIONS.get(name)
    if definition is None or definition.kind != kind or set(labels) != set(definition.labels):
        raise ValueError(f"there is no {kind} {name} with the labels {sorted(labels)}")
    return json.dumps([name, part, *(labels[label] for label in definition.labels)], ensure_ascii=False)


def render(totals: Mapping[bytes, bytes] | Mapping[str, str] | Mapping[str, float], gauges: Gauges) -> str:
    """Prometheus' text of the hash's content and the gauges.

    A metric that was never counted still shows its help and type; fields of a former metric are left out.
    """
    registry = CollectorRegistry()
    registry.register(_Snapshot(_by_metric(totals), gauges))
    return generate_latest(registry).decode()


Series = dict[tuple[str, ...], dict[str, float]]
"""Of each combination of label values, the value of each part."""


def _by_metric(totals: Mapping[bytes, bytes] | Mapping[str, str] | Mapping[str, float]) -> dict[str, Series]:
    # A metric without labels is there from the start, as 0; one with labels cannot know its values yet.
    found: dict[str, Series] = {name: {} if row.labels else {(): {}} for name, row in DEFINITIONS.items()}
    for field, value in totals.items():
        name, part, *labels = json.loads(field)
        if name in found and len(labels) == len(DEFINITIONS[name].labels):
            found[name].setdefault(tuple(labels), {})[part] = float(value)
    return found


class _Snapshot(Collector):
    def __init__(self, totals: Mapping[str, Series], gauges: Gauges) -> None:
        self._totals = totals
        self._gauges = gauges

    def collect(self) -> Iterator[Metric]:
        for name, definition in DEFINITIONS.items():
            if definition.kind == "counter":
                yield _counter(name, definition, self._totals[name])
            elif definition.kind == "histogram":
                yield _histogram(name, definition, self._totals[name])
            else:
                yield _gauge(name, definition, self._gauges.get(name, {}))


def _counter(name: str, definition: Definition, series: Series) -> Metric:
    family = CounterMetricFamily(name, definition.help, labels=definition.labels)
    for labels, parts in sorted(series.items()):
        family.add_metric(labels, parts.get(_VALUE, 0))
    return family


def _gauge(name: str, definition: Definition, values: Mapping[tuple[str, ...], float]) -> Metric:
    family = GaugeMetricFamily(name, definition.help, labels=definition.labels)
    for labels, value in sorted(values.items()):
        family.add_metric(labels, value)
    return family


def _histogram(name: str, definition: Definition, series: Series) -> Metric:
    family = HistogramMetricFamily(name, definition.help, labels=definition.labels)
    for labels, parts in sorted(series.items()):
        family.add_metric(labels, list(_cumulative(definition.buckets, parts)), parts.get(_SUM, 0))
    return family


def _cumulative(buckets: Iterable[float], parts: Mapping[str, float]) -> Iterator[tuple[str, float]]:
    total = 0.0
    for bound in (*map(str, buckets), "+Inf"):
        total += parts.get(bound, 0)
        yield bound, total
