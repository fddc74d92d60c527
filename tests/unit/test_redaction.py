from __future__ import annotations

import logging
import threading
from collections.abc import Iterator

import pytest
import structlog

from coop.logs import configure_logs, get_logger
from coop.redaction import MASK, redactor
from coop.settings import Settings, read_settings

KEY = "coop_" + "Ab1_-" * 8 + "xyz"
SECRET = "whsec_" + "Ab1+/" * 8 + "xyz="
ENVIRONMENT = {
    "COOP_REDIS_URL": "rediss://gateway:p%40ss-word-1@redis.example:6379/0",
    "OPENAI_API_KEY": "a key of no known form",
    "COOP_FLOWER_BASIC_AUTH": "admin:letmein42",
}


@pytest.fixture
def settings() -> Settings:
    return read_settings({**ENVIRONMENT, "COOP_LOG_FORMAT": "json"}, None)


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level, hook, configured = root.handlers[:], root.level, threading.excepthook, structlog.get_config()
    yield
    root.handlers[:], threading.excepthook = handlers, hook
    root.setLevel(level)
    structlog.configure(**configured)


@pytest.mark.parametrize(
    "secret",
    [
        "p%40ss-word-1",
        "p@ss-word-1",
        "a key of no known form",
        "letmein42",
        KEY,
        SECRET,
        "sk-proj-Ab1Ab1Ab1Ab1",
    ],
)
@pytest.mark.parametrize(
    "form", ["{}", "key={!r}", '{{"a": "{}"}}', "https://x.example/{}/y", "({})", "\x1b[1m{}\x1b[0m"]
)
def test_a_secret_is_masked_wherever_it_stands(settings: Settings, secret: str, form: str) -> None:
    told = redactor(settings)(f"before {form.format(secret)} after")

    assert secret not in told
    assert (told[:7], told[-6:]) == ("before ", " after")


@pytest.mark.parametrize(
    ("line", "masked"),
    [
        ("Authorization: Bearer abcdef123", f"Authorization: Bearer {MASK}"),
        ("GET https://v.example/w?v=1&token=abc&t=5", f"GET https://v.example/w?v=1&token={MASK}&t=5"),
        ("to /hook?X-Amz-Signature=abc HTTP", f"to /hook?X-Amz-Signature={MASK} HTTP"),
        ("https://me:pw@h.example/", f"https://{MASK}@h.example/"),
        ("redis://:pw@h.example/", f"redis://{MASK}@h.example/"),
        ("exceeded with url: /services/T0/B0/xyz (Caused", f"exceeded with url: {MASK} (Caused"),
        ("'Cookie': 'session=abc; b=c'", f"'Cookie': '{MASK}'"),
        ("webhook-signature v1," + "A" * 43 + "=", f"webhook-signature {MASK}"),
    ],
)
def test_what_looks_like_a_secret_is_masked(settings: Settings, line: str, masked: str) -> None:
    assert redactor(settings)(line) == masked


@pytest.mark.parametrize(
    "line",
    [
        '{"event": "stage ended", "job": "shop:req_1692123456789", "stage": "metadata", "seconds": 1.2}',
        "https://www.youtube.com/watch?v=dJd3wLG65yc&list=PL1",
        "GET /api/jobs?status=queued&limit=20",
        "worker ready coop-4711@mill",
        "1 + 1 = 2? yes = no",
    ],
)
def test_other_lines_stay_as_they_are(settings: Settings, line: str) -> None:
    assert redactor(settings)(line) == line


def fail_with_a_secret_in_a_local_variable() -> None:
    local = KEY
    raise ValueError(f"no use for {local} and a key of no known form")


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_a_traceback_shows_no_secret(settings: Settings, log_format: str, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(settings.model_copy(update={"log_format": log_format}))
    try:
        fail_with_a_secret_in_a_local_variable()
    except ValueError:
        get_logger("x").exception("it failed", key=KEY)
        logging.getLogger("library").exception("it failed with %s", KEY)

    told = capsys.readouterr().err
    assert told.count("ValueError") >= 2
    assert KEY not in told
    assert "no known form" not in told


def test_what_a_thread_dies_of_is_logged_without_secrets(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logs(settings)
    thread = threading.Thread(target=fail_with_a_secret_in_a_local_variable)
    thread.start()
    thread.join()

    told = capsys.readouterr().err
    assert "a thread ended with an error" in told
    assert KEY not in told


def test_many_lines_cost_little(settings: Settings) -> None:
    """A pattern that backtracks would take minutes over a line that somebody made for it."""
    redact = redactor(settings)
    for line in (
        "://" * 50_000,
        "?a" * 50_000,
        "bearer " * 20_000,
        "sk-" * 50_000,
        "&" + "a" * 100_000,
        "cookie" * 20_000,
    ):
        assert len(redact(line)) <= len(line) + 10 or MASK in redact(line)
