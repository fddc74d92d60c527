"""What one worker process holds: its settings, its store, its leases. Made once, at first use."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache

import redis

from coop.artifacts import RedisArtifacts
from coop.clients import ClientRegistry
from coop.job_store import JobStore
from coop.jobs import Job
from coop.redis_client import connect
from coop.settings import Settings, read_settings
from workers.leases import LeaseKeeper


@dataclass(frozen=True)
class WorkerProcess:
    settings: Settings
    redis: redis.Redis
    store: JobStore
    clients: ClientRegistry
    leases: LeaseKeeper

    @property
    def name(self) -> str:
        """`machine@pid`, as the fleet knows it."""
        return f"{self.settings.machine}@{os.getpid()}"

    def artifacts_of(self, job: Job) -> RedisArtifacts:
        return RedisArtifacts(self.redis, job.id, self.settings.audio_ttl_seconds)


@cache
def this_process() -> WorkerProcess:
    """The one of this process. Raises SettingsError."""
    settings = read_settings()
    client = connect(settings)
    store = JobStore(client, settings)
    return WorkerProcess(settings, client, store, ClientRegistry(client), LeaseKeeper(store, settings.lease_seconds))
