"""Every bad video ends in its own code, within its deadline, and leaves nothing behind (conftest watches that)."""

from __future__ import annotations

from pathlib import Path

import pytest

from coop.errors import JobError
from coop.settings import Settings
from tests.integration.source.conftest import MakeWork
from tests.support.media import make_media
from tests.support.sites import Site, content, endless, never, page, redirect, status, watch_page
from workers.stages import download, metadata
from workers.stages.work import Work

HLS = "application/vnd.apple.mpegurl"


def failure_of(work: Work) -> JobError:
    """The error that ends a job in the stage metadata or the stage download."""
    try:
        metadata.run(work)
        download.run(work)
    except JobError as error:
        return error
    pytest.fail("the job did not fail")


def playlist(*lines: str) -> str:
    return "\n".join(["#EXTM3U", "#EXT-X-VERSION:3", "#EXT-X-TARGETDURATION:10", *lines, "#EXT-X-ENDLIST", ""])


def test_a_dead_link_is_the_sites_failure(work_on: MakeWork) -> None:
    error = failure_of(work_on("http://127.0.0.1:1/video"))

    assert (error.code, error.passing) == ("source_error", True)


@pytest.mark.parametrize("code", [404, 410])
def test_a_page_that_is_not_there_is_a_video_that_is_not_there(code: int, site: Site, work_on: MakeWork) -> None:
    assert failure_of(work_on(site.add("/gone", status(code)))).code == "video_unavailable"


def test_a_page_without_a_video_is_unsupported(site: Site, work_on: MakeWork) -> None:
    assert failure_of(work_on(site.add("/text", page("<html><p>Only words.</p></html>")))).code == "unsupported_url"


def test_a_page_that_limits_requests_says_when_to_come_back(site: Site, work_on: MakeWork) -> None:
    error = failure_of(work_on(site.add("/busy", status(429, Retry_After="7"))))

    assert (error.code, error.retry_after) == ("source_rate_limited", 7)


def test_a_site_out_of_service_is_tried_again(site: Site, work_on: MakeWork) -> None:
    error = failure_of(work_on(site.add("/down", status(503, Retry_After="30"))))

    assert (error.code, error.passing, error.retry_after) == ("source_error", True, 30)


def test_a_list_of_videos_is_refused(site: Site, work_on: MakeWork) -> None:
    items = "".join(f"<item><title>{n}</title><link>{site.url(f'/{n}')}</link></item>" for n in range(3))
    feed = f'<?xml version="1.0"?><rss version="2.0"><channel><title>List</title>{items}</channel></rss>'

    assert failure_of(work_on(site.add("/list", page(feed, "text/xml")))).code == "playlist_not_supported"


def test_a_page_of_several_videos_is_a_list(site: Site, work_on: MakeWork) -> None:
    videos = "".join(f"<video src='/{n}.mp4'></video>" for n in range(2))

    assert failure_of(work_on(site.add("/two", page(f"<html>{videos}</html>")))).code == "playlist_not_supported"


def test_a_running_live_stream_is_refused(site: Site, work_on: MakeWork) -> None:
    live = "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXT-X-MEDIA-SEQUENCE:7\n#EXTINF:10,\n/7.ts\n"

    assert failure_of(work_on(site.add("/live.m3u8", page(live, HLS)))).code == "live_stream"


def test_a_protected_stream_is_refused(site: Site, work_on: MakeWork) -> None:
    key = '#EXT-X-KEY:METHOD=SAMPLE-AES,URI="skd://key",KEYFORMAT="com.apple.streamingkeydelivery"'
    url = site.add("/drm.m3u8", page(playlist(key, "#EXTINF:10,", "/1.ts"), HLS))

    assert failure_of(work_on(url)).code == "drm_protected"


def test_a_page_that_never_ends_is_too_large(site: Site, work_on: MakeWork) -> None:
    url = site.add("/endless", endless("text/html", b"<html>", b"<p>more</p>" * 10_000))

    assert failure_of(work_on(url)).code == "too_large"


def test_a_page_that_drips_ends_at_the_deadline(site: Site, work_on: MakeWork) -> None:
    url = site.add("/drip", endless("text/html", b"<html>", b"<p>", pause_seconds=0.2))

    assert failure_of(work_on(url, seconds=4)).code == "timed_out"


def test_a_host_that_never_answers_is_the_sites_failure(site: Site, work_on: MakeWork) -> None:
    assert failure_of(work_on(site.add("/never", never()))).code == "source_error"


def test_a_redirect_loop_is_not_tried_again(site: Site, work_on: MakeWork) -> None:
    error = failure_of(work_on(site.add("/loop", redirect(site.url("/loop")))))

    assert (error.code, error.passing) == ("source_error", False)


def test_a_redirect_to_a_private_address_is_refused(site: Site, private_site: Site, work_on: MakeWork) -> None:
    error = failure_of(work_on(site.add("/out", redirect(private_site.add("/secret", page("secret"))))))

    assert error.code == "url_not_allowed"
    assert "leads to a private or special address" in error.message
    assert private_site.requests == []


