"""The stage transcribe on real audio, by the packaged Whisper and by the stand-in API."""

import re
import threading
from dataclasses import replace
from pathlib import Path

import jiwer
import pytest

from coop.errors import Cancelled, JobError
from coop.results import Captions, Found, Segment
from coop.settings import Settings
from tests.support.media import make_media
from tests.support.openai_server import OpenAIServer, garbage, no_quota, rate_limited, transcription
from tests.support.stage_work import make_audio, make_work
from workers.engines.deadline import Deadline
from workers.engines.transcriber.local import load_model, turn_on_this_machine
from workers.stages import analyze
from workers.stages.transcribe import run

SAMPLES = Path(__file__).parents[2] / "samples"
HUMAN_VOICES = Path(__file__).parents[1] / "data"
CAPTIONS = Captions(language="en-GB", segments=(Segment(start=0, end=2, text="Written by the uploader."),))


@pytest.fixture
def server():
    with OpenAIServer() as server:
        yield server


@pytest.fixture(scope="session")
def speech():
    return (SAMPLES / "sample.mp4").read_bytes()


def work_on(tmp_path, content, *, file_name="audio.mp4", captions=None, **more):
    found = Found(download=make_audio(file_name, captions=captions))
    return make_work(tmp_path, found=found, artifacts={} if content is None else {"audio": content}, **more)


def _words(text):
    return " ".join(re.findall(r"[a-z']+", text.lower()))


def test_the_packaged_whisper_understands_the_sample(tmp_path, speech):
    transcript = run(work_on(tmp_path, speech))

    spoken = (SAMPLES / "sample.txt").read_text()
    assert jiwer.wer(_words(spoken), _words(transcript.text)) <= 0.2
    assert (transcript.engine, transcript.language) == ("local:tiny.en", "en")
    assert (transcript.usage[0].engine, transcript.usage[0].usd) == ("local", 0)


def _sentences():
    table = (HUMAN_VOICES / "README.md").read_text(encoding="utf-8")
    return re.findall(r"^\| `(\S+)` \| (.+) \|$", table, re.MULTILINE)


@pytest.mark.parametrize(("name", "spoken"), _sentences())
def test_the_packaged_whisper_understands_people_it_has_never_heard(tmp_path, name, spoken):
    transcript = run(work_on(tmp_path, (HUMAN_VOICES / name).read_bytes(), file_name="audio.ogg"))

    assert jiwer.wer(spoken, _words(transcript.text.replace("Mr.", "Mister").replace("-", " "))) <= 0.2


def test_segments_follow_each_other_in_the_length_of_the_audio(tmp_path, speech):
    transcript = run(work_on(tmp_path, speech))

    bounds = [bound for segment in transcript.segments for bound in (segment.start, segment.end)]
    assert len(transcript.segments) > 1
    assert bounds == sorted(bounds)
    assert 0 <= bounds[0] < bounds[-1] <= transcript.usage[0].audio_seconds + 0.5
    assert 80 < transcript.words_per_minute < 260


@pytest.mark.parametrize("sound", ["silence", "tone", "music"])
def test_without_speech_the_transcript_is_empty_and_nobody_is_paid(tmp_path, server, sound):
    content = make_media(tmp_path / "quiet.m4a", seconds=5, sound=sound, picture=False)

    transcript = run(work_on(tmp_path, content, file_name="quiet.m4a", settings=server.settings()))

    assert (transcript.text, transcript.segments, transcript.words_per_minute) == ("", (), None)
    assert (transcript.usage, server.requests) == ((), [])


def test_the_uploaders_captions_stand_in_for_transcription(tmp_path):
    transcript = run(work_on(tmp_path, None, captions=CAPTIONS))

    assert (transcript.text, transcript.engine) == ("Written by the uploader.", "captions")
    assert (transcript.language, transcript.words_per_minute) == ("en-GB", 120)


@pytest.mark.parametrize("options", [{"captions": "never"}, {"language": "de"}])
def test_captions_are_left_where_the_caller_wants_others(tmp_path, server, speech, options):
    work = work_on(tmp_path, speech, captions=CAPTIONS, options=options, settings=server.settings())

    assert run(work).engine == "openai:whisper-1"


def test_the_hook_stands_in_a_transcript_that_came_with_invisible_characters(tmp_path):
    words = "Stop buy\u00ading cheap\u200b power\n supplies."
    captions = Captions(language="en", segments=(Segment(start=0, end=2, text=words),))
    work = work_on(tmp_path, None, captions=captions)
    transcript = run(work)
    heard = replace(work, found=work.found.model_copy(update={"transcribe": transcript}))

    assert transcript.text == transcript.segments[0].text == "Stop buying cheap power supplies."
    assert analyze.run(heard).analysis.hook in transcript.text


def test_captions_without_a_word_are_no_captions(tmp_path, server, speech):
    captions = Captions(language="en", segments=(Segment(start=0, end=2, text="♪ ..."),))

    assert run(work_on(tmp_path, speech, captions=captions, settings=server.settings())).engine == "openai:whisper-1"


