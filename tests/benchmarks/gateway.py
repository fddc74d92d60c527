"""Benchmark 4: jobs accepted per second, status reads, event streams; and what people would write instead."""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import requests

from coop.job_store import JobStore
from coop.sdk import Coop
from coop.webhooks import sign_request
from tests.benchmarks import load, peers, rig, stand_ins
from tests.benchmarks.figures import Figure, quantile
from tests.benchmarks.load import Seen, request_bytes
from tests.benchmarks.rig import Rig
from tests.support.jobs import settings_of

PROCESSES = "2"
_SECONDS = 10.0
_MOST_A_SECOND = 7_000
_LATENCY: dict[int, dict[float, float]] = {1: {0.5: 8}, 10: {}, 100: {0.99: 250}}
_STREAMS = 150
_PATH = "/api/process-video"


def run(quick: bool = False) -> list[Figure]:
    seconds = 3.0 if quick else _SECONDS
    figures: list[Figure] = []
    with rig.running(stand_ins.NONE, gateway_processes=PROCESSES, max_queue="1000000") as bench:
        port = urlsplit(bench.gateway.base_url).port or 0
        load.run(port, submissions(bench.gateway, 50), 10, seconds)
        accepted = {}
        for callers in (1, 10, 100):
            many = int(_MOST_A_SECOND * seconds * (0.3 if callers == 1 else 1))
            accepted[callers] = load.run(port, submissions(bench.gateway, many), callers, seconds)
            figures += _accepted(f"{callers} callers", accepted[callers], _LATENCY[callers])
        figures += _reads(bench, port, seconds)
        figures += _streams(bench)
        bench.redis.config_set("appendonly", "no")
        without_disk = load.run(port, submissions(bench.gateway, int(_MOST_A_SECOND * seconds)), 100, seconds)
    figures += _accepted("100 callers, Redis without a disk as the peers' is", without_disk, {})
    for name, start in peers.ALL.items():
        with start() as peer_port:
            if peer_port is not None:
                figures += _peer(name, peer_port, seconds, accepted[100], without_disk)
    return figures


def submissions(client: Coop, count: int) -> Iterator[bytes]:
    """Signed requests for new jobs."""
    now = int(time.time())
    for _ in range(count):
        name = f"req_{secrets.token_hex(8)}"
        document = {
            "requestId": name,
            "videoUrl": f"https://video.example.org/watch?v={name}",
            "priority": "normal",
            "timestamp": "2026-11-22T09:48:20Z",
            "serverInfo": {"serverId": "web-prod-01", "callbackUrl": "https://www.example.org/api/video-result"},
            "options": {"language": "en", "ideas": 3, "captions": "prefer"},
        }
        body = json.dumps(document).encode()
        signed = sign_request(client._secret, "POST", _PATH, body, f"msg_{secrets.token_hex(12)}", now)
        yield request_bytes("POST", _PATH, {**client._headers, "Content-Type": "application/json", **signed}, body)


def _accepted(label: str, seen: Seen, most: dict[float, float]) -> list[Figure]:
    """`most`: milliseconds that a quantile may take."""
    strangers = sum(count for status, count in seen.statuses.items() if status != "202")
    return [
        Figure(f"accepted, {label}", seen.per_second, "/s"),
        *(
            Figure(f"p{share * 100:.0f}, {label}", seen.milliseconds(share), "ms", at_most=most.get(share))
            for share in (0.5, 0.95, 0.99)
        ),
        Figure(f"answers other than 202, {label}", strangers, "", at_most=0),
    ]


def _peer(name: str, port: int, seconds: float, ours: Seen, without_disk: Seen) -> list[Figure]:
    load.run(port, peers.submissions(200), 10, seconds)
    seen = load.run(port, peers.submissions(int(2 * _MOST_A_SECOND * seconds)), 100, seconds)
    figures = [
        Figure(f"{name}: accepted, 100 callers", seen.per_second, "/s"),
        Figure(f"{name}: p99, 100 callers", seen.milliseconds(0.99), "ms"),
    ]
    if name == peers.EXPRESS:
        share = ours.per_second / seen.per_second
        figures.append(Figure("accepted by coop, of what Express with BullMQ accepts", share, "×", at_least=0.5))
        share = without_disk.per_second / seen.per_second
        figures.append(Figure("accepted by coop without a disk, of what Express with BullMQ accepts", share, "×"))
    return figures


def _reads(bench: Rig, port: int, seconds: float) -> list[Figure]:
    names = [job["requestId"] for job in bench.gateway.jobs(limit=100)["jobs"]]
    figures = []
    for callers in (1, 10, 100):
        asked = (request_bytes("GET", f"/api/jobs/{names[n % 100]}", bench.gateway._headers) for n in range(100_000))
        seen = load.run(port, asked, callers, seconds)
        figures += [
            Figure(f"status reads, {callers} callers", seen.per_second, "/s"),
            Figure(f"status read p50, {callers} callers", seen.milliseconds(0.5), "ms"),
            Figure(f"status read p99, {callers} callers", seen.milliseconds(0.99), "ms"),
        ]
    return figures


def _streams(bench: Rig) -> list[Figure]:
    """150 streams on one job: how long a change takes to reach them."""
    settings = settings_of(bench.redis_server.url)
    store = JobStore(bench.redis, settings)
    bench.submit("watched")
    job = store.list_jobs(None, None, 1, None)[0][0]
    heard: list[float] = []
    ready = threading.Barrier(_STREAMS + 1)
    threads = [threading.Thread(target=_listen, args=(bench.gateway, ready, heard)) for _ in range(_STREAMS)]
    for thread in threads:
        thread.start()
    ready.wait(60)
    changed = time.perf_counter()
    store.cancel(job.id)
    for thread in threads:
        thread.join(60)
    delays = [moment - changed for moment in heard]
    return [
        Figure("event streams that were open at once and heard of a change", len(delays), "", at_least=_STREAMS),
        Figure("a change reaches the streams, p50", quantile(delays, 0.5) * 1000, "ms"),
        Figure("a change reaches the streams, p99", quantile(delays, 0.99) * 1000, "ms"),
    ]


def _listen(client: Coop, ready: threading.Barrier, heard: list[float]) -> None:
    url = f"{client.base_url}/api/jobs/watched/events"
    with requests.get(url, headers=client._headers, stream=True, timeout=60) as answer:
        events = (line for line in answer.iter_lines(chunk_size=1) if line.startswith(b"data:"))
        next(events)
        ready.wait(60)
        next(events)
        heard.append(time.perf_counter())
