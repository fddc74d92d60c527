"""The stages metadata and download on videos that can be done."""

from __future__ import annotations

import dataclasses
import json
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from coop.errors import JobError
from coop.results import Audio, Segment
from coop.settings import Settings, SettingsError
from tests.integration.source.conftest import MakeWork
from tests.support.media import make_media
from tests.support.sites import Site, captioned_page, content, page, status, watch_page
from workers.engines import ffmpeg, ytdlp
from workers.engines.deadline import Deadline
from workers.stages import download, metadata

VTT = "WEBVTT\n\n00:00:00.500 --> 00:00:01.500\nHello <i>there</i>.\n\n00:00:01.500 --> 00:00:02.750\nGood bye.\n"


def test_all_facts_of_a_page_are_found(site: Site, work_on: MakeWork, video: bytes) -> None:
    found = metadata.run(work_on(site.add_video("watch", video, duration="PT27S"))).metadata

    assert found.to_document() == {
        "id": "watch",
        "title": "One thing to avoid",
        "channel": "Sample Channel",
        "views": 651009,
        "likes": 14156,
        "published": "2025-07-16T17:00:59Z",
        "duration": "PT27S",
    }


def test_what_a_site_does_not_tell_is_none(site: Site, work_on: MakeWork, video: bytes) -> None:
    found = metadata.run(work_on(site.add("/bare.mp4", content(video)))).metadata

    assert (found.channel, found.views, found.likes, found.published, found.duration) == (None,) * 5


def test_download_uses_what_metadata_learnt(site: Site, work_on: MakeWork, video: bytes) -> None:
    work = work_on(site.add_video("watch", video))
    metadata.run(work)
    download.run(work)

    assert site.requests.count("/watch") == 1


def test_download_asks_the_site_when_another_machine_had_asked(site: Site, work_on: MakeWork, video: bytes) -> None:
    work = work_on(site.add_video("watch", video))
    metadata.run(work)
    elsewhere = work.settings.model_copy(update={"machine": "another"})
    download.run(dataclasses.replace(work, settings=elsewhere))

    assert site.requests.count("/watch") == 2


def test_download_asks_the_site_again_when_the_address_of_the_media_has_ended(
    site: Site, work_on: MakeWork, video: bytes
) -> None:
    work = work_on(site.add_video("watch", video))
    metadata.run(work)
    site.add("/watch.mp4", status(403))
    site.add("/watch", page(watch_page(site.add("/fresh.mp4", content(video)))))

    assert download.run(work).codec == "aac"


def test_the_sound_is_copied_where_its_codec_will_do(site: Site, work_on: MakeWork, video: bytes) -> None:
    work = work_on(site.add_video("watch", video))
    audio = download.run(work)

    assert (audio.file_name, audio.codec, audio.copied, audio.captions) == ("audio.m4a", "aac", True, None)
    assert audio.duration_seconds == pytest.approx(3, abs=0.15)
    assert len(work.artifacts.load("audio") or b"") == audio.size_bytes


def test_the_sound_is_encoded_as_opus_where_its_codec_will_not_do(
    site: Site, work_on: MakeWork, tmp_path: Path
) -> None:
    odd = make_media(tmp_path / "odd.mp4", audio_codec="ac3")
    work = work_on(site.add_video("watch", odd))
    audio = download.run(work)

    assert (audio.file_name, audio.codec, audio.copied) == ("audio.ogg", "opus", False)
    assert audio.duration_seconds == pytest.approx(3, abs=0.15)


def test_sound_over_the_limit_is_encoded_smaller(
    site: Site, work_on: MakeWork, video: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ffmpeg, "MAX_AUDIO_BYTES", 15_000)
    audio = download.run(work_on(site.add_video("watch", video)))

    assert (audio.codec, audio.copied) == ("opus", False)


@pytest.mark.parametrize("sound", ["silence", "music"])
def test_a_video_without_speech_is_downloaded(sound: str, site: Site, work_on: MakeWork, tmp_path: Path) -> None:
    wordless = make_media(tmp_path / "wordless.mp4", sound=sound)

    assert download.run(work_on(site.add_video("watch", wordless))).duration_seconds > 2.5


def test_the_duration_is_that_of_the_media_whatever_the_page_says(site: Site, work_on: MakeWork, video: bytes) -> None:
    audio = download.run(work_on(site.add_video("watch", video, duration="PT29S")))

    assert audio.duration_seconds == pytest.approx(3, abs=0.15)


def captioned(site: Site, video: bytes, captions: str = VTT) -> str:
    media = site.add("/v.mp4", content(video))
    return site.add("/v", page(captioned_page(media, site.add("/v.vtt", page(captions, "text/vtt")))))


def run_both(work_on: MakeWork, url: str, **options: str) -> Audio:
    work = work_on(url, options=options)
    metadata.run(work)
    return download.run(work)


