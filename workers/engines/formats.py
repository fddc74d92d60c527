"""Which of a video's formats to download: the smallest with sound, and no picture if the sound stands alone."""

from __future__ import annotations

from typing import Any

Format = dict[str, Any]

# What yt-dlp downloads by itself, through its own sockets. The rest would start a program that knows no egress rules.
_PROTOCOLS = ("http", "https", "m3u8", "m3u8_native", "http_dash_segments", "http_dash_segments_generator", "ism")

_OF_A_FORMAT = (
    *("url", "format_id", "ext", "protocol", "fragments", "acodec", "vcodec", "abr", "tbr", "height", "language"),
    *("filesize", "filesize_approx", "http_headers", "cookies", "downloader_options", "has_drm"),
)

# Speech is as well understood at 48 kbit/s as above; below it, words get lost.
_GOOD_KBITS = 48.0
_FALLBACKS = 3


def usable_formats(info: dict[str, Any]) -> list[Format]:
    """The formats that can be downloaded here; storyboards, DRM and foreign protocols are left out.

    A video with one format only has it in the dictionary itself.
    """
    return [
        entry
        for entry in info.get("formats") or [{key: info[key] for key in _OF_A_FORMAT if key in info}]
        if entry.get("url")
        and not entry.get("has_drm")
        and entry.get("protocol") in _PROTOCOLS
        and not (entry.get("vcodec") == "none" and entry.get("acodec") == "none")
    ]


def choose_formats(formats: list[Format], language: str | None) -> list[Format]:
    """The formats to try, best first, at most three; empty when all are known to be silent.

    Order: sound alone before sound with picture; the language asked for, or else the original; enough bits for
    speech; then the fewest.
    """
    sounding = [entry for entry in formats if entry.get("acodec") != "none"]
    return sorted(sounding, key=lambda entry: _rank(entry, language))[:_FALLBACKS]


def _rank(entry: Format, language: str | None) -> tuple[Any, ...]:
    kbits = _audio_kbits(entry)
    return (
        entry.get("vcodec") != "none",
        _language_distance(entry, language),
        kbits is not None and kbits < _GOOD_KBITS,
        _size(entry),
        entry.get("height") or 0,
    )


def _language_distance(entry: Format, language: str | None) -> int:
    spoken = entry.get("language")
    if language and spoken:
        if spoken.lower() == language.lower():
            return 0
        if spoken.partition("-")[0].lower() == language.partition("-")[0].lower():
            return 1
    # yt-dlp marks the original track with a higher preference than dubbed ones.
    return 10 - min(max(int(entry.get("language_preference") or 0), -10), 8)


def _audio_kbits(entry: Format) -> float | None:
    return entry.get("abr") or (entry.get("tbr") if entry.get("vcodec") == "none" else None)


def _size(entry: Format) -> float:
    """An order of size; formats that tell nothing of it come last."""
    return entry.get("filesize") or entry.get("filesize_approx") or (entry.get("tbr") or 0) * 100_000 or float("inf")
