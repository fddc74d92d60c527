from __future__ import annotations

import shutil
import subprocess
from collections import Counter

import pytest
from prometheus_client.parser import text_string_to_metric_families

from coop.metrics import DEFINITIONS, count, observe, render

GAUGES = {
    "coop_jobs_in_flight": {("metadata",): 1.0},
    "coop_queue_depth": {("high",): 2.0},
    "coop_queue_oldest_seconds": {(): 3.5},
    "coop_machines": {(): 2.0},
    "coop_slots": {("busy",): 1.0, ("free",): 3.0},
}


def totals(*increments: dict[str, float]) -> dict[bytes, bytes]:
    """What the Redis hash holds after the increments."""
    summed: Counter[str] = Counter()
    for each in increments:
        for field, amount in each.items():
            summed[field] += amount  # type: ignore[assignment]
    return {field.encode(): str(value).encode() for field, value in summed.items()}


def samples(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    families = text_string_to_metric_families(text)
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


ALL = totals(
    count("coop_jobs_total", status="failed"),
    count("coop_cost_usd_total", 0.25, model='odd"\n\\ä'),
    count("coop_stage_failures_total", stage="download", code="timed_out"),
    count("coop_callback_attempts_total", outcome="delivered"),
    count("coop_http_requests_total", route="/api/jobs/<request_id>", status="200"),
    observe("coop_job_duration_seconds", 7),
    observe("coop_stage_duration_seconds", 0.05, stage="metadata"),
    observe("coop_stage_duration_seconds", 1e6, stage="metadata"),
    observe("coop_http_request_duration_seconds", 0.02, route="/api/jobs"),
)


def test_counters_add_up() -> None:
    text = render(totals(count("coop_jobs_total", status="failed"), count("coop_jobs_total", 2, status="failed")), {})

    assert samples(text)["coop_jobs_total", (("status", "failed"),)] == 3


def test_a_label_may_hold_any_text() -> None:
    assert samples(render(ALL, {}))["coop_cost_usd_total", (("model", 'odd"\n\\ä'),)] == 0.25


def test_histogram_buckets_are_cumulative_and_hold_their_bound() -> None:
    found = samples(render(ALL, {}))

    def bucket(le: str) -> float:
        return found["coop_stage_duration_seconds_bucket", (("le", le), ("stage", "metadata"))]

    assert [bucket("0.05"), bucket("600.0"), bucket("+Inf")] == [1, 1, 2]
    assert found["coop_stage_duration_seconds_count", (("stage", "metadata"),)] == 2
    assert found["coop_stage_duration_seconds_sum", (("stage", "metadata"),)] == pytest.approx(1e6 + 0.05)


def test_gauges_show_what_is_now() -> None:
    found = samples(render({}, GAUGES))

    assert found["coop_slots", (("state", "busy"),)] == 1
    assert found["coop_queue_oldest_seconds", ()] == 3.5


def test_every_metric_is_named_before_it_was_ever_counted() -> None:
    text = render({}, {})

    assert {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")} == set(DEFINITIONS)


def test_a_histogram_without_labels_is_there_from_the_start() -> None:
    assert samples(render({}, {}))["coop_job_duration_seconds_count", ()] == 0


def test_fields_of_a_former_version_are_left_out() -> None:
    assert render({b'["coop_gone_total", "value"]': b"1", b'["coop_jobs_total", "value"]': b"1"}, {}) == render({}, {})


@pytest.mark.parametrize(
    ("name", "labels"),
    [("coop_unknown_total", {}), ("coop_jobs_total", {}), ("coop_jobs_total", {"stage": "x"}), ("coop_machines", {})],
)
def test_counting_what_is_not_in_the_table_is_an_error(name: str, labels: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="there is no counter"):
        count(name, **labels)


def test_observing_a_counter_is_an_error() -> None:
    with pytest.raises(ValueError, match="there is no histogram"):
        observe("coop_jobs_total", 1, status="failed")


@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is not installed")
def test_promtool_finds_nothing_to_say() -> None:
    text = render(ALL, GAUGES).encode()
    checked = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, check=False)

    assert (checked.returncode, checked.stdout + checked.stderr) == (0, b"")
