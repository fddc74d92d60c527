"""What goes wrong at an engine's server becomes the job's own error, and a call never outlives its stage."""

import subprocess
import sys
import threading
import time
from email.utils import formatdate

import pytest

from coop.errors import Cancelled, JobError
from coop.settings import Settings
from tests.support.openai_server import (
    OpenAIServer,
    error,
    hang_up,
    no_quota,
    rate_limited,
    server_error,
    unauthorized,
    unknown_model,
)
from workers.engines.deadline import Deadline
from workers.engines.openai_client import ask, prepare, text_endpoint, transcription_endpoint


async def _say_hello(client, timeout):
    return await client.chat.completions.with_raw_response.create(
        model="gpt-6-luna",
        messages=[{"role": "user", "content": "Hello"}],
        response_format={
            "type": "json_schema",
            "json_schema": {
                "name": "hello",
                "strict": True,
                "schema": {"type": "object", "properties": {}, "required": [], "additionalProperties": False},
            },
        },
        timeout=timeout,
    )


@pytest.fixture
def server():
    with OpenAIServer() as server:
        yield server


@pytest.fixture
def endpoint(server):
    return text_endpoint(server.settings())


def _failure(endpoint, deadline=None):
    with pytest.raises(JobError) as failure:
        ask(endpoint, _say_hello, deadline or Deadline(20))
    return failure.value


def test_an_answer_comes_back_as_it_was_sent(endpoint):
    assert '"object": "chat.completion"' in ask(endpoint, _say_hello, Deadline(20))


@pytest.mark.parametrize(
    ("reply", "code", "passing", "retry_after"),
    [
        (unauthorized(), "engine_auth", False, None),
        (no_quota(), "engine_quota", False, None),
        (unknown_model(), "analysis_failed", False, None),
        (rate_limited(7), "analysis_failed", True, 7),
        (rate_limited(), "analysis_failed", True, None),
        (rate_limited("soon"), "analysis_failed", True, None),
        (rate_limited("-3"), "analysis_failed", True, None),
        (rate_limited("nan"), "analysis_failed", True, None),
        (rate_limited(200_000), "analysis_failed", True, 86_400),
        (server_error(), "analysis_failed", True, None),
        (server_error(503, retry_after=2.5), "analysis_failed", True, 2.5),
    ],
)
def test_an_error_of_the_server_becomes_the_jobs(server, endpoint, reply, code, passing, retry_after):
    server.script("chat", reply)
    failure = _failure(endpoint)

    assert (failure.code, failure.passing, failure.retry_after) == (code, passing, retry_after)
    assert len(server.requests) == 1


def test_a_retry_after_that_is_a_date_counts_from_now(server, endpoint):
    server.script("chat", rate_limited(formatdate(time.time() + 60, usegmt=True)))

    assert 50 < _failure(endpoint).retry_after <= 60


def test_a_connection_that_breaks_is_a_passing_failure(server, endpoint):
    server.script("chat", hang_up())

    failure = _failure(endpoint)

    assert (failure.code, failure.passing, len(server.requests)) == ("analysis_failed", True, 1)


def test_a_server_that_is_not_there_is_a_passing_failure(tmp_path):
    settings = Settings(OPENAI_API_KEY="k", OPENAI_BASE_URL="http://127.0.0.1:9/v1", data_dir=tmp_path)

    failure = _failure(text_endpoint(settings))

    assert (failure.code, failure.passing) == ("analysis_failed", True)


def test_a_slow_server_is_left_when_the_time_of_a_request_is_up(server):
    server.delay["chat"] = 30
    endpoint = text_endpoint(server.settings(text_timeout_seconds=0.3))

    failure = _failure(endpoint)

    assert (failure.code, failure.passing) == ("analysis_failed", True)
    assert len(server.requests) == 1


def test_a_call_ends_with_the_stages_deadline(server, endpoint):
    server.delay["chat"] = 30

    assert _failure(endpoint, Deadline(0.3)).code == "timed_out"
    assert server.left.wait(10), "the connection was closed, not left open behind the stage"


def test_a_stage_whose_time_is_up_asks_no_more(server, endpoint):
    assert _failure(endpoint, Deadline(0)).code == "timed_out"
    assert server.requests == []


def test_a_cancelled_call_is_given_up_while_the_server_is_silent(server, endpoint):
    server.delay["chat"] = 60
    cancelled = threading.Event()
    threading.Timer(0.3, cancelled.set).start()

    with pytest.raises(Cancelled):
        ask(endpoint, _say_hello, Deadline(50, cancelled))

    assert server.left.wait(10), "the connection was closed, not left open behind the stage"


def test_the_words_of_a_server_and_the_key_do_not_reach_the_caller(server, endpoint, caplog):
    server.script("chat", error(401, f"Incorrect API key provided: {server.api_key}.", kind="invalid_request_error"))

    failure = _failure(endpoint)

    assert "Incorrect" not in failure.message
    assert "Incorrect" in caplog.text
    assert server.api_key not in caplog.text
    assert server.api_key not in repr(endpoint)


def test_transcription_and_text_can_be_two_servers_with_two_keys():
    settings = Settings(
        OPENAI_API_KEY="both",
        text_base_url="http://127.0.0.1:1/v1",
        transcribe_api_key="own",
        transcribe_timeout_seconds=3,
    )

    text, transcription = text_endpoint(settings), transcription_endpoint(settings)

    assert (text.base_url, text.api_key, text.failure) == ("http://127.0.0.1:1/v1", "both", "analysis_failed")
    assert (transcription.base_url, transcription.api_key) == ("https://api.openai.com/v1", "own")
    assert (transcription.timeout_seconds, transcription.failure) == (3, "transcription_failed")


def test_openai_itself_is_not_asked_without_a_key():
    with pytest.raises(JobError, match="engine_auth"):
        text_endpoint(Settings(analyzer="openai"))


def test_a_server_of_ones_own_needs_no_key():
    assert text_endpoint(Settings(text_base_url="http://127.0.0.1:1/v1")).base_url == "http://127.0.0.1:1/v1"


def test_threads_that_make_their_first_call_together_share_one_loop():
    script = """if True:
        import threading
        from workers.engines.openai_client import _loop
        loops, together = [], threading.Barrier(8)
        def call():
            together.wait()
            loops.append(_loop())
        threads = [threading.Thread(target=call) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        print(len(loops), len(set(loops)))
    """

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)

    assert done.stdout.split() == ["8", "1"]


def test_a_client_that_was_prepared_has_asked_nothing_and_serves_the_first_call(server, endpoint):
    prepare(endpoint, Deadline(20))
    asked = len(server.requests)

    ask(endpoint, _say_hello, Deadline(20))

    assert (asked, len(server.requests)) == (0, 1)


def test_a_connection_is_kept_for_the_next_call(server, endpoint):
    connections = []
    accept = server._server.get_request
    server._server.get_request = lambda: connections.append(1) or accept()

    ask(endpoint, _say_hello, Deadline(20))
    ask(endpoint, _say_hello, Deadline(20))

    assert len(connections) == 1
