"""A worker that has not transcribed or asked anything yet holds none of the heavy packages."""

import subprocess
import sys

HEAVY = ("av", "ctranslate2", "faster_whisper", "nltk", "numpy", "onnxruntime", "openai", "textblob", "yake")


def test_the_stages_load_no_engine_before_it_is_used():
    code = "import sys, workers.stages.transcribe, workers.stages.analyze, workers.stages.ideas; print(*sys.modules)"

    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)

    assert set(HEAVY).isdisjoint(loaded.stdout.split())