def test_a_video_at_a_private_address_is_refused(
    site: Site, private_site: Site, work_on: MakeWork, video: bytes
) -> None:
    media = private_site.add("/v.mp4", content(video))
    error = failure_of(work_on(site.add("/v", page(watch_page(media)))))

    assert error.code == "url_not_allowed"
    assert private_site.requests == []


def test_a_video_without_sound_has_no_audio(site: Site, work_on: MakeWork, tmp_path: Path) -> None:
    silent_film = make_media(tmp_path / "film.mp4", sound=None)

    assert failure_of(work_on(site.add_video("film", silent_film))).code == "no_audio"


def test_a_truncated_video_is_invalid(site: Site, work_on: MakeWork, video: bytes) -> None:
    assert failure_of(work_on(site.add_video("cut", video[: len(video) // 2]))).code == "media_invalid"


def test_random_bytes_are_no_video(site: Site, work_on: MakeWork) -> None:
    noise = bytes((n * n * 31 + n // 7) % 251 for n in range(50_000))

    assert failure_of(work_on(site.add_video("noise", noise))).code == "media_invalid"


def test_an_empty_file_is_no_video(site: Site, work_on: MakeWork) -> None:
    assert failure_of(work_on(site.add_video("empty", b""))).code == "media_invalid"


def test_a_media_file_that_never_ends_is_too_large(site: Site, work_on: MakeWork, video: bytes) -> None:
    media = site.add("/endless.mp4", endless("video/mp4", video, bytes(10_000)))

    assert failure_of(work_on(site.add("/endless", page(watch_page(media))))).code == "too_large"


def test_a_file_that_says_it_is_too_large_is_not_downloaded(site: Site, work_on: MakeWork, video: bytes) -> None:
    media = site.add("/big.mp4", content(video, claimed=10 * 2**20))

    assert failure_of(work_on(site.add("/big", page(watch_page(media))))).code == "too_large"


def test_a_file_shorter_than_it_claims_fails_to_download(site: Site, work_on: MakeWork, video: bytes) -> None:
    media = site.add("/short.mp4", content(video, claimed=len(video) + 5_000))

    assert failure_of(work_on(site.add("/short", page(watch_page(media))))).code == "download_failed"


def test_a_file_longer_than_it_claims_is_invalid(site: Site, work_on: MakeWork, video: bytes) -> None:
    media = site.add("/long.mp4", content(video, claimed=len(video) // 2))

    assert failure_of(work_on(site.add("/long", page(watch_page(media))))).code == "media_invalid"


def test_a_video_longer_than_the_page_says_is_too_long(site: Site, work_on: MakeWork, tmp_path: Path) -> None:
    long_video = make_media(tmp_path / "long.mp4", seconds=40)

    assert failure_of(work_on(site.add_video("long", long_video, duration="PT3S"))).code == "too_long"


def test_a_video_far_longer_than_the_limit_is_too_long_and_not_truncated(
    site: Site, work_on: MakeWork, settings: Settings, tmp_path: Path
) -> None:
    long_video = make_media(tmp_path / "long.mp4", seconds=settings.max_duration_seconds + 70, picture=False)

    assert failure_of(work_on(site.add_video("long", long_video, duration=None))).code == "too_long"


def test_a_video_that_is_said_to_be_too_long_is_not_downloaded(site: Site, work_on: MakeWork, video: bytes) -> None:
    error = failure_of(work_on(site.add_video("long", video, duration="PT31S")))

    assert error.code == "too_long"
    assert "/long.mp4" not in site.requests


@pytest.mark.parametrize("target", ["file:///etc/passwd", "http://10.0.0.1/x.ts", "{private}"])
def test_a_playlist_that_names_a_local_address_is_refused(
    target: str, site: Site, private_site: Site, work_on: MakeWork
) -> None:
    segment = target.format(private=private_site.add("/x.ts", content(bytes(1024), "video/mp2t")))
    work = work_on(site.add("/list.m3u8", page(playlist("#EXTINF:10,", segment), HLS)))
    error = failure_of(work)

    assert error.code == "url_not_allowed"
    assert private_site.requests == []
    assert work.artifacts.load("audio") is None


def test_a_playlist_whose_key_is_at_a_local_address_is_refused(
    site: Site, private_site: Site, work_on: MakeWork
) -> None:
    segment = site.add("/x.ts", content(bytes(1024), "video/mp2t"))
    key = f'#EXT-X-KEY:METHOD=AES-128,URI="{private_site.add("/key", content(bytes(16)))}"'
    error = failure_of(work_on(site.add("/list.m3u8", page(playlist(key, "#EXTINF:10,", segment), HLS))))

    assert error.code == "url_not_allowed"
    assert private_site.requests == []


def test_a_playlist_in_a_videos_clothes_is_read_by_no_one(site: Site, work_on: MakeWork) -> None:
    disguised = playlist("#EXTINF:10,", "file:///etc/passwd").encode()

    assert failure_of(work_on(site.add_video("disguise", disguised))).code == "media_invalid"


def test_a_private_address_is_refused_before_anything_starts(work_on: MakeWork) -> None:
    assert failure_of(work_on("http://169.254.169.254/latest/meta-data/")).code == "url_not_allowed"
