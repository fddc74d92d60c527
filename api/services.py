"""What the routes work with: one set per process, kept in the Flask app."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from flask import Flask, current_app

from api.holds import Holds
from api.limits import Limits
from api.shared_redis import Lane, SharedRedis
from api.traffic import Traffic
from coop import queue
from coop.clients import ClientRegistry
from coop.events import Changes
from coop.job_store import JobStore
from coop.redis_client import FAST_TIMEOUT_SECONDS, connect_fast_as, connect_fast_async, redis_url
from coop.settings import Settings

_EXTENSION = "coop"


@dataclass(frozen=True)
class Services:
    settings: Settings
    redis: SharedRedis
    store: JobStore
    clients: ClientRegistry
    changes: Changes
    holds: Holds
    limits: Limits
    traffic: Traffic

    def close(self) -> None:
        """End the threads and connections of this process' gateway; what was counted is written first."""
        self.changes.stop()
        self.traffic.stop()
        queue.close()
        self.redis.close()


def open_services(settings: Settings) -> Services:
    """Connect; nothing is asked of Redis yet, so that a gateway starts while Redis is away."""
    # One more try: a connection of the pool may have died on the way without a word. Each command bears it.
    client = connect_fast_as(SharedRedis, settings)
    client.lane = Lane(partial(connect_fast_async, settings))
    # Each thread may need a connection at the same moment: all held requests wake when Redis comes back.
    client.connection_pool.max_connections = settings.gateway_threads + 16
    queue.use_as_publisher(redis_url(settings), FAST_TIMEOUT_SECONDS)
    return Services(
        settings=settings,
        redis=client,
        store=JobStore(client, settings),
        clients=ClientRegistry(client),
        changes=Changes(client),
        holds=Holds(settings.gateway_threads),
        limits=Limits(client, settings.rate),
        traffic=Traffic(client),
    )


def install(app: Flask, found: Services) -> None:
    app.extensions[_EXTENSION] = found


def services() -> Services:
    """The services of the app that answers the present request."""
    return services_of(current_app)


def services_of(app: Flask) -> Services:
    found: Services = app.extensions[_EXTENSION]
    return found
