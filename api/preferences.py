"""`Prefer: wait=N` of RFC 7240."""

from __future__ import annotations

from api.request import current_request


def preferred_wait_seconds(longest: int) -> int | None:
    """How long the caller would wait, at most `longest`; None when it does not say, or nothing that makes sense.

    A preference that cannot be understood is passed over, as the RFC asks.
    """
    for preference in current_request().header("Prefer").split(","):
        name, _, value = preference.partition(";")[0].partition("=")
        seconds = value.strip().strip('"')
        if name.strip().lower() == "wait" and seconds.isascii() and seconds.isdigit():
            return min(int(seconds[:9]), longest)
    return None
