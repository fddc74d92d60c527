"""A child with the options of the service, that fetches an address by one of yt-dlp's HTTP libraries."""

from __future__ import annotations

from typing import Any

from yt_dlp.networking import Request
from yt_dlp.networking.impersonate import ImpersonateTarget

from workers.engines import ytdlp_child
from workers.engines.child_main import serve

Params = dict[str, Any]


def libraries(params: Params) -> Params:
    with ytdlp_child._downloader(params, 10**6) as (downloader, _warnings):
        return {"names": sorted(downloader._request_director.handlers)}


def fetch(params: Params) -> Params:
    """`library`: the key of yt-dlp's handler; `url`. The body, or what the library raised."""
    with ytdlp_child._downloader(params, 10**6) as (downloader, _warnings):
        handler = downloader._request_director.handlers[params["library"]]
        extensions = {"impersonate": ImpersonateTarget("chrome")} if params["library"] == "CurlCFFI" else {}
        request = Request(params["url"], extensions=extensions)
        request.proxies = downloader.proxies
        try:
            return {"body": handler.send(request).read().decode()}
        except Exception as error:  # noqa: BLE001  # each library raises its own
            return {"error": f"{type(error).__name__}: {error}"}


HANDLERS = {"libraries": libraries, "fetch": fetch}

if __name__ == "__main__":
    serve(HANDLERS)
