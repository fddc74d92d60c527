"""Whether the caller of a held request is still there."""

from __future__ import annotations

from collections.abc import Callable

from api.request import current_request

PRESENCE = "coop.presence"


class Presence:
    """Somebody of whom nothing is known: the server does not tell. `api.rsgi` has the one that knows."""

    def __init__(self) -> None:
        self.has_left = False

    def on_leave(self, wake: Callable[[], None]) -> None:
        """Have `wake` called, by another thread, once the caller has gone."""


def presence() -> Presence:
    """That of the present request's caller."""
    found: Presence | None = current_request().environ.get(PRESENCE)
    return found or Presence()
