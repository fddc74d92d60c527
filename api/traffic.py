"""The HTTP metrics of this gateway, on their way into the fleet's hash of metrics."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping

import redis

from coop.logs import get_logger
from coop.metrics import METRICS_KEY, count, observe

_FLUSH_SECONDS = 1.0

log = get_logger(__name__)


class Traffic:
    """Counts in memory and adds to Redis once a second: a round trip per request would cost more than the request.

    What was counted while Redis is away is kept for later; a gateway that is killed loses its last second.
    """

    def __init__(self, redis_client: redis.Redis) -> None:
        self._redis = redis_client
        self._pending: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def record(self, route: str, status: int, seconds: float) -> None:
        """Count one answer. `route` is the rule (`/api/jobs/<request_id>`), never a path that a caller can make up."""
        self._add(count("coop_http_requests_total", route=route, status=str(status)))
        self._add(observe("coop_http_request_duration_seconds", seconds, route=route))

    def flush(self) -> None:
        """Add what was counted to the hash. Raises redis.RedisError, and keeps it then."""
        with self._lock:
            due, self._pending = self._pending, Counter()
        if not due:
            return
        try:
            with self._redis.pipeline(transaction=True) as pipeline:
                for field, amount in due.items():
                    pipeline.hincrbyfloat(METRICS_KEY, field, amount)
                pipeline.execute()
        except redis.RedisError:
            self._add(due)
            raise

    def stop(self) -> None:
        self._stopping.set()
        if self._thread:
            self._thread.join()
        self._try_to_flush()

    def _add(self, increments: Mapping[str, float]) -> None:
        with self._lock:
            for field, amount in increments.items():
                self._pending[field] += amount  # type: ignore[assignment]  # Counter's stubs know whole numbers only
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="traffic", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while not self._stopping.wait(_FLUSH_SECONDS):
            self._try_to_flush()

    def _try_to_flush(self) -> None:
        try:
            self.flush()
        except redis.RedisError as error:
            log.info("HTTP metrics are kept until Redis answers", error=str(error))
