"""Run inside a small internet (tests/support/small_internet.py): each attack, and at which addresses it arrived.

Prints one JSON object: attack -> {"outcome": error code or what came of it, "reached": [[address, path], …]}.
"""

from __future__ import annotations

import dataclasses
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from yt_dlp.extractor.youtube.jsc._builtin.deno import DenoJCP

from coop.errors import JobError
from coop.settings import Settings
from tests.support.dns_server import DnsServer
from tests.support.media import make_media
from tests.support.sites import Answer, captioned_page, content, endless, page, redirect, status, watch_page
from tests.support.small_internet import NAMESERVER
from tests.support.stage_work import make_work
from workers.engines import ytdlp
from workers.engines.child import Child
from workers.engines.deadline import Deadline
from workers.engines.egress_proxy import EgressProxy
from workers.stages import deliver, download, metadata

PUBLIC, PUBLIC_6 = "93.184.216.34", "2606:2800:220:1::1"
HLS, DASH = "application/vnd.apple.mpegurl", "application/dash+xml"

INSIDE = [
    *("127.0.0.1", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "0.0.0.0", "0", "10.0.0.1", "192.168.1.1"),  # noqa: S104
    *("172.16.0.1", "169.254.169.254", "100.64.0.1", "224.0.0.1", "[::1]", "[::]", "[::ffff:10.0.0.1]"),
    *("[64:ff9b::a00:1]", "[64:ff9b:1::a00:1]", "[2002:a00:1::1]", "[2001:0:a00:1::1]", "[::10.0.0.1]", "[fd00::1]"),
    *("localhost", "metadata.google.internal", "inside.example", "inside6.example", "mapped.example"),
    "translated.example",
]  # fmt: skip