def test_whisper_1_tells_segments_language_and_a_price(tmp_path, server, speech):
    transcript = run(work_on(tmp_path, speech, settings=server.settings(), options={"language": "en-US"}))

    assert transcript.text == server.says
    assert [(each.start, each.end) for each in transcript.segments] == [(0, 2), (2, 4)]
    assert (transcript.language, transcript.words_per_minute) == ("en", 195)
    assert transcript.usage[0].usd == pytest.approx(0.006 * 4 / 60)
    assert server.requests[0].fields["language"] == "en"


@pytest.mark.parametrize("model", ["gpt-transcribe", "gpt-4o-mini-transcribe"])
def test_a_model_without_times_gives_one_segment_over_the_speech(tmp_path, server, speech, model):
    transcript = run(work_on(tmp_path, speech, settings=server.settings(transcribe_model=model)))

    (segment,) = transcript.segments
    assert segment.text == server.says
    assert 0 <= segment.start < 3
    assert segment.end > 10
    assert transcript.usage[0].usd > 0


def test_the_diarizing_model_tells_segments(tmp_path, server, speech):
    settings = server.settings(transcribe_model="gpt-4o-transcribe-diarize")

    transcript = run(work_on(tmp_path, speech, settings=settings))

    assert len(transcript.segments) == 2
    assert transcript.usage[0].input_tokens == 40


def test_a_file_that_the_api_does_not_know_goes_as_wav(tmp_path, server, speech):
    run(work_on(tmp_path, speech, file_name="audio.mkv", settings=server.settings()))

    (request,) = server.requests
    assert request.file_name == "audio.wav"
    assert request.file.startswith(b"RIFF")


def test_a_compatible_server_that_tells_little_will_do(tmp_path, server, speech):
    server.script("transcriptions", transcription(text=" Hello there."))

    transcript = run(work_on(tmp_path, speech, settings=server.settings(transcribe_model="my-own")))

    assert transcript.text == "Hello there."
    assert (transcript.language, transcript.usage[0].usd) == (None, None)


@pytest.mark.parametrize("body", [garbage(), garbage("text/html"), transcription(words=[])])
def test_an_answer_that_makes_no_sense_is_a_passing_failure(tmp_path, server, speech, body):
    server.script("transcriptions", body)

    with pytest.raises(JobError) as failure:
        run(work_on(tmp_path, speech, settings=server.settings()))

    assert (failure.value.code, failure.value.passing) == ("transcription_failed", True)


@pytest.mark.parametrize(
    ("reply", "code", "passing", "retry_after"),
    [(rate_limited(3), "transcription_failed", True, 3), (no_quota(), "engine_quota", False, None)],
)
def test_errors_of_the_api_carry_what_to_do(tmp_path, server, speech, reply, code, passing, retry_after):
    server.script("transcriptions", reply)

    with pytest.raises(JobError) as failure:
        run(work_on(tmp_path, speech, settings=server.settings()))

    assert (failure.value.code, failure.value.passing, failure.value.retry_after) == (code, passing, retry_after)


def test_audio_that_is_gone_is_worth_another_download(tmp_path):
    with pytest.raises(JobError) as failure:
        run(work_on(tmp_path, None))

    assert (failure.value.code, failure.value.passing, failure.value.retryable) == ("download_failed", True, True)


def test_the_files_stay_in_the_workspace(tmp_path, speech):
    work = work_on(tmp_path, speech, file_name="../../out.mp4")

    run(work)

    assert [path.name for path in work.workspace.iterdir()] == ["audio.mp4"]


def test_an_english_model_says_so_when_asked_for_another_language(tmp_path, speech):
    with pytest.raises(JobError, match="understands English only") as failure:
        run(work_on(tmp_path, speech, options={"language": "de"}))

    assert (failure.value.code, failure.value.passing) == ("transcription_failed", False)


def test_a_model_that_is_not_there_is_a_failed_transcription(tmp_path, speech):
    settings = Settings(data_dir=tmp_path, whisper_model=str(tmp_path / "no-model"))

    with pytest.raises(JobError, match="no-model cannot be loaded") as failure:
        run(work_on(tmp_path, speech, settings=settings))

    assert failure.value.code == "transcription_failed"


def test_a_cancelled_transcription_ends(tmp_path, speech):
    cancelled = threading.Event()
    work = work_on(tmp_path, speech, cancelled=cancelled)
    cancelled.set()

    with pytest.raises(Cancelled):
        run(work)


def test_the_model_is_loaded_once_and_shared(tmp_path):
    settings = Settings(data_dir=tmp_path)
    models = []
    threads = [threading.Thread(target=lambda: models.append(load_model(settings, Deadline(60)))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert len(models) == 4
    assert len(set(map(id, models))) == 1


def test_a_second_transcription_waits_its_turn_until_its_deadline(tmp_path):
    settings = Settings(data_dir=tmp_path)

    with (
        turn_on_this_machine(settings, Deadline(5)),
        pytest.raises(JobError, match="timed_out"),
        turn_on_this_machine(settings, Deadline(0.3)),
    ):
        pass
    with turn_on_this_machine(settings, Deadline(5)):
        pass


def test_as_many_transcriptions_run_at_once_as_the_settings_allow(tmp_path):
    settings = Settings(data_dir=tmp_path, local_transcriptions=2)

    with (
        turn_on_this_machine(settings, Deadline(5)),
        turn_on_this_machine(settings, Deadline(5)),
        pytest.raises(JobError, match="timed_out"),
        turn_on_this_machine(settings, Deadline(0.3)),
    ):
        pass
