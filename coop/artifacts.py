"""Audio and other bytes on their way from one stage, and machine, to the next: in Redis, for a limited time."""

from __future__ import annotations

from typing import cast

import redis

from coop.errors import JobError

MOST_BYTES = 25 * 2**20
"""What the transcription API takes, and what Redis is asked to hold for a job."""

NAMES = ("audio", "extraction")
"""All artifacts there are: what ends a job removes these (coop/lua/prelude.lua)."""


class RedisArtifacts:
    """The artifacts of one job. They end with the job, or after `ttl_seconds`."""

    def __init__(self, client: redis.Redis, job_id: str, ttl_seconds: int) -> None:
        self._redis = client
        self._job_id = job_id
        self._ttl_seconds = ttl_seconds

    def save(self, name: str, content: bytes) -> None:
        """Raises JobError `too_large` above MOST_BYTES."""
        if len(content) > MOST_BYTES:
            raise JobError("too_large", f"The {name} is larger than {MOST_BYTES} bytes.")
        self._redis.set(self._key(name), content, ex=self._ttl_seconds)

    def load(self, name: str) -> bytes | None:
        return cast(bytes | None, self._redis.get(self._key(name)))

    def _key(self, name: str) -> str:
        if name not in NAMES:
            raise ValueError(f"there is no artifact {name}")
        return f"coop:artifact:{self._job_id}:{name}"