def test_captions_of_the_uploader_are_taken(site: Site, work_on: MakeWork, video: bytes) -> None:
    audio = run_both(work_on, captioned(site, video), language="en")

    assert audio.captions is not None
    assert audio.captions.segments == (
        Segment(start=0.5, end=1.5, text="Hello there."),
        Segment(start=1.5, end=2.75, text="Good bye."),
    )


def test_captions_are_not_fetched_when_the_caller_wants_none(site: Site, work_on: MakeWork, video: bytes) -> None:
    assert run_both(work_on, captioned(site, video), captions="never").captions is None
    assert "/v.vtt" not in site.requests


def test_captions_in_another_language_are_not_taken(site: Site, work_on: MakeWork, video: bytes) -> None:
    assert run_both(work_on, captioned(site, video), language="ko").captions is None


@pytest.mark.parametrize("broken", [status(500), page("<html>", "text/vtt")])
def test_a_video_whose_captions_cannot_be_had_succeeds_without(
    broken: object, site: Site, work_on: MakeWork, video: bytes
) -> None:
    url = captioned(site, video)
    site.answers["/v.vtt"] = broken  # type: ignore[assignment]  # an Answer, as pytest's parameters have no type

    assert run_both(work_on, url).captions is None


def test_an_unencrypted_playlist_of_allowed_addresses_is_downloaded(
    site: Site, work_on: MakeWork, tmp_path: Path
) -> None:
    segment = site.add("/x.ts", content(make_media(tmp_path / "x.ts"), "video/mp2t"))
    lines = ["#EXTM3U", "#EXT-X-TARGETDURATION:3", "#EXTINF:3,", segment, "#EXT-X-ENDLIST", ""]
    url = site.add("/list.m3u8", page("\n".join(lines), "application/vnd.apple.mpegurl"))

    assert download.run(work_on(url)).duration_seconds == pytest.approx(3, abs=0.2)


def test_the_extraction_holds_no_secret_of_the_worker(site: Site, work_on: MakeWork, video: bytes) -> None:
    work = work_on(site.add_video("watch", video))
    metadata.run(work)

    assert "socks5h" not in json.dumps(json.loads(work.artifacts.load("extraction") or b""))


def test_a_cookie_of_the_page_goes_with_the_download(site: Site, work_on: MakeWork, video: bytes) -> None:
    def page_with_cookie(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Set-Cookie", "ticket=42; Path=/")
        request.send_header("Content-Type", "text/html")
        request.end_headers()
        request.wfile.write(watch_page(site.url("/v.mp4")).encode())

    def media_for_ticket(request: BaseHTTPRequestHandler) -> None:
        allowed = "ticket=42" in (request.headers["Cookie"] or "")
        (content(video) if allowed else status(403))(request)

    work = work_on(site.add("/v", page_with_cookie))
    site.add("/v.mp4", media_for_ticket)
    metadata.run(work)

    assert download.run(work).codec == "aac"
    assert site.requests == ["/v", "/v.mp4"]


def test_a_list_of_one_is_that_one(site: Site, work_on: MakeWork, video: bytes) -> None:
    item = f"<item><title>One</title><link>{site.add_video('watch', video)}</link></item>"
    feed = f'<?xml version="1.0"?><rss version="2.0"><channel><title>List</title>{item}</channel></rss>'

    assert metadata.run(work_on(site.add("/list", page(feed, "text/xml")))).metadata.id == "watch"


def test_sites_that_are_not_taken_are_refused(site: Site, work_on: MakeWork, video: bytes) -> None:
    work = work_on(site.add_video("watch", video))
    for sites in ((), ("youtube", "tiktok")):
        with pytest.raises(JobError, match="unsupported_url"):
            metadata.run(dataclasses.replace(work, settings=work.settings.model_copy(update={"sites": sites})))

    assert site.requests == []


def test_a_site_may_be_named_in_any_case(site: Site, work_on: MakeWork, video: bytes) -> None:
    work = work_on(site.add_video("watch", video))
    named = work.settings.model_copy(update={"sites": ("Generic",)})

    assert metadata.run(dataclasses.replace(work, settings=named)).extractor == "generic"


def test_a_site_that_yt_dlp_does_not_know_is_named_with_those_near(settings: Settings) -> None:
    with pytest.raises(SettingsError, match=r"COOP_SITES: yt-dlp has no extractor 'yuotube' \(near: .*youtube"):
        ytdlp.check_sites(settings.model_copy(update={"sites": ("yuotube",)}), Deadline(30))


def test_the_sites_that_yt_dlp_knows_are_taken(settings: Settings) -> None:
    assert ytdlp.check_sites(settings.model_copy(update={"sites": ("YouTube", "tiktok")}), Deadline(30))
