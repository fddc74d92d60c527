"""What a plain Python script does with one video: the same yt-dlp, ffmpeg and client calls, and nothing around them.

It is what the service's own cost is measured against. Modules are loaded and clients made before the first video.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openai
import requests
import yt_dlp

from tests.benchmarks import stand_ins
from tests.benchmarks.stand_ins import StandIns
from workers.engines.analyzer.openai import _Spoken, _Suggestions
from workers.engines.analyzer.strict_schema import strict_schema
from workers.engines.ffmpeg import find_ffmpeg

_OPTIONS = {"quiet": True, "noprogress": True, "allowed_extractors": ["generic"], "format": "ba/b", "fixup": "never"}
_NOWHERE = ("-t", "0", "-f", "null", "-")
_CHECKED = ("-map", "0:a:0", "-f", "null", "-", "-map", "0:V?", "-c", "copy", "-f", "null", "-")


@dataclass(frozen=True)
class PlainScript:
    """One script, which may be run in several threads."""

    others: StandIns
    client: openai.OpenAI
    session: requests.Session

    @classmethod
    def on(cls, others: StandIns) -> PlainScript:
        return cls(others, openai.OpenAI(api_key=stand_ins.KEY, base_url=others.api), requests.Session())

    def run(self, name: object, *, checks: bool = False) -> float:
        """Do the video, and POST the result; seconds of wall time.

        `checks`: with all of the service's calls of ffmpeg, which also find out what is in the file, if it is whole
        and where in it somebody speaks; without, with the one that nobody can do without.
        """
        started = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            found = _download(self.others.page(name), folder)
            media, audio = found["requested_downloads"][0]["filepath"], Path(folder) / "audio.m4a"
            if checks:
                _ffmpeg("-i", media, *_NOWHERE)
                _ffmpeg("-i", media, "-map", "0:a:0", "-c", "copy", str(audio), *_CHECKED)
                _ffmpeg("-i", str(audio), "-ac", "1", "-ar", "16000", "-f", "s16le", f"{folder}/samples")
            else:
                _ffmpeg("-i", media, "-vn", "-c", "copy", str(audio))
            transcript = self._transcribe(audio)
        analysis = self._ask("video", strict_schema(_Spoken), transcript)
        ideas = self._ask("video_ideas", strict_schema(_Suggestions), transcript)
        document = {"title": found["title"], "transcript": transcript, "analysis": analysis, "ideas": ideas}
        self.session.post(self.others.callback(name), json=document, timeout=30).raise_for_status()
        return time.perf_counter() - started

    def _transcribe(self, audio: Path) -> str:
        answer = self.client.audio.transcriptions.create(
            model="whisper-1",
            file=audio,
            response_format="verbose_json",
            timestamp_granularities=["segment"],
        )
        return answer.text

    def _ask(self, name: str, schema: dict[str, Any], transcript: str) -> Any:
        if name == "video_ideas":
            schema["properties"]["ideas"] |= {"minItems": 3, "maxItems": 3}
        answer = self.client.chat.completions.create(
            model="gpt-6-luna",
            messages=[{"role": "user", "content": transcript}],
            response_format={"type": "json_schema", "json_schema": {"name": name, "strict": True, "schema": schema}},
        )
        return json.loads(answer.choices[0].message.content or "")


def _download(url: str, folder: str) -> dict[str, Any]:
    with yt_dlp.YoutubeDL({**_OPTIONS, "paths": {"home": folder}}) as downloader:
        found: dict[str, Any] = downloader.extract_info(url, download=True)
        return found


def _ffmpeg(*arguments: str) -> None:
    command = [find_ffmpeg(None), "-nostdin", "-v", "error", "-y", *arguments]
    subprocess.run(command, check=True, timeout=60)
