"""What clients send to Redis while something goes on, by MONITOR."""

from __future__ import annotations

import threading
from collections import Counter
from types import TracebackType
from typing import Self

import redis


class RedisTraffic:
    """Counts the commands that arrive over connections; what scripts call within Redis is no round trip."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._listens = threading.Event()
        self.by_command: Counter[str] = Counter()

    @property
    def commands(self) -> int:
        return self.by_command.total()

    def _run(self) -> None:
        end = "end-of-monitoring"
        with self._client.monitor() as monitor:
            self._listens.set()
            for line in monitor.listen():
                if end in line["command"]:
                    return
                if line["client_type"] != "lua":
                    self.by_command[line["command"].split()[0].upper()] += 1

    def __enter__(self) -> Self:
        self._thread.start()
        self._listens.wait(5)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.echo("end-of-monitoring")
        self._thread.join(5)