class Internet:
    """Every web server of it: one, that notes at which address each request arrived."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        self.reached: list[tuple[str, str]] = []
        self.stopping = threading.Event()
        internet = self

        class Handler(BaseHTTPRequestHandler):
            timeout = 10

            def do_GET(self) -> None:
                self.server.stopping = internet.stopping  # type: ignore[attr-defined]  # what the answers look at
                path = self.path.partition("?")[0]
                address = self.connection.getsockname()[0].removeprefix("::ffff:")
                internet.reached.append((address, path))
                internet.answers.get(path, page("SECRET"))(self)

            do_HEAD = do_POST = do_GET

            def log_message(self, *_: object) -> None:
                """stdout is for the report."""

        class Server(ThreadingHTTPServer):
            address_family = socket.AF_INET6
            daemon_threads = True

            def handle_error(self, request: object, client_address: object) -> None:
                """Callers hang up as they like."""

        self._server = Server(("::", 80), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def add(self, path: str, answer: Answer, host: str = "public.example") -> str:
        self.answers[path] = answer
        return f"http://{host}{path}"


def names(dns: DnsServer) -> None:
    dns.answers.update(
        {
            "public.example": [[PUBLIC]],
            "public6.example": [[PUBLIC_6]],
            "inside.example": [["10.0.0.1"]],
            "inside6.example": [["::1", "fd00::1"]],
            "mapped.example": [["::ffff:10.0.0.1"]],
            "translated.example": [["64:ff9b::a00:1"]],
            "metadata.google.internal": [["169.254.169.254"]],
            "mixed.example": [["10.0.0.1", PUBLIC, "127.0.0.1", "::1"]],
            "silent.example": None,
        }
    )


class Attacks:
    def __init__(self, folder: Path, internet: Internet, dns: DnsServer) -> None:
        self.folder, self.internet, self.dns = folder, internet, dns
        self.settings = Settings(data_dir=folder, sites=("all",), socket_timeout_seconds=3)
        self.report: dict[str, dict[str, Any]] = {}
        self.media = make_media(folder / "v.mp4", more=("-movflags", "+faststart"))
        self.segment = make_media(folder / "v.ts")

    def record(self, name: str, attack: Callable[[], object]) -> None:
        self.internet.reached.clear()
        try:
            outcome = attack()
        except JobError as error:
            outcome = error.code
        self.report[name] = {"outcome": outcome, "reached": sorted(set(self.internet.reached))}

    def video(self, name: str, url: str) -> None:
        """What becomes of a job on that video."""

        def run() -> object:
            folder = Path(tempfile.mkdtemp(dir=self.folder))
            work = make_work(folder, settings=self.settings, seconds=30)
            work = dataclasses.replace(work, job=dataclasses.replace(work.job, video_url=url))
            metadata.run(work)
            return {"captions": download.run(work).captions is not None}

        self.record(f"video: {name}", run)

    def callback(self, name: str, url: str, seconds: float = 5) -> None:
        message = deliver.Message(url, "msg_1", b"{}", ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",), 1_700_000_000)

        def run() -> object:
            answer = deliver.run(message, self.settings, Deadline(seconds))
            return {"status": answer.status, "error": answer.error, "soon": answer.milliseconds < seconds * 1000 + 2000}

        self.record(f"callback: {name}", run)

    def rebinding(self, name: str, *steps: list[str]) -> str:
        self.dns.answers[name] = list(steps)
        return name


def attack_by_address(attacks: Attacks) -> None:
    add = attacks.internet.add
    for number, host in enumerate(INSIDE):
        attacks.video(f"at {host}", f"http://{host}/v")
        attacks.video(f"redirect to {host}", add(f"/to-{number}", redirect(f"http://{host}/v")))
        attacks.callback(f"at {host}", f"http://{host}/hook")
    for scheme in ("file:///etc/passwd", "ftp://public.example/v", "data:video/mp4;base64,AAAA", "gopher://10.0.0.1/"):
        attacks.video(f"redirect to {scheme}", add("/scheme", redirect(scheme)))
    attacks.video("at another port", "http://public.example:6379/v")


def attack_by_content(attacks: Attacks) -> None:
    add, inside = attacks.internet.add, "http://inside.example/secret"
    head = "<html><head><title>x</title>"
    pages = {
        "a video element": f"{head}</head><video src='{inside}.mp4'></video>",
        "a source element": f"{head}</head><video><source src='{inside}.mp4'></video>",
        "og:video": f'{head}<meta property="og:video" content="{inside}.mp4"></head>',
        "a twitter player": f'{head}<meta name="twitter:player:stream" content="{inside}.mp4"></head>',
        "JSON-LD": watch_page(f"{inside}.mp4"),
        "a meta refresh": f'{head}<meta http-equiv="refresh" content="0; url={inside}"></head>',
        "a player's script": f"{head}</head><script>jwplayer('x').setup({{file: '{inside}.m3u8'}})</script>",
    }
    for name, text in pages.items():
        attacks.video(name, add("/page", page(text)))
    segment = add("/good.ts", content(attacks.segment, "video/mp2t"))
    lists = {
        "a segment": f"#EXTINF:3,\n{inside}.ts",
        "a key": f'#EXT-X-KEY:METHOD=AES-128,URI="{inside}.key"\n#EXTINF:3,\n{segment}',
        "a map": f'#EXT-X-MAP:URI="{inside}.mp4"\n#EXTINF:3,\n{segment}',
        "a segment by address": "#EXTINF:3,\nhttp://169.254.169.254/latest/x.ts",
        "a segment of a file": "#EXTINF:3,\nfile:///etc/passwd",
    }
    for name, lines in lists.items():
        text = f"#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-TARGETDURATION:10\n{lines}\n#EXT-X-ENDLIST\n"
        attacks.video(f"HLS, {name}", add("/list.m3u8", page(text, HLS)))
    variants = f"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1000\n{inside}.m3u8\n"
    attacks.video("HLS, a variant", add("/variants.m3u8", page(variants, HLS)))
    manifests = {
        "a base": f"<BaseURL>{inside}.mp4</BaseURL>",
        "a template": f'<SegmentTemplate media="{inside}-$Number$.m4s" initialization="{inside}.mp4" duration="3"/>',
        "a list": f'<SegmentList duration="3"><SegmentURL media="{inside}.m4s"/></SegmentList>',
    }
    for name, inner in manifests.items():
        text = (
            '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" mediaPresentationDuration="PT3S"><Period>'
            '<AdaptationSet mimeType="audio/mp4"><Representation id="1" bandwidth="9" codecs="mp4a.40.2">'
            f"{inner}</Representation></AdaptationSet></Period></MPD>"
        )
        attacks.video(f"DASH, {name}", add("/manifest.mpd", page(text, DASH)))
    video = add("/v.mp4", content(attacks.media))
    attacks.video("captions", add("/captioned", page(captioned_page(video, f"{inside}.vtt"))))
    pictures = f"<meta property='og:image' content='{inside}.jpg'><link rel='icon' href='{inside}.ico'>"
    poster = f"{head}{pictures}</head><video src='{video}' poster='{inside}.png'></video>"
    attacks.video("thumbnails", add("/pictures", page(poster)))
    attacks.video("nothing bad", add("/good", page(watch_page(video))))
    far = add("/v6.mp4", content(attacks.media), "public6.example")
    attacks.video("nothing bad over IPv6", add("/good6", page(watch_page(far))))


def attack_by_names(attacks: Attacks) -> None:
    add = attacks.internet.add
    video = content(attacks.media)
    flips = attacks.rebinding("flips.example", [PUBLIC], ["127.0.0.1"])
    attacks.video("a name that changes", add("/flips", page(watch_page(add("/flip.mp4", video, flips))), flips))
    at_once = attacks.rebinding("at-once.example", ["127.0.0.1"], [PUBLIC])
    attacks.video("a name that is inside first", add("/at-once", page(watch_page("x.mp4")), at_once))
    mixed = "mixed.example"
    attacks.video("a name with one address inside", add("/mixed", page(watch_page(add("/m.mp4", video, mixed))), mixed))
    attacks.video("a name without an answer", "http://silent.example/v")
    hook = add("/hook", status(204), attacks.rebinding("flips2.example", [PUBLIC], ["127.0.0.1"]))
    attacks.callback("a name that changes", hook)
    attacks.callback("the same name again", "http://flips2.example/hook")
    attacks.callback("a name with one address inside", add("/hook", status(204), "mixed.example"))
    attacks.callback("a name without an answer", "http://silent.example/hook", seconds=1)


def attack_by_answers(attacks: Attacks) -> None:
    add = attacks.internet.add
    for code in (301, 302, 303, 307, 308):
        attacks.callback(f"redirect {code}", add("/hook", status(code, Location="http://127.0.0.1/hook")))
    attacks.callback("an answer without end", add("/hook", endless("text/plain", b"x", b"x" * 10**6)))
    attacks.callback(
        "an answer that drips", add("/hook", endless("text/plain", b"", b"x", pause_seconds=0.2)), seconds=2
    )
    attacks.callback("a head that never ends", add("/hook", _endless_head), seconds=2)
    attacks.callback("nothing bad", add("/hook", status(204)))


def _endless_head(request: BaseHTTPRequestHandler) -> None:
    request.send_response(200)
    request.flush_headers()
    while not request.server.stopping.wait(0.1):  # type: ignore[attr-defined]  # the internet's
        request.wfile.write(b"X-More: x\r\n")


def attack_by_library(attacks: Attacks) -> None:
    """Each HTTP library of yt-dlp, in a child, in a worker whose environment says to use no proxy."""
    proxy = EgressProxy(attacks.settings)
    child = Child("tests.support.ytdlp_probe")
    common = {"sites": ["all"], "socket_timeout": 3, "cache": str(attacks.folder / "cache")}
    params = common | {"proxy": proxy.url("probe")}

    def ask(method: str, **more: str) -> Any:
        return child.request(method, params | more, Deadline(20))

    libraries = ask("libraries")["names"]
    attacks.report["libraries"] = {"outcome": libraries, "reached": []}
    targets = {
        "inside": "http://10.0.0.1/secret",
        "loopback": "http://127.0.0.1/secret",
        "a name": "http://inside.example/secret",
        "a redirect": attacks.internet.add("/to", redirect("http://127.0.0.1/secret")),
        "nothing bad": attacks.internet.add("/ok", page("public")),
    }

    def fetch(library: str, name: str, url: str) -> None:
        if library == "Websockets":
            url = url.replace("http:", "ws:")
        attacks.record(f"{library}: {name}", lambda: ask("fetch", library=library, url=url))

    for library in libraries:
        for name, url in targets.items():
            fetch(library, name, url)
    proxy.close()
    for library in libraries:
        fetch(library, "proxy dead", targets["nothing bad"])
    child.close()


JAVASCRIPT = """
const tries = {
  fetch: () => fetch("http://127.0.0.1/secret"),
  publicly: () => fetch("http://public.example/ok"),
  importing: () => import("http://public.example/x.js"),
  npm: () => import("npm:is-odd@3.0.1"),
  connect: () => Deno.connect({hostname: "127.0.0.1", port: 80}),
  websocket: () => new Promise((yes, no) => {
    const s = new WebSocket("ws://127.0.0.1/"); s.onopen = yes; s.onerror = no; }),
  names: () => Deno.resolveDns("public.example", "A"),
  worker: () => new Promise((yes, no) => {
    const code = "data:application/javascript,fetch('http://127.0.0.1/worker').then(() => postMessage(1))";
    const w = new Worker(code, {type: "module"});
    w.onmessage = yes; w.onerror = e => { e.preventDefault(); no(e) }; setTimeout(() => no("silence"), 1500); }),
  file: () => Deno.readTextFile("/etc/passwd"),
  write: () => Deno.writeTextFile("/tmp/evil", "x"),
  program: () => new Deno.Command("id").output(),
  environment: () => Deno.env.get("HOME"),
};
const found = {};
for (const [name, attempt] of Object.entries(tries)) {
  try { await attempt(); found[name] = "done"; } catch (error) { found[name] = String(error?.name ?? error); }
}
console.log(JSON.stringify(found));
"""


def attack_by_script(attacks: Attacks) -> None:
    """Hostile JavaScript in the runtime, with the options that yt-dlp runs it with."""
    deno = Path(sys.executable).parent / "deno"
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(attacks.folder), "NO_COLOR": "1"}
    for variant in (["--no-npm", "--cached-only"], ["--cached-only"]):

        def run(variant: list[str] = variant) -> object:
            command = [str(deno), "run", *DenoJCP._DENO_BASE_OPTIONS, *variant, "-"]
            done = subprocess.run(
                command,
                input=JAVASCRIPT,
                env=environment,
                cwd=attacks.folder,
                capture_output=True,
                text=True,
                timeout=60,
            )
            return json.loads(done.stdout)

        attacks.record(f"script: {' '.join(variant)}", run)


def main() -> None:
    # What an operator's shell may hold; the first is what reopened it for ffmpeg.
    for name in ("no_proxy", "NO_PROXY"):
        os.environ[name] = "127.0.0.1,10.0.0.0/8,inside.example,localhost,*"
    for name in ("ALL_PROXY", "all_proxy", "HTTP_PROXY", "http_proxy"):
        os.environ[name] = "http://127.0.0.1:80"
    with tempfile.TemporaryDirectory() as folder, DnsServer(NAMESERVER, 53) as dns:
        names(dns)
        attacks = Attacks(Path(folder), Internet(), dns)
        for attack in (attack_by_address, attack_by_content, attack_by_names, attack_by_answers):
            attack(attacks)
        attack_by_library(attacks)
        attack_by_script(attacks)
        ytdlp.close()
        attacks.internet.stopping.set()
    # The last line; before it may stand what is logged.
    sys.stdout.write("\n" + json.dumps(attacks.report))


if __name__ == "__main__":
    main()
