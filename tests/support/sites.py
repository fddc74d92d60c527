"""A small video site on loopback: real HTTP, with every way a site can be good or bad."""

from __future__ import annotations

import contextlib
import html
import json
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Answer = Callable[[BaseHTTPRequestHandler], None]


def watch_page(
    media_url: str,
    *,
    title: str = "One thing to avoid",
    description: str = "What new PC builders should stay away from.",
    channel: str = "Sample Channel",
    uploaded: str = "2025-07-16T17:00:59Z",
    views: int = 651009,
    likes: int = 14156,
    duration: str | None = None,
) -> str:
    """A page that yt-dlp's generic extractor reads as one video: JSON-LD says all, Open Graph the same for others.

    `encodingFormat` is what spares a second request for the media. There is no <video> element: yt-dlp would take
    that, and then not look at the JSON-LD.
    """
    video = {
        "@context": "https://schema.org",
        "@type": "VideoObject",
        "name": title,
        "description": description,
        "contentUrl": media_url,
        "encodingFormat": "video/mp4",
        "uploadDate": uploaded,
        "keywords": "pc building,hardware",
        "author": {"@type": "Person", "name": channel},
        "interactionStatistic": [
            {
                "@type": "InteractionCounter",
                "interactionType": {"@type": "WatchAction"},
                "userInteractionCount": views,
            },
            {"@type": "InteractionCounter", "interactionType": {"@type": "LikeAction"}, "userInteractionCount": likes},
        ],
    }
    if duration:
        video["duration"] = duration
    json_ld = json.dumps(video).replace("</", "<\\/")
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{html.escape(title)}</title>
<meta property="og:type" content="video.other">
<meta property="og:title" content="{html.escape(title)}">
<meta property="og:description" content="{html.escape(description)}">
<script type="application/ld+json">{json_ld}</script>
</head>
<body><h1>{html.escape(title)}</h1></body>
</html>
"""


def captioned_page(media_url: str, captions_url: str, language: str = "en") -> str:
    """A page with a <video> element and captions of its own."""
    return f"""<!doctype html><html><head><title>Captioned</title></head><body>
<video src="{media_url}"><track kind="subtitles" src="{captions_url}" srclang="{language}" label="English"></video>
</body></html>"""


def page(text: str, content_type: str = "text/html; charset=utf-8") -> Answer:
    return content(text.encode(), content_type)


def content(body: bytes, content_type: str = "video/mp4", *, claimed: int | None = None) -> Answer:
    """`body`, with a Content-Length that may be a lie, and a date of the file, which is no date of publication."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Type", content_type)
        request.send_header("Last-Modified", "Tue, 01 Jan 2019 00:00:00 GMT")
        request.send_header("Content-Length", str(len(body) if claimed is None else claimed))
        request.end_headers()
        if request.command != "HEAD":
            request.wfile.write(body)

    return answer


def status(code: int, **headers: str) -> Answer:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(code)
        for name, value in headers.items():
            request.send_header(name.replace("_", "-"), value)
        request.send_header("Content-Length", "0")
        request.end_headers()

    return answer


def redirect(location: str) -> Answer:
    return status(302, Location=location)


def endless(content_type: str, start: bytes, again: bytes, pause_seconds: float = 0.0) -> Answer:
    """`start`, then `again` until the reader goes away; no length is told."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Type", content_type)
        request.end_headers()
        request.wfile.write(start)
        while not request.server.stopping.wait(pause_seconds):  # type: ignore[attr-defined]  # Site's own server
            request.wfile.write(again)

    return answer


def never() -> Answer:
    """Takes the request and stays silent until the site closes."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.server.stopping.wait()  # type: ignore[attr-defined]  # Site's own server

    return answer


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = True

    def __init__(self, site: Site, host: str) -> None:
        self.site = site
        self.stopping = threading.Event()
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, 0), _Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """A reader that goes away in the middle is what many of these tests are about."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = 30

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        self.server.site.requests.append(path)
        self.server.site.answers.get(path, status(404))(self)

    do_HEAD = do_GET

    def log_message(self, *_args: object) -> None:
        """pytest's output is for the tests."""


class Site:
    """The answers of one host by path, and the paths that were asked for. Add to `answers` at any time."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.answers: dict[str, Answer] = {}
        self.requests: list[str] = []
        self._server = _Server(self, host)
        self.host, self.port = self._server.server_address[0], self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="site")
        self._thread.start()

    def url(self, path: str) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}{path}"

    def add(self, path: str, answer: Answer) -> str:
        """Answer `path` so; its URL."""
        self.answers[path] = answer
        return self.url(path)

    def add_video(self, name: str, media: bytes, **facts: object) -> str:
        """A watch page for `media`; the page's URL. `facts` are those of `watch_page`."""
        media_url = self.add(f"/{name}.mp4", content(media))
        return self.add(f"/{name}", page(watch_page(media_url, **facts)))  # type: ignore[arg-type]  # passed through

    def close(self) -> None:
        self._server.stopping.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextlib.contextmanager
def running_site(host: str = "127.0.0.1") -> Iterator[Site]:
    site = Site(host)
    try:
        yield site
    finally:
        site.close()
